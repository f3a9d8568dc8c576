"""The answer of /reload as a person reads it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any


def reload_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """What changes, model by model and route by route; then whether it was done."""
    for step in told["models"]:
        keys = f" ({', '.join(step['keys'])})" if step["keys"] else ""
        yield f"{step['model']:<24} {step['what']}{keys}: {step['then']}"
        for warning in step["warnings"]:
            yield "    warning: " + warning.replace("\n", "; ")
    for one in told["routes"]:
        yield f"{one['agent_type']:<24} {one['old'] or 'nothing'} -> {one['new'] or 'nothing'}"
    yield from told["notes"]
    if not (told["models"] or told["routes"] or told["notes"]):
        yield f"{told['catalog']} has not changed"
    elif told["is_done"]:
        yield "done"
    else:
        yield "nothing was done: this is what reload would do"
