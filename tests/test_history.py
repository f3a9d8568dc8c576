"""The last hour: spans that follow each other, what is forgotten, what strangers held."""

from typing import Any

import msgspec
import pytest

from proxy import history as module
from proxy.core.journal import Cause, Move
from proxy.core.states import EngineState
from proxy.history import KEPT_S, History, Seen


def move(model: str, old: EngineState, new: EngineState, why: str = "x") -> Move:
    return Move(0.0, model, old, new, why, Cause.ROOM)


STOPPED, STARTING, READY = EngineState.STOPPED, EngineState.STARTING, EngineState.READY


def told_by(history: History, now: float) -> dict[str, Any]:
    """As a client has it."""
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(history.told(now)))
    return told


def test_a_span_ends_where_the_next_begins_and_a_stopped_engine_has_one_without_length() -> None:
    history = History()
    history.moved(move("a", STOPPED, STARTING, "wanted"), {"card": 30}, 100.0)
    history.moved(move("a", STARTING, READY, "it answers"), {"card": 20}, 110.0)
    told = told_by(history, 120.0)
    starting, ready = told["spans"]
    assert (starting["state"], starting["begin"], starting["end"]) == ("starting", 100.0, 110.0)
    assert (ready["begin"], ready["end"], ready["held"], ready["why"]) == (110.0, None, {"card": 20}, "it answers")
    assert (ready["cause"], told["now"]) == ("room", 120.0)
    history.moved(move("a", EngineState.STOPPING, STOPPED), {}, 130.0)
    assert [(one["state"], one["end"]) for one in told_by(history, 140.0)["spans"]] == [
        ("starting", 110.0),
        ("ready", 130.0),
        ("stopped", 130.0),
    ]


def test_what_ended_more_than_an_hour_ago_is_forgotten_and_what_lasts_is_not() -> None:
    history = History()
    history.moved(move("a", STOPPED, STARTING), {"card": 1}, 0.0)
    history.moved(move("a", STARTING, READY), {"card": 1}, 10.0)
    history.moved(move("b", STOPPED, STARTING), {"card": 1}, 20.0)
    assert [one["model"] for one in told_by(history, 10.0 + KEPT_S)["spans"]] == ["a", "a", "b"]
    assert [one["state"] for one in told_by(history, 11.0 + KEPT_S)["spans"]] == ["ready", "starting"]
    assert [one["state"] for one in told_by(history, 11.0 + 9 * KEPT_S)["spans"]] == ["ready", "starting"]


def test_of_very_much_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SPANS", 3)
    history = History()
    for at in range(10):
        history.moved(move("a", STARTING, READY, str(at)), {"card": 1}, float(at))
    assert [one["why"] for one in told_by(history, 10.0)["spans"]] == ["6", "7", "8", "9"]


def test_of_strangers_what_they_hold_now_is_known_however_long_it_lasts() -> None:
    history = History()
    for at in (0.0, 5.0, 10.0):
        history.strangers_hold({"card": int(at)}, at)
    assert [one["begin"] for one in told_by(history, 10.0)["strangers"]] == [0.0, 5.0, 10.0]
    assert told_by(history, 9 * KEPT_S)["strangers"] == [{"begin": 10.0, "held": {"card": 10}}]


def test_the_next_proxy_goes_on_from_what_this_one_has_seen_and_says_what_it_has_not() -> None:
    first = History()
    first.moved(move("a", STOPPED, STARTING), {"card": 1}, 100.0)
    first.strangers_hold({"card": 5}, 101.0)
    kept = msgspec.json.decode(msgspec.json.encode(first.seen(110.0)), type=Seen)
    second = History()
    second.go_on_from(kept, 120.0)
    told = told_by(second, 121.0)
    assert [(one["model"], one["begin"], one["end"]) for one in told["spans"]] == [("a", 100.0, 110.0)]
    assert told["gaps"] == [{"begin": 110.0, "end": 120.0}]
    assert told["strangers"] == [{"begin": 101.0, "held": {"card": 5}}]
    third = History()
    third.go_on_from(second.seen(130.0), 135.0)
    assert [one["begin"] for one in told_by(third, 140.0)["gaps"]] == [110.0, 130.0]
    assert told_by(third, 9 * KEPT_S)["gaps"] == []


def test_the_first_proxy_of_all_has_missed_nothing() -> None:
    history = History()
    history.go_on_from(Seen(), 100.0)
    assert told_by(history, 100.0)["gaps"] == []


def test_what_was_refused_is_told_for_an_hour_also_by_the_next_proxy() -> None:
    first, second = History(), History()
    for at in (0.0, 100.0):
        first.refused("a", "queue_full", "why", at)
    second.go_on_from(msgspec.json.decode(msgspec.json.encode(first.seen(110.0)), type=Seen), 120.0)
    assert [one["at"] for one in told_by(second, 121.0)["refusals"]] == [0.0, 100.0]
    assert told_by(second, 50.0 + KEPT_S)["refusals"] == [
        {"at": 100.0, "model": "a", "code": "queue_full", "why": "why"}
    ]
