from typing import Any

import pytest

from proxy.events_text import line_of

AT = "2026-11-27T10:11:12.131415Z"
NAMES = {"GPU-1": "gpu0"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"kind": "move", "old": "stopped", "new": "starting", "why": "asked for", "held": {"GPU-1": 2**31}},
            "stopped -> starting, holds 2.00 GiB on gpu0: asked for",
        ),
        ({"kind": "move", "old": "ready", "new": "stopping", "why": "idle", "held": {}}, "ready -> stopping: idle"),
        ({"kind": "refusal", "code": "queue_full", "why": "2000 wait"}, "refused (queue_full): 2000 wait"),
        ({"kind": "grant", "waited_s": 14.26, "leases": 3}, "a request that waited 14.3 s is served beside 3 others"),
        ({"kind": "event", "what": "stop_asked", "who": "by ann"}, "stop asked (who by ann)"),
        ({"kind": "event", "what": "engine_ready"}, "engine ready"),
    ],
)
def test_an_event_is_a_line_with_its_why(told: dict[str, Any], said: str) -> None:
    assert line_of({"n": 1, "at": AT, "model": "chat", **told}, NAMES) == f"2026-11-27 10:11:12  {'chat':<20} {said}"


def test_what_is_of_no_model_says_so() -> None:
    strangers = {"n": 1, "at": AT, "model": "", "kind": "strangers", "held": {"GPU-1": 2**30}}
    assert line_of(strangers, NAMES).endswith("-                    strangers hold 1.00 GiB on gpu0")
    assert line_of(strangers | {"held": {}}, NAMES).endswith("strangers hold nothing")
    assert line_of(strangers, {}).endswith("1.00 GiB on GPU-1"), "a device that has gone since"
