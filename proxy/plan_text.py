"""The answers of /plan and /status?explain=MODEL as a person reads them. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.spec import GIB
from proxy.status_text import duration

_KNOWN = {True: "as seen here", False: "not seen here yet, so a prior"}


def plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """What it would take, model by model, then the sum."""
    for seat in plan["seats"]:
        yield from _seat(seat)
    is_one = len(plan["seats"]) == 1
    fits, are = ("it fits", "is") if is_one else ("they fit together", "are")
    if not plan["fits"]:
        yield "it does not fit" if is_one else "they do not fit together"
    elif plan["ready_in_s"] > 0:
        yield f"{fits}, and all would be ready in about {duration(plan['ready_in_s'])}; nothing was done"
    else:
        yield f"{fits}, and {are} ready; nothing was done"


def why_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """Why an engine is where it is, what it waits for, what acts take, and the last decisions, the oldest first."""
    since = duration(explained["in_state_s"])
    yield f"{explained['model']}: {explained['state']} for {since}; why it became so: {explained['why']}"
    if explained["waits_for"]:
        yield f"waits: {explained['waits_for']}"
    expected = explained["expected"]
    acts = [f"start {expected['start_s']:.1f} s", f"stop {expected['stop_s']:.1f} s"]
    acts += [
        f"sleep {level} {expected['sleep_s'][level]:.1f} s, wake {wake_s:.1f} s"
        for level, wake_s in expected["wake_s"].items()
    ]
    yield f"expected: {', '.join(acts)} (a start {_KNOWN[expected['is_learned']]})"
    yield f"asked for: {expected['requests_per_minute']:.2f} requests a minute of late"
    for told in reversed(explained["log"]):
        about = "" if told["model"] == explained["model"] else f"{told['model']}: "
        yield f"{duration(told['ago_s']):>8} ago  {about}{told['what']}: {told['why']}"
    if not explained["log"]:
        yield "nothing was decided about it yet"


def _seat(seat: Mapping[str, Any]) -> Iterator[str]:
    size = f"{seat['bytes'] / GIB:.2f} GiB"
    if seat["why_not"] is not None:
        yield f"{seat['model']:<24} {seat['state']}, {size}: {seat['why_not']}"
        return
    where = ", ".join(seat["names"])
    if seat["ready_in_s"] <= 0:
        yield f"{seat['model']:<24} is {seat['state']} on {where}, {size}"
        return
    known = _KNOWN[seat["is_learned"]]
    yield f"{seat['model']:<24} {seat['state']}; on {where}, {size}, in about {duration(seat['ready_in_s'])} ({known})"
    for one in seat["leaving"]:
        frees = f"{one['frees_bytes'] / GIB:.2f} GiB"
        yield f"    after {one['model']}: {one['how']}, frees {frees}, in about {duration(one['in_s'])}"
