from typing import Any

from catalog.spec import GIB
from proxy.status_text import duration, fallback_lines, status_lines

AMOUNTS = {"peak_bytes": 3 * GIB, "awake_bytes": 2 * GIB, "asleep_bytes": GIB, "sleep_host_bytes": 4 * GIB}
SEEN = {**dict.fromkeys(AMOUNTS), "awake_bytes": 2 * GIB, "logged_bytes": None}


def status(**engine: Any) -> dict[str, Any]:
    """One device, one engine, one stranger."""
    known = {
        "model": "a",
        "state": "ready",
        "in_state_s": 7300,
        "why": "a request wants it",
        "sleep_level": 0,
        "devices": ["GPU-1"],
        "memory_bytes": 2 * GIB,
        "held_bytes": GIB,
        "memory": {"declared": AMOUNTS, "learned": SEEN, "reserves": AMOUNTS, "present": {"GPU-1": GIB}},
        "leases": 1,
        "waiting": 2,
        "agent_types": ["Chat"],
        "warnings": [],
        "at_gate_s": None,
        "waits_for": None,
        "stopped_by": None,
        "is_pinned": False,
        "is_outdated": False,
        "failure": None,
        "escalations": 0,
        "starts_plainly": None,
        "parked_bytes": 0,
        "last_escalation": None,
        "crashes": 0,
        "last_crash": None,
        "last_crash_ago_s": None,
        "last_words": "",
    }
    device = {
        "id": "GPU-1",
        "name": "gpu0",
        "capacity_bytes": 4 * GIB,
        "reserved_bytes": GIB,
        "reservations": {"b": GIB},
        "strangers": {"bytes": GIB, "processes": [{"pid": 7, "bytes": GIB, "command": "train.py"}]},
    }
    proxy = {"url": "http://x:1", "pid": 1, "up_s": 2.0, "catalog": "c", "catalog_problem": None}
    host = {"for_sleepers_bytes": 8 * GIB, "pinned": {"b": 4 * GIB}, "parked": {}, "free_bytes": 4 * GIB}
    engines = [{**known, **engine}]
    types = [{"agent_type": "Chat", "model": "a", "fallback": None, "by": "a", "why_not": None}]
    return {"proxy": proxy, "devices": [device], "host": host, "engines": engines, "agent_types": types, "queue": []}


def lines(*, with_memory: bool = False, **engine: Any) -> list[str]:
    return list(status_lines(status(**engine), with_memory=with_memory))


def test_devices_show_reservations_strangers_and_what_sleepers_pin() -> None:
    assert lines()[1:4] == [
        "device  gpu0 (GPU-1)  1.00 of 4.00 GiB reserved: b 1.00",
        "        stranger pid 7 holds 1.00 GiB: train.py",
        "host    4.00 of 8.00 GiB pinned by sleepers: b 4.00",
    ]


def test_what_is_parked_shows_what_it_holds_of_the_host() -> None:
    told = status()
    told["host"]["parked"] = {"a": GIB, "c": GIB}
    assert list(status_lines(told))[4] == "host    2.00 GiB held by processes that are parked: a, c"


def test_a_stranger_without_a_figure_or_a_name_is_shown_as_such() -> None:
    told = status()
    told["devices"][0]["strangers"]["processes"] = [{"pid": 7, "bytes": None, "command": ""}]
    assert "        stranger pid 7 holds ? GiB: not visible from here" in list(status_lines(told))


def test_an_engine_shows_where_it_is_and_since_when() -> None:
    assert lines()[5].split() == ["a", "ready", "2.0", "h", "2.00", "1.00", "gpu0", "1", "2", "Chat"]


def test_one_that_sleeps_shows_its_level_and_one_that_is_nowhere_a_dash() -> None:
    assert "asleep L2" in lines(state="asleep", sleep_level=2)[5]
    assert " - " in lines(state="stopped", devices=[])[5]


