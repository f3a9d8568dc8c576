"""A new catalog under running engines: models that are new, changed or gone. Nobody else is touched.

What only says how a model is treated counts at once. What decides how its engine is launched counts once the old
process is gone: it drains, whoever waits goes on waiting, and the next start is by the new entry. A model that is gone
serves those who came before, and then leaves for good.
"""

from proxy.core import arrivals, errors, messages
from proxy.core.board import Board
from proxy.core.fits import too_large
from proxy.core.journal import Cause
from proxy.core.offers import Plan, Rung
from proxy.core.roster import Engine, Successor
from proxy.core.states import EngineState

_CHANGED = "its entry in the catalog has changed"
_GONE = "the catalog does not have it any more"


def model_set(board: Board, event: messages.ModelSet, now: float) -> None:
    """The catalog has `model` so from now on."""
    if (engine := board.engines.get(event.model)) is None:
        engine = board.engines[event.model] = Engine(event.model, event.needs, since=now, costs=event.costs)
        board.gone.discard(event.model)
        _preload(board, engine, was_preload=False)
        return
    if engine.is_removed or engine.successor is not None:
        _take_back(board, engine)
    if event.is_same_launch:
        board.outdated.pop(event.model, None)
        was_preload, engine.needs = engine.needs.terms.is_preload, event.needs
        _preload(board, engine, was_preload=was_preload)
    else:
        engine.successor = Successor(event.needs, event.costs)
        board.outdated[event.model] = engine


def model_removed(board: Board, model: str) -> None:
    """The catalog does not have it any more."""
    engine = board.engines[model]
    _take_back(board, engine)
    engine.is_removed = True
    board.load_no_more(engine)
    board.outdated[model] = engine


def found_outdated(board: Board, engine: Engine) -> None:
    """It runs by an entry from before this proxy's life; what is known of the present one is there already."""
    engine.successor = Successor(engine.needs, engine.costs)
    board.outdated[engine.model] = engine


def renew(board: Board, now: float) -> None:
    """Let those go that run by an old entry, and have the new ones count for those that are gone."""
    for engine in list(board.outdated.values()):
        if engine.is_removed and (engine.queue or engine.leases):
            continue  # those who came before are served
        match engine.state:
            case EngineState.STOPPED | EngineState.FAILED:
                _succeed(board, engine, now)
            case EngineState.READY | EngineState.DRAINING | EngineState.ASLEEP:
                engine.is_asked, engine.rung, engine.why = True, Rung.STOP, _why(engine)
                if engine.state is EngineState.READY:
                    board.move(engine, EngineState.DRAINING, now, engine.why, Cause.CATALOG)
            case EngineState.PARKED | EngineState.STARTING | EngineState.FALLING_ASLEEP | EngineState.WAKING:
                board.stop(engine, now, _why(engine))
            case _:
                pass  # it is being stopped


def no_such_model(model: str) -> errors.ModelNotFound:
    """The error for who asks for a model that was in the catalog a moment ago."""
    return errors.ModelNotFound(f"the model '{model}' has just been taken out of the catalog", param="model")


def _succeed(board: Board, engine: Engine, now: float) -> None:
    """Its process is gone: the new entry counts, or nothing is left of it."""
    board.outdated.pop(engine.model)
    board.is_stale = True
    if engine.at_gate_since is not None:
        board.stand_at_gate(engine, None)
        what = f"{engine.model}: {_why(engine)} while it waited; start it again"
        board.commands.append(messages.CloseGate(engine.model, errors.GateRefused(what)))
    if (successor := engine.successor) is None:
        _forget(board, engine)
        return
    engine.successor, engine.needs, engine.costs = None, successor.needs, successor.costs
    # What failed was the old entry.
    engine.failure, engine.failures, engine.cool_until, engine.blocked_since = None, 0, now, None
    engine.failed_sleeps = {}
    if engine.state is EngineState.FAILED:
        board.move(engine, EngineState.STOPPED, now, _CHANGED)
    board.commands.append(messages.UseEntry(engine.model))
    _preload(board, engine, was_preload=False)
    if (error := too_large(board, engine)) is not None:
        board.send_away(engine, error, now)


def _preload(board: Board, engine: Engine, *, was_preload: bool) -> None:
    """What is to be there before anybody asks is so by its new entry, too."""
    if engine.needs.terms.is_preload and not was_preload:
        arrivals.preload_asked(board, engine)


def _forget(board: Board, engine: Engine) -> None:
    model = engine.model
    board.engines.pop(model)
    board.pins.pop(model, None)
    board.gone.add(model)
    for engines in (board.wanted, board.changing):
        engines.pop(model, None)
    for words in (board.stopped_by, board.left_for):
        words.pop(model, None)
    board.plan = Plan()
    board.commands.append(messages.ForgetModel(model))


def _take_back(board: Board, engine: Engine) -> None:
    """What was decided because of an entry that counts no more."""
    if engine.is_asked and engine.why in (_CHANGED, _GONE) and engine.model not in board.stopped_by:
        engine.is_asked, engine.rung = False, None
    engine.is_removed, engine.successor = False, None


def _why(engine: Engine) -> str:
    return _GONE if engine.is_removed else _CHANGED
