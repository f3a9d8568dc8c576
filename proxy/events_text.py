"""One event of /events as a person reads it. Pure."""

from collections.abc import Mapping
from typing import Any

from catalog.spec import GIB

_OWN = frozenset({"n", "at", "kind", "model", "what"})


def line_of(event: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """One line: when (UTC), which model, what happened, why; `names` are those of devices, by their ids."""
    return f"{event['at'][:10]} {event['at'][11:19]}  {event['model'] or '-':<20} {_what(event, names)}"


def _what(event: Mapping[str, Any], names: Mapping[str, str]) -> str:
    held = [
        f"{amount / GIB:.2f} GiB on {names.get(device, device)}" for device, amount in event.get("held", {}).items()
    ]
    match event["kind"]:
        case "move":
            return f"{event['old']} -> {event['new']}{''.join(f', holds {one}' for one in held)}: {event['why']}"
        case "refusal":
            return f"refused ({event['code']}): {event['why']}"
        case "grant":
            return f"a request that waited {event['waited_s']:.1f} s is served beside {event['leases']} others"
        case "strangers":
            return f"strangers hold {', '.join(held) or 'nothing'}"
        case _:
            rest = ", ".join(f"{name} {value}" for name, value in event.items() if name not in _OWN)
            return f"{event['what'].replace('_', ' ')}{rest and f' ({rest})'}"
