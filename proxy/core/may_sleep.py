"""Says to a person why an engine cannot be put to sleep as asked, and what to do instead."""

from catalog.spec import GIB
from proxy.core.board import Board
from proxy.core.devices import DeviceKind
from proxy.core.errors import CannotSleep
from proxy.core.roster import Engine
from proxy.core.states import AWAKE, EngineState


def why_not_sleep(board: Board, engine: Engine, level: int) -> CannotSleep | None:
    """The error for a person who wants `engine` asleep at `level`, if that cannot be."""
    if level not in engine.needs.sleep_levels:
        return CannotSleep(_not_at(board, engine, level))
    if engine.state is EngineState.ASLEEP:
        return CannotSleep(_asleep_already(engine, level))
    if engine.state not in AWAKE:
        return CannotSleep(f"{engine.model} is {engine.state}, and only a ready engine can be put to sleep")
    pins = engine.needs.amounts.sleep_host_bytes - board.ledger.pinned.get(engine.model, 0)
    free = board.ledger.host_free_bytes
    if level == 1 and pins > max(0, free):
        return CannotSleep(
            f"{engine.model} would pin {pins / GIB:.2f} GiB more of the host's memory, and sleepers may use "
            f"{free / GIB:.2f} GiB more (setting sleep_host_gib): stop others, or sleep at level 2"
        )
    return None


def _not_at(board: Board, engine: Engine, level: int) -> str:
    model, levels = engine.model, engine.needs.sleep_levels
    if levels:
        return f"{model} cannot sleep at level {level}. Its levels: {', '.join(map(str, levels))}"
    instead = f"To free its memory: bin/manage_vllm.sh stop {model}"
    if all(device.kind is DeviceKind.CPU for device in board.ledger.devices.values()):
        return f"{model} cannot sleep: vLLM's CPU build has no sleep that frees memory. {instead}"
    return (
        f"{model} cannot sleep: sleep_levels in its file is [], or it is an embedder, which would keep most of its "
        f"memory. {instead}"
    )


def _asleep_already(engine: Engine, level: int) -> str:
    model, own = engine.model, engine.sleep_level
    now = f"{model} sleeps already, {f'at level {own}' if own else 'at a level that is not known'}"
    if own >= level:
        return now
    return (
        f"{now}, and vLLM takes a sleeping engine no deeper. Wake it first (bin/manage_vllm.sh start {model}, then "
        f"sleep {model} --level {level}), or stop it, which frees everything (bin/manage_vllm.sh stop {model})"
    )
