"""The answer of /status as a person reads it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.spec import GIB

_AMOUNTS = (
    ("awake_bytes", "awake"),
    ("peak_bytes", "starting"),
    ("asleep_bytes", "asleep"),
    ("sleep_host_bytes", "of the host asleep"),
)
_ABSENT = ("stopping", "stopped", "failed")
_SLEEP_LEVELS = ("falling_asleep", "asleep", "waking")


def status_lines(status: Mapping[str, Any], *, with_memory: bool = False) -> Iterator[str]:
    """Line by line; `with_memory` adds what each model was declared to take, takes as measured, and holds now."""
    proxy = status["proxy"]
    names = {device["id"]: device["name"] for device in status["devices"]}
    which = f"version {proxy.get('version', '?')}, pid {proxy['pid']}, up {proxy['up_s']:.0f} s"
    yield f"proxy   {proxy['url']}  {which}, catalog {proxy['catalog']}"
    if proxy["catalog_problem"]:
        yield f"        the catalog is broken, and the last that was sound is served: {proxy['catalog_problem']}"
    for device in status["devices"]:
        yield from _device(device)
    if pinned := status["host"]["pinned"]:
        held = ", ".join(f"{model} {_gib(amount)}" for model, amount in pinned.items())
        capacity = _gib(status["host"]["for_sleepers_bytes"])
        yield f"host    {_gib(sum(pinned.values()))} of {capacity} GiB pinned by sleepers: {held}"
    if parked := status["host"]["parked"]:
        yield f"host    {_gib(sum(parked.values()))} GiB held by processes that are parked: {', '.join(parked)}"
    wide = max([5, *(len(engine["model"]) for engine in status["engines"])])
    places = {engine["model"]: _on(engine, names) for engine in status["engines"]}
    on = max([2, *map(len, places.values())])
    head = f"{'MODEL':<{wide}} {'STATE':<14} {'FOR':>8} {'GiB':>6} {'HELD':>6} {'ON':<{on}} {'LEASES':>6} {'WAIT':>5}"
    yield f"{head}  AGENT TYPES"
    for engine in status["engines"]:
        yield _row(engine, f"{engine['model']:<{wide}}", f"{places[engine['model']]:<{on}}")
        yield from _engine(engine, names, with_memory)
    yield from fallback_lines(status)


def fallback_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """Who answers in the place of models that cannot be had now, a line for each such model; and why, if it is new."""
    told = {line for engine in status["engines"] for warning in engine["warnings"] for line in warning.split("\n")}
    groups: dict[tuple[str, str | None, str | None, str], list[str]] = {}
    for one in status["agent_types"]:
        if one["by"] != one["model"]:
            key = (one["model"], one["fallback"], one["by"], one["why_not"])
            groups.setdefault(key, []).append(one["agent_type"])
    for (model, fallback, by, why_not), agent_types in groups.items():
        who = f"{by} answers in place of {model}"
        if by is None:
            nor = f", nor can its fallback {fallback}" if fallback else ""
            who = f"nobody answers: {model} cannot be had{nor}"
        yield f"{', '.join(agent_types)}: {who}" + ("" if why_not in told else f": {why_not}")


def _device(device: Mapping[str, Any]) -> Iterator[str]:
    held = ", ".join(f"{model} {_gib(amount)}" for model, amount in device["reservations"].items())
    also = "" if device["name"] == device["id"] else f" ({device['id']})"
    reserved = f"{_gib(device['reserved_bytes'])} of {_gib(device['capacity_bytes'])} GiB reserved"
    yield f"device  {device['name']}{also}  {reserved}{held and f': {held}'}"
    strangers = device["strangers"]
    for process in strangers["processes"]:
        amount = "?" if process["bytes"] is None else _gib(process["bytes"])
        command = process["command"] or "not visible from here"
        yield f"        stranger pid {process['pid']} holds {amount} GiB: {command}"


def _on(engine: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return "+".join(names.get(device, device) for device in engine["devices"]) or "-"


def _state(engine: Mapping[str, Any]) -> str:
    state: str = engine["state"]
    return f"{state} L{engine['sleep_level']}" if engine["sleep_level"] and state in _SLEEP_LEVELS else state


def _row(engine: Mapping[str, Any], model: str, on: str) -> str:
    return (
        f"{model} {_state(engine):<14} {duration(engine['in_state_s']):>8} "
        f"{_gib(engine['memory_bytes']):>6} {_gib(engine['held_bytes']):>6} {on} "
        f"{engine['leases']:>6} {engine['waiting']:>5}  {', '.join(engine['agent_types'])}"
    )


def _engine(engine: Mapping[str, Any], names: Mapping[str, str], with_memory: bool) -> Iterator[str]:
    state = _state(engine)
    for warning in engine["warnings"]:
        yield "    warning: " + warning.replace("\n", "; ")
    if engine["at_gate_s"] is not None:
        yield f"    started by hand; waits at the gate for {duration(engine['at_gate_s'])}: {engine['waits_for']}"
    if engine["is_outdated"]:
        yield "    its entry in the catalog has changed, or is gone: it leaves as soon as it has drained"
    if engine["is_pinned"]:
        yield "    pinned: it makes room for nobody"
    if engine["stopped_by"]:
        yield f"    stopped {engine['stopped_by']}; stays so until somebody starts it"
    if engine["failure"]:
        yield "    failed: " + engine["failure"].replace("\n", "\n    | ")
    if engine["crashes"]:
        times = "once" if engine["crashes"] == 1 else f"{engine['crashes']} times, the last"
        yield f"    crashed {times} {duration(engine['last_crash_ago_s'])} ago: {engine['last_crash']}"
        if engine["last_words"] and state in _ABSENT:
            yield "    | " + engine["last_words"].replace("\n", "\n    | ")
    if engine["starts_plainly"]:
        yield "    nothing is done ahead of its starts: " + engine["starts_plainly"].replace("\n", "\n    | ")
    if engine["escalations"]:
        yield f"    {engine['escalations']} sleeps or wakes failed; the last: {engine['last_escalation']}"
    if with_memory:
        yield f"    {state} because: {engine['why']}"
        if engine["parked_bytes"]:
            yield f"    its process holds {_gib(engine['parked_bytes'])} GiB of the host's memory"
        memory = engine["memory"]
        for kind in ("declared", "learned", "reserves"):
            known = [f"{_gib(memory[kind][key])} {word}" for key, word in _AMOUNTS if memory[kind][key] is not None]
            yield f"    {kind:<9} {', '.join(known) or 'nothing yet'}"
        present = ", ".join(
            f"{_gib(held)} on {names.get(device, device)}" for device, held in memory["present"].items()
        )
        yield f"    {'present':<9} {present or 'nothing'}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whatever is readable."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _gib(amount: int) -> str:
    return f"{amount / GIB:.2f}"
