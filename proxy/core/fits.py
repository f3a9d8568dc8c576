"""Says to people what fits where, and who holds the memory."""

from collections.abc import Mapping

from catalog.spec import GIB
from proxy.core import errors
from proxy.core.board import Board
from proxy.core.devices import Device
from proxy.core.roster import Engine, EngineNeeds


def too_large(board: Board, engine: Engine) -> errors.RotaError | None:
    """The error if `engine` fits on no device even alone."""
    return why_too_large(engine.model, engine.needs, board.ledger.devices)


def why_too_large(model: str, needs: EngineNeeds, devices: Mapping[str, Device]) -> errors.RotaError | None:
    """The error if `model` fits on none of `devices`, by their ids, even alone."""
    needed = needs.start_bytes
    if any(all(needed <= devices[device].capacity_bytes for device in choice) for choice in needs.choices):
        return None
    count = needs.device_count
    each = f"{needed / GIB:.2f} GiB" + (f" on each of {count} devices" if count > 1 else "")
    have = ", ".join(f"{one.name} has {one.capacity_bytes / GIB:.2f} GiB for models" for one in devices.values())
    what = f"{model} needs {each}, and it fits nowhere: {have}"
    if not needs.choices:
        what = f"{model} may run on no device of this machine, or on fewer than it needs ({count}): {have}"
    return errors.ModelTooLarge(what, param="model")


def holders_of(board: Board, engine: Engine) -> str:
    """Who holds the memory of the devices that `engine` may have, in words."""
    told = []
    for device in dict.fromkeys(device for choice in engine.needs.choices for device in choice):
        held = [
            f"{_named(board, model)} {amount / GIB:.2f}" for model, amount in board.ledger.reservations(device).items()
        ]
        if (strangers := board.ledger.strangers(device)).bytes:
            held.append(f"{strangers} {strangers.bytes / GIB:.2f}")
        known = board.ledger.devices[device]
        told.append(f"{known.name} ({known.capacity_bytes / GIB:.2f} GiB for models): {', '.join(held) or 'nobody'}")
    return f"it needs {board.start_bytes(engine) / GIB:.2f} GiB; held on " + "; ".join(told)


def _named(board: Board, model: str) -> str:
    return f"{model} (pinned)" if board.is_pinned(board.engines[model]) else model