def test_failures_stops_and_escalations_stand_under_their_model() -> None:
    assert "    pinned: it makes room for nobody" in lines(is_pinned=True)
    told = lines(stopped_by="by ann", failure="why\nlast line", escalations=2, last_escalation="level 1: HTTP 500")
    assert told[6:] == [
        "    stopped by ann; stays so until somebody starts it",
        "    failed: why\n    | last line",
        "    2 sleeps or wakes failed; the last: level 1: HTTP 500",
    ]


def test_what_will_keep_an_engine_from_starting_is_said_before() -> None:
    assert lines(warnings=["no weights\nno config.json"])[6:] == ["    warning: no weights; no config.json"]


def test_a_start_by_hand_that_waits_for_room_says_since_when_and_for_what() -> None:
    [told] = lines(state="stopped", at_gate_s=12, waits_for="it needs 2.50 GiB; held on gpu0: b 1.00")[6:]
    assert told == "    started by hand; waits at the gate for 12 s: it needs 2.50 GiB; held on gpu0: b 1.00"


def test_an_engine_that_crashed_is_told_from_an_idle_one() -> None:
    crash = {"crashes": 1, "last_crash": "it ended: SIGKILL", "last_crash_ago_s": 180, "last_words": "the log:\nlast"}
    assert lines(state="stopped", **crash)[6:] == [
        "    crashed once 3 min ago: it ended: SIGKILL",
        "    | the log:\n    | last",
    ]
    assert lines(**crash | {"crashes": 2})[6:] == ["    crashed 2 times, the last 3 min ago: it ended: SIGKILL"]


def test_the_memory_is_shown_as_declared_learned_reserved_and_present() -> None:
    assert lines(with_memory=True)[6:] == [
        "    ready because: a request wants it",
        "    declared  2.00 awake, 3.00 starting, 1.00 asleep, 4.00 of the host asleep",
        "    learned   2.00 awake",
        "    reserves  2.00 awake, 3.00 starting, 1.00 asleep, 4.00 of the host asleep",
        "    present   1.00 on gpu0",
    ]


def test_times_are_readable() -> None:
    assert [duration(seconds) for seconds in (3, 119, 120, 7199, 7200)] == ["3 s", "119 s", "2 min", "120 min", "2.0 h"]


def test_an_engine_that_runs_by_an_entry_of_the_past_is_told() -> None:
    assert any("its entry in the catalog has changed" in line for line in lines(is_outdated=True))
    assert not any("its entry" in line for line in lines())


def test_an_agent_type_whose_model_cannot_be_had_is_told_with_who_answers_and_why() -> None:
    told = status()
    claims = {"agent_type": "Claims", "model": "mixtral", "fallback": "qwen", "by": "qwen", "why_not": "too large"}
    told["agent_types"] = [claims, {**claims, "agent_type": "Billing"}]
    assert list(fallback_lines(told)) == ["Claims, Billing: qwen answers in place of mixtral: too large"]
    told["agent_types"] = [{**claims, "by": None}, {**claims, "agent_type": "Chat", "by": None, "fallback": None}]
    assert list(fallback_lines(told)) == [
        "Claims: nobody answers: mixtral cannot be had, nor can its fallback qwen: too large",
        "Chat: nobody answers: mixtral cannot be had: too large",
    ]


def test_a_reason_that_is_a_warning_already_is_not_said_twice() -> None:
    told = status(warnings=["too large"])
    claims = {"agent_type": "Claims", "model": "mixtral", "fallback": "qwen", "by": "qwen", "why_not": "too large"}
    told["agent_types"] = [claims]
    assert list(fallback_lines(told)) == ["Claims: qwen answers in place of mixtral"]


def test_a_catalog_that_is_broken_on_the_disk_is_told_with_what_is_served() -> None:
    told = status()
    told["proxy"]["catalog_problem"] = "c/a.yaml:2: port: must be"
    [line] = [line for line in status_lines(told) if "catalog is broken" in line]
    assert line.endswith("the last that was sound is served: c/a.yaml:2: port: must be")
