from typing import Any

from catalog.spec import GIB
from proxy.plan_text import plan_lines, why_lines

THERE: dict[str, Any] = {
    "model": "a",
    "state": "ready",
    "devices": ["GPU-1"],
    "names": ["gpu0"],
    "bytes": 10 * GIB,
    "ready_in_s": 0.0,
    "is_learned": True,
    "leaving": [],
    "why_not": None,
}
COMING: dict[str, Any] = {
    **THERE,
    "model": "b",
    "state": "stopped",
    "ready_in_s": 63.0,
    "is_learned": False,
    "leaving": [{"model": "c", "how": "stop", "frees_bytes": 14 * GIB, "in_s": 3.0}],
}
NOT: dict[str, Any] = {**COMING, "why_not": "it does not fit beside the others", "leaving": []}


def test_a_plan_says_where_each_goes_who_leaves_and_how_long_it_takes() -> None:
    assert list(plan_lines({"fits": True, "ready_in_s": 63.0, "seats": [THERE, COMING]})) == [
        "a                        is ready on gpu0, 10.00 GiB",
        "b                        stopped; on gpu0, 10.00 GiB, in about 63 s (not seen here yet, so a prior)",
        "    after c: stop, frees 14.00 GiB, in about 3 s",
        "they fit together, and all would be ready in about 63 s; nothing was done",
    ]


def test_what_does_not_fit_says_why() -> None:
    assert list(plan_lines({"fits": False, "ready_in_s": 0.0, "seats": [NOT]})) == [
        "b                        stopped, 10.00 GiB: it does not fit beside the others",
        "it does not fit",
    ]


def test_what_is_there_already_needs_nothing() -> None:
    lines = list(plan_lines({"fits": True, "ready_in_s": 0.0, "seats": [THERE]}))
    assert lines[-1] == "it fits, and is ready; nothing was done"


def test_an_explanation_ends_with_what_happened_last() -> None:
    explained = {
        "model": "a",
        "state": "stopped",
        "in_state_s": 5.0,
        "why": "idle 9 s",
        "waits_for": "its oldest request has waited 2.0 s",
        "expected": {
            "start_s": 20.0,
            "stop_s": 3.0,
            "sleep_s": {"1": 3.0},
            "wake_s": {"1": 2.0},
            "drain_s": 0.0,
            "requests_per_minute": 0.5,
            "is_learned": True,
        },
        "log": [
            {"ago_s": 5.0, "model": "b", "what": "ready -> draining", "why": "for a"},
            {"ago_s": 300.0, "model": "a", "what": "grant", "why": "ticket 1"},
        ],
    }
    assert list(why_lines(explained)) == [
        "a: stopped for 5 s; why it became so: idle 9 s",
        "waits: its oldest request has waited 2.0 s",
        "expected: start 20.0 s, stop 3.0 s, sleep 1 3.0 s, wake 2.0 s (a start as seen here)",
        "asked for: 0.50 requests a minute of late",
        "   5 min ago  grant: ticket 1",
        "     5 s ago  b: ready -> draining: for a",
    ]
