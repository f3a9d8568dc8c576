"""Over any sequence of events on several devices: nothing is overdrawn, no ticket is lost, equals decide equally."""

from dataclasses import replace

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core import messages
from proxy.core.devices import Strangers
from proxy.core.errors import EngineStartFailed
from proxy.core.messages import Command, Event
from proxy.core.roster import EngineNeeds
from proxy.core.states import HOLDS_VRAM, IN_TRANSITION, RUNS, EngineState
from proxy.core.terms import Terms
from tests.core.world import LIMITS as SHORT, World, amounts, gib, needs

DEVICES = {"x": 24.0, "y": 12.0, "z": 24.0}
ON_X = {"x": 24.0}


def on_terms(made: EngineNeeds, **terms: float) -> EngineNeeds:
    return replace(made, terms=Terms(**terms))  # type: ignore[arg-type]


MODELS = {
    "a": needs(amounts(12, 1, 10), DEVICES, levels=(1, 2)),
    "b": on_terms(needs(amounts(12, 2, 10, peak=14), DEVICES, levels=(1,)), min_residence_s=40.0),
    "c": on_terms(needs(amounts(6, 1, 5), DEVICES), concurrency=1),
    "on_x": on_terms(needs(amounts(20, 1, 20), ON_X, levels=(1, 2)), concurrency=2, priority=3.0),
    "tp": needs(amounts(10, 1, 20), DEVICES, count=2, levels=(2,)),
    "tp3": needs(amounts(11), DEVICES, count=3),
    "never": needs(amounts(25), DEVICES),
}
LIMITS = replace(SHORT, queue_timeout_s=1e9)
"""Nobody is sent away: the bound alone must see to it that everybody is served."""

models = st.sampled_from(sorted(MODELS))


