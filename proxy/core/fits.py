"""Says to people what fits where, and who holds the memory."""

from catalog.spec import GIB
from proxy.core import errors
from proxy.core.board import Board
from proxy.core.roster import Engine


def too_large(board: Board, engine: Engine) -> errors.RotaError | None:
    """The error if `engine` fits on no device even alone."""
    needed = board.start_bytes(engine)
    if any(
        all(needed <= board.ledger.devices[device].capacity_bytes for device in choice)
        for choice in engine.needs.choices
    ):
        return None
    count, devices = engine.needs.device_count, board.ledger.devices.values()
    each = f"{needed / GIB:.2f} GiB" + (f" on each of {count} devices" if count > 1 else "")
    have = ", ".join(f"{device.name} has {device.capacity_bytes / GIB:.2f} GiB for models" for device in devices)
    what = f"{engine.model} needs {each}, and it fits nowhere: {have}"
    if not engine.needs.choices:
        what = f"{engine.model} may run on no device of this machine, or on fewer than it needs ({count}): {have}"
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
    return f"{model} (pinned)" if board.engines[model].needs.terms.is_pinned else model
