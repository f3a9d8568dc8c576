"""Records what happened: one event changes the facts on the board, and nothing is decided that the event does not say.

What is not news any more (an engine that is ready after it was stopped) changes nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from proxy.core import arrivals, at_gate, by_hand, doubts, errors, messages, parking, renew, stops
from proxy.core.board import Board
from proxy.core.devices import Placing
from proxy.core.diagnose import Lasts
from proxy.core.messages import Event
from proxy.core.phases import Phase
from proxy.core.roster import Crash, Engine
from proxy.core.states import RUNS, EngineState


def record(board: Board, event: Event, now: float) -> None:
    """Change the facts by one event; what is about a model that has just left the catalog is no news."""
    if board.gone and not isinstance(event, messages.NOT_OF_ONE_MODEL) and event.model in board.gone:
        _of_nobody(board, event)
        return
    match event:
        case messages.RequestArrived():
            arrivals.arrived(board, event, now)
        case messages.RequestEnded(ticket):
            arrivals.ended(board, ticket, now)
        case messages.StopAsked(model, who, at_once):
            by_hand.stop_asked(board, board.engines[model], who, now, at_once=at_once)
        case messages.SleepAsked(model, level, who):
            by_hand.sleep_asked(board, board.engines[model], level, who, now)
        case messages.PinSet(model, is_pinned):
            by_hand.pin_set(board, board.engines[model], is_pinned=is_pinned)
        case messages.PreloadAsked(model):
            arrivals.preload_asked(board, board.engines[model])
        case messages.GatePreparing(model, method):
            board.engines[model].method = method
        case messages.GateAsked(model):
            at_gate.asked(board, board.engines[model], now)
        case messages.GateReached(model):
            at_gate.reached(board, board.engines[model], event, now)
        case messages.GateLeft(model):
            at_gate.left(board, board.engines[model], now)
        case messages.VllmChanged(model):
            parking.vllm_changed(board, board.engines[model], now)
        case messages.StartHeard(model, is_silent):
            board.engines[model].is_silent = is_silent
        case messages.PhaseBegun(model, phase):
            board.engines[model].phase = (phase, now)
        case messages.EngineReady(model, phases):
            _ready(board, board.engines[model], phases, now)
        case messages.StartFailed(model, error):
            if board.engines[model].state in (EngineState.PARKED, EngineState.STARTING):
                doubts.failed(board, board.engines[model], error, now)
        case messages.EngineDown(model):
            _down(board, board.engines[model], event, now)
        case messages.EngineAsleep(model):
            engine = board.engines[model]
            if engine.state is EngineState.FALLING_ASLEEP:
                board.ledger.correct(model, engine.needs.amounts.asleep_bytes)
                engine.costs.note_sleep(engine.sleep_level, now - engine.since)
                board.move(engine, EngineState.ASLEEP, now, engine.why)
                engine.is_asked, engine.rung = False, None
        case messages.SleepFailed(model, detail):
            engine = board.engines[model]
            if engine.state in (EngineState.FALLING_ASLEEP, EngineState.WAKING):
                board.escalate(engine, detail, now)
        case messages.EngineStopped(model, how):
            _stopped(board, board.engines[model], how, now)
        case messages.EngineFound(model):
            _found(board, board.engines[model], event, now)
        case messages.ModelSet():
            renew.model_set(board, event, now)
        case messages.ModelRemoved(model):
            renew.model_removed(board, model)
        case messages.CostsRemembered(model, costs):
            board.engines[model].costs = costs
        case messages.StopRemembered(model, who):
            if model in board.engines and not board.limits.wakes_after_stop_by_hand:
                stops.note(board, board.engines[model], who, now)
        case messages.AmountsLearned(model, amounts):
            engine = board.engines[model]
            engine.needs = replace(engine.needs, amounts=amounts)
            _correct(board, engine)
        case messages.StrangersSeen(by_device):
            board.ledger.note_strangers(by_device)
        case messages.HostSeen(is_short, spare_bytes):
            board.is_host_short, board.host_spare_bytes = is_short, spare_bytes
        case messages.Tick():
            board.has_ticked = True
        case _:
            assert_never(event)


def _of_nobody(board: Board, event: Event) -> None:
    match event:
        case messages.RequestArrived(ticket, model):
            board.commands.append(messages.Reject(ticket, renew.no_such_model(model)))
        case messages.GateAsked(model):
            board.commands.append(messages.CloseGate(model, renew.no_such_model(model)))
        case _:
            pass


def _ready(board: Board, engine: Engine, phases: Mapping[str, float], now: float) -> None:
    if engine.state not in (EngineState.STARTING, EngineState.WAKING):
        return
    if engine.state is EngineState.WAKING:
        engine.failed_sleeps.pop(engine.sleep_level, None)
        engine.costs.note_wake(engine.sleep_level or 2, now - engine.since)
    elif engine.failure is None and not engine.is_adopted:
        engine.costs.note_load(now - engine.gate_opened_at)
        if phases:
            imports = {Phase.IMPORT.value: round(engine.import_s, 3)} if engine.import_s else {}
            engine.costs.phases = imports | dict(phases)
        doubts.succeeded(engine)
    board.move(engine, EngineState.READY, now, engine.why)
    engine.failure, engine.failures, engine.last_used_at, engine.sleep_level = None, 0, now, 0
    board.load_no_more(engine)
    if engine.last_crash is not None:
        engine.last_crash = replace(engine.last_crash, last_words="")
    _correct(board, engine)


def _correct(board: Board, engine: Engine) -> None:
    """Make the reservation what the engine takes in its state, as far as that is known better now."""
    amounts = engine.needs.amounts
    match engine.state:
        case EngineState.READY | EngineState.DRAINING:
            board.ledger.correct(engine.model, amounts.awake_bytes)
        case EngineState.ASLEEP:
            board.ledger.correct(engine.model, amounts.asleep_bytes)
        case EngineState.STARTING:
            reserved_bytes = board.ledger.placings[engine.model].bytes
            board.ledger.correct(engine.model, max(reserved_bytes, board.start_bytes(engine)))
        case _:
            pass  # it holds nothing, or is changing: the end of the change corrects it


def _down(board: Board, engine: Engine, event: messages.EngineDown, now: float) -> None:
    if engine.state not in RUNS:
        return
    if event.by_hand is not None:
        stops.note_unsettled(board, engine, event.by_hand)
        board.stop(engine, now, f"stopped {event.by_hand}")
        engine.is_stopped_at_once = True  # most of it was over when it was seen
    elif engine.state in (EngineState.PARKED, EngineState.STARTING):
        why = event.diagnosis
        mend = f" Then: bin/manage_vllm.sh start {engine.model}" if why.lasts is Lasts.LASTING else ""
        what = f"{engine.model} ended while starting. {why.cause} {why.remedy}{mend}"
        detail = "; ".join(filter(None, (event.detail, event.last_words)))
        doubts.failed(board, engine, errors.EngineStartFailed(what, detail=detail, lasts=why.lasts), now)
    else:
        engine.crashes += 1
        engine.last_crash = Crash(now, event.detail, event.last_words)
        board.stop(engine, now, event.detail, at_once=True)


def _stopped(board: Board, engine: Engine, how: str | None, now: float) -> None:
    if engine.state is not EngineState.STOPPING:
        return
    crash = engine.last_crash
    if how is not None and crash is not None and crash.at == engine.since and how not in crash.what:
        engine.why = f"{crash.what}: {how}"  # its end was seen before supervisord knew how
        engine.last_crash = replace(crash, what=engine.why)
    if not engine.is_stopped_at_once and board.ledger.placings[engine.model].devices:
        engine.costs.note_stop(now - engine.since)
    board.ledger.release(engine.model)
    engine.sleep_level, engine.is_due_at_gate = 0, False
    stops.note_ended(engine, now)
    board.move(engine, EngineState.STOPPED if engine.failure is None else EngineState.FAILED, now, engine.why)
    if isinstance(engine.failure, errors.EngineStartFailed):
        engine.cool_until = now + board.limits.cool_down_after(engine.failure.lasts, engine.failures)


def _found(board: Board, engine: Engine, event: messages.EngineFound, now: float) -> None:
    if engine.state is not EngineState.STOPPED:
        return
    amounts = engine.needs.amounts
    is_asleep = event.sleep_level is not None
    board.ledger.adopt(engine.model, Placing(event.devices, amounts.asleep_bytes if is_asleep else amounts.awake_bytes))
    board.move(
        engine, EngineState.ASLEEP if is_asleep else EngineState.STARTING, now, "found running, from an earlier life"
    )
    engine.is_gate_open, engine.is_adopted, engine.last_used_at = True, True, now
    stops.undo(board, engine)
    if event.is_outdated:
        renew.found_outdated(board, engine)
    engine.sleep_level = event.sleep_level or 0
    if event.sleep_level is not None and event.sleep_level != 2:
        board.ledger.adopt_pinned(engine.model, amounts.sleep_host_bytes)
