"""Over any sequence of events: the ledger is never overdrawn, and no ticket is ever lost."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core import messages
from proxy.core.errors import EngineStartFailed
from proxy.core.messages import Event
from proxy.core.states import IN_TRANSITION, RUNS, EngineState
from tests.core.world import GIB, World

MODELS = {"a": 10.0, "b": 15.0, "c": 25.0, "d": 40.0, "e": 3.0, "never": 41.0}
models = st.sampled_from(sorted(MODELS))


class Playing(RuleBasedStateMachine):
    """Clients come and go; the outside does what it is told, late, or fails at it; people interfere."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(**MODELS)
        self.open: set[int] = set()
        self.answered: set[int] = set()
        self.next_ticket = 1
        self.to_stop: set[str] = set()
        self.at_gate: set[str] = set()
        self.opened: set[str] = set()

    def feed(self, event: Event) -> None:
        for command in self.world.feed(event):
            match command:
                case messages.Grant(ticket) | messages.Reject(ticket, _):
                    assert ticket in self.open, "an answer for a ticket that nobody holds"
                    assert ticket not in self.answered, "two answers for one ticket"
                    self.answered.add(ticket)
                case messages.StopEngine(model):
                    assert model not in self.to_stop, "a second stop while the first is under way"
                    self.to_stop.add(model)
                    self.opened.discard(model)
                case messages.OpenGate(model):
                    assert model in self.at_gate, "the gate opened for nobody"
                    self.at_gate.discard(model)
                    self.opened.add(model)
                case messages.CloseGate(model, _):
                    self.at_gate.discard(model)
                case messages.StartEngine(_):
                    pass

    @rule(model=models)
    def a_request_arrives(self, model: str) -> None:
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        self.open.add(ticket)
        self.feed(messages.RequestArrived(ticket, model))

    @rule(data=st.data())
    def a_request_ends(self, data: st.DataObject) -> None:
        if self.open:
            ticket = data.draw(st.sampled_from(sorted(self.open)))
            self.open.discard(ticket)
            self.answered.discard(ticket)
            self.feed(messages.RequestEnded(ticket))

    @rule(model=models)
    def a_process_asks_at_the_gate(self, model: str) -> None:
        self.at_gate.add(model)
        self.feed(messages.GateAsked(model))

    @rule(model=models)
    def a_process_leaves_the_gate(self, model: str) -> None:
        if model in self.at_gate:
            self.at_gate.discard(model)
            self.feed(messages.GateLeft(model))

    @rule(model=models)
    def an_engine_is_ready(self, model: str) -> None:
        self.feed(messages.EngineReady(model))

    @rule(model=models)
    def a_start_fails(self, model: str) -> None:
        self.feed(messages.StartFailed(model, EngineStartFailed("x")))

    @rule(model=models, by_hand=st.booleans())
    def an_engine_goes_down(self, model: str, by_hand: bool) -> None:
        self.feed(messages.EngineDown(model, "x", by_hand))

    @rule(model=models)
    def an_engine_is_found(self, model: str) -> None:
        """At adoption only: nothing is asked for yet, and what ran before fitted."""
        states = self.world.scheduler.states()
        fits = MODELS[model] * GIB <= self.world.scheduler.ledger.free_bytes
        is_first = self.next_ticket == 1 and not self.at_gate and not any(s in IN_TRANSITION for s in states.values())
        if is_first and fits and states[model] is EngineState.STOPPED:
            self.feed(messages.EngineFound(model))

    @rule(model=models)
    def a_person_stops(self, model: str) -> None:
        self.feed(messages.StopAsked(model))

    @rule(data=st.data())
    def a_stop_is_done(self, data: st.DataObject) -> None:
        if self.to_stop:
            model = data.draw(st.sampled_from(sorted(self.to_stop)))
            self.to_stop.discard(model)
            self.feed(messages.EngineStopped(model))

    @rule(seconds=st.floats(0, 70))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.feed(messages.Tick())

    @invariant()
    def stopping_engines_are_those_being_stopped(self) -> None:
        stopping = {model for model, state in self.world.scheduler.states().items() if state is EngineState.STOPPING}
        assert stopping == self.to_stop

    @invariant()
    def at_most_one_engine_starts(self) -> None:
        assert sum(state is EngineState.STARTING for state in self.world.scheduler.states().values()) <= 1

    @invariant()
    def nothing_that_fits_is_left_waiting(self) -> None:
        """Whenever no start or stop is under way and somebody waits, somebody else is still being served."""
        view = self.world.scheduler.view(self.world.now)
        if any(engine.state in IN_TRANSITION for engine in view):
            return
        waiting = [engine for engine in view if engine.waiting]
        assert all(engine.state is not EngineState.READY for engine in waiting), "READY, and yet somebody waits"
        if waiting or self.at_gate:
            assert any(engine.state in RUNS and engine.leases for engine in view), "a ticket waits for nothing"

    def teardown(self) -> None:
        """When the outside does all that it is told, and all requests end, every ticket has been answered."""
        for _ in range(200):
            for ticket in sorted(self.open & self.answered):
                self.open.discard(ticket)
                self.feed(messages.RequestEnded(ticket))
            for model in sorted(self.to_stop):
                self.to_stop.discard(model)
                self.feed(messages.EngineStopped(model))
            for model, state in self.world.scheduler.states().items():
                if state is EngineState.STARTING:
                    self.feed(messages.EngineReady(model))
            if not self.open:
                return
        raise AssertionError(f"never answered: {self.open - self.answered}, {self.world.scheduler!r}")


Playing.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestPlaying = Playing.TestCase