class Playing(RuleBasedStateMachine):
    """Clients come and go; the outside does what it is told, late, or fails at it; people and strangers interfere."""

    overlap = False

    def __init__(self) -> None:
        super().__init__()
        self.world, self.twin = World(), World()
        limits = replace(LIMITS, overlap=self.overlap)
        self.world.set_up(DEVICES, MODELS, host=30, limits=limits)
        self.twin.set_up(DEVICES, dict(reversed(MODELS.items())), host=30, limits=limits)
        self.open: set[int] = set()
        self.answered: set[int] = set()
        self.next_ticket = 1
        self.deadlines: dict[int, float] = {}
        self.to_stop: set[str] = set()
        self.to_sleep: set[str] = set()
        self.to_wake: set[str] = set()
        self.at_gate: set[str] = set()
        self.forced: set[str] = set()
        """Engines that are being stopped without a decision: they ended, or a person restarted them."""

    def feed(self, event: Event) -> None:
        before = self.world.scheduler.states()
        commands = self.world.feed(event)
        self.check_twin(event, commands)
        for command in commands:
            match command:
                case messages.Grant(ticket) | messages.Reject(ticket, _):
                    assert ticket in self.open, "an answer for a ticket that nobody holds"
                    assert ticket not in self.answered, "two answers for one ticket"
                    self.answered.add(ticket)
                case messages.StopEngine(model, _):
                    assert model not in self.to_stop, "a second stop while the first is under way"
                    self.to_stop.add(model)
                    self.to_sleep.discard(model)
                    self.to_wake.discard(model)
                    is_own = isinstance(event, messages.EngineDown | messages.GateAsked) and event.model == model
                    if is_own or before[model] in IN_TRANSITION:
                        self.forced.add(model)
                case messages.SleepEngine(model, _):
                    assert not self.leases(model), "put to sleep with leases"
                    self.to_sleep.add(model)
                case messages.WakeEngine(model, _):
                    self.to_wake.add(model)
                case messages.OpenGate(model):
                    assert model in self.at_gate, "the gate opened for nobody"
                    self.at_gate.discard(model)
                case messages.CloseGate(model, _):
                    self.at_gate.discard(model)
                case messages.StartEngine(_):
                    pass

    def check_twin(self, event: Event, commands: list[Command]) -> None:
        """The same events give the same commands, in whatever order the catalog names its models."""
        self.twin.now = self.world.now
        assert repr(self.twin.feed(event)) == repr(commands)
        assert self.twin.scheduler.states() == self.world.scheduler.states()
        assert self.twin.scheduler.ledger.placings == self.world.scheduler.ledger.placings

    def leases(self, model: str) -> int:
        return next(view.leases for view in self.world.scheduler.view(self.world.now) if view.model == model)

    @rule(
        model=models,
        by_hand=st.sampled_from([None, None, None, "by ann"]),
        priority=st.sampled_from([1.0, 1.0, 5.0]),
        deadline_s=st.sampled_from([None, None, 30.0]),
    )
    def a_request_arrives(self, model: str, by_hand: str | None, priority: float, deadline_s: float | None) -> None:
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        self.open.add(ticket)
        if deadline_s is not None:
            self.deadlines[ticket] = self.world.now + deadline_s
        self.feed(messages.RequestArrived(ticket, model, by_hand, priority, deadline_s))

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

    @rule(data=st.data())
    def a_start_or_a_wake_is_done(self, data: st.DataObject) -> None:
        going = [m for m, s in self.world.scheduler.states().items() if s in (EngineState.STARTING, EngineState.WAKING)]
        if going:
            model = data.draw(st.sampled_from(sorted(going)))
            self.to_wake.discard(model)
            self.feed(messages.EngineReady(model))

    @rule(model=models)
    def a_late_word_comes(self, model: str) -> None:
        """Of a task whose engine has moved on since."""
        state = self.world.scheduler.states()[model]
        if state not in (EngineState.STARTING, EngineState.WAKING):
            self.feed(messages.EngineReady(model))
        if state is not EngineState.FALLING_ASLEEP:
            self.feed(messages.EngineAsleep(model))

    @rule(model=models)
    def a_start_fails(self, model: str) -> None:
        self.feed(messages.StartFailed(model, EngineStartFailed("x")))

    @rule(data=st.data(), works=st.booleans())
    def a_sleep_is_over(self, data: st.DataObject, works: bool) -> None:
        if self.to_sleep:
            model = data.draw(st.sampled_from(sorted(self.to_sleep)))
            self.to_sleep.discard(model)
            self.feed(messages.EngineAsleep(model) if works else messages.SleepFailed(model, "x"))

    @rule(model=models)
    def a_wake_fails(self, model: str) -> None:
        if model in self.to_wake:
            self.to_wake.discard(model)
            self.feed(messages.SleepFailed(model, "x"))

    @rule(model=models, by_hand=st.sampled_from([None, "with supervisorctl"]))
    def an_engine_goes_down(self, model: str, by_hand: str | None) -> None:
        self.feed(messages.EngineDown(model, "x", by_hand))

    @rule(model=models, asleep=st.booleans())
    def an_engine_is_found(self, model: str, asleep: bool) -> None:
        """At adoption only: nothing is asked for yet, and what ran before fitted."""
        scheduler, taken = self.world.scheduler, MODELS[model].amounts
        held = taken.asleep_bytes if asleep else taken.awake_bytes
        fits = [
            choice
            for choice in MODELS[model].choices
            if all(
                held <= scheduler.ledger.free_bytes(device)
                and scheduler.ledger.reserved_bytes(device) + held <= gib(DEVICES[device])
                for device in choice
            )
        ]
        pinned_fits = not asleep or taken.sleep_host_bytes <= scheduler.ledger.host_free_bytes
        is_first = self.next_ticket == 1 and not self.at_gate and not self.to_stop
        can = not asleep or MODELS[model].sleep_levels
        if is_first and can and fits and pinned_fits and scheduler.states()[model] is EngineState.STOPPED:
            self.feed(messages.EngineFound(model, fits[0], 1 if asleep else None))

    @rule(model=models)
    def a_person_stops(self, model: str) -> None:
        self.feed(messages.StopAsked(model, "by ann"))

    @rule(model=models, level=st.sampled_from([1, 2]))
    def a_person_puts_to_sleep(self, model: str, level: int) -> None:
        self.feed(messages.SleepAsked(model, level, "by ann"))

    @rule(device=st.sampled_from(sorted(DEVICES)), amount=st.sampled_from([0, 0, 2, 5, 30]))
    def strangers_come_and_go(self, device: str, amount: int) -> None:
        self.feed(messages.StrangersSeen({device: Strangers(gib(amount))}))

    @rule(data=st.data())
    def a_stop_is_done(self, data: st.DataObject) -> None:
        if self.to_stop:
            self.stopped(data.draw(st.sampled_from(sorted(self.to_stop))))

    def stopped(self, model: str) -> None:
        self.to_stop.discard(model)
        self.forced.discard(model)
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
    def at_most_one_act_is_under_way_on_a_device(self) -> None:
        """An engine that ends by itself, or under a person's hands, is cleared away at once, whoever else starts."""
        states, placings = self.world.scheduler.states(), self.world.scheduler.ledger.placings
        found_starting = self.next_ticket == 1
        acting = [m for m, s in states.items() if s in IN_TRANSITION and m not in self.forced]
        for device in DEVICES:
            here = [model for model in acting if device in placings[model].devices]
            assert len(here) <= 1 or found_starting or self._all_found(here), f"{here} on {device}"

    def _all_found(self, here: list[str]) -> bool:
        """Engines of an earlier life may have been found while they all were starting."""
        views = {view.model: view for view in self.world.scheduler.view(self.world.now)}
        return sum("earlier life" not in views[model].why for model in here) <= 1

    @invariant()
    def who_holds_memory_is_who_has_a_process_or_is_to_have_one(self) -> None:
        holders = set(self.world.scheduler.ledger.placings)
        assert holders == {model for model, state in self.world.scheduler.states().items() if state in HOLDS_VRAM}

    @invariant()
    def no_more_processes_prepare_than_there_are_devices(self) -> None:
        parked = list(self.world.scheduler.states().values()).count(EngineState.PARKED)
        assert parked <= (len(DEVICES) if self.overlap else 0)

    @invariant()
    def nobody_waits_past_its_deadline(self) -> None:
        waiting = self.open - self.answered
        assert all(self.deadlines.get(ticket, self.world.now) >= self.world.now for ticket in waiting)

    @invariant()
    def no_engine_serves_more_at_once_than_it_may_and_none_leaves_a_place_empty(self) -> None:
        for view in self.world.scheduler.view(self.world.now):
            places = MODELS[view.model].terms.concurrency
            assert view.leases <= places
            assert view.state is not EngineState.READY or not view.waiting or view.leases == places, "yet they wait"

    @invariant()
    def nothing_that_fits_is_left_waiting(self) -> None:
        """Whenever nothing is under way and somebody is due, an engine serves, or strangers hold the memory."""
        view = self.world.scheduler.view(self.world.now)
        waiting = [engine for engine in view if engine.waiting and engine.oldest_wait_s > LIMITS.max_wait_s]
        ledger = self.world.scheduler.ledger
        has_strangers = any(ledger.strangers(device).bytes for device in DEVICES)
        if has_strangers or any(engine.state in IN_TRANSITION for engine in view):
            return
        if waiting or self.at_gate:
            assert any(engine.state in RUNS and engine.leases for engine in view), "a ticket waits for nothing"

    def teardown(self) -> None:
        """When the outside does all that it is told, and all requests end, every ticket has been answered."""
        for device in DEVICES:
            self.feed(messages.StrangersSeen({device: Strangers(0)}))
        for _ in range(300):
            self.world.now += 1
            self.feed(messages.Tick())
            for ticket in sorted(self.open & self.answered):
                self.open.discard(ticket)
                self.feed(messages.RequestEnded(ticket))
            for model in sorted(self.to_stop):
                self.stopped(model)
            for model in sorted(self.to_sleep):
                self.to_sleep.discard(model)
                self.feed(messages.EngineAsleep(model))
            for model, state in self.world.scheduler.states().items():
                if state in (EngineState.STARTING, EngineState.WAKING):
                    self.to_wake.discard(model)
                    self.feed(messages.EngineReady(model))
            if not self.open:
                return
        raise AssertionError(f"never answered: {self.open - self.answered}, {self.world.scheduler!r}")


class PlayingWithOverlap(Playing):
    """The same where processes are started, and wait at the gate, before there is room for them."""

    overlap = True


Playing.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
PlayingWithOverlap.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestPlaying = Playing.TestCase
TestPlayingWithOverlap = PlayingWithOverlap.TestCase
