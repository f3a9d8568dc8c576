"""The short way of a lease and the long one come to the same."""

from dataclasses import replace

from hypothesis import given, settings, strategies as st

from proxy.core import messages
from proxy.core.messages import Command, Event
from proxy.core.states import EngineState
from tests.core.world import LIMITS, World, amounts, needs

DEVICES = {"x": 24.0, "y": 12.0}
MODELS = {
    "a": needs(amounts(12, 1, 10), DEVICES, levels=(1, 2)),
    "b": needs(amounts(20, 2, 10), DEVICES, levels=(1,)),
    "e": needs(amounts(20), DEVICES),
    "c": replace(needs(amounts(6), DEVICES), terms=replace(needs(amounts(6), DEVICES).terms, concurrency=2)),
    "d": replace(needs(amounts(6), DEVICES), terms=replace(needs(amounts(6), DEVICES).terms, idle_stop_s=5.0)),
}


def world() -> World:
    made = World()
    made.set_up(DEVICES, MODELS, host=30, limits=LIMITS)
    return made


def up(one: World, model: str) -> None:
    """Bring `model` up, with a lease for ticket 0 of it that has ended."""
    one.feed(messages.RequestArrived(-1, model), messages.GateAsked(model), messages.EngineReady(model))
    one.feed(messages.RequestEnded(-1))


def test_a_ready_engine_gives_a_lease_at_once_and_takes_it_back() -> None:
    one = world()
    up(one, "a")
    assert one.scheduler.grant_at_once("a", 1, None, one.now)
    assert one.scheduler.busy() == {"a"}
    assert one.scheduler.end_at_once(1, one.now)
    assert one.scheduler.busy() == set()


def test_an_engine_that_is_not_ready_or_full_or_unknown_gives_none() -> None:
    one = world()
    assert not one.scheduler.grant_at_once("a", 1, None, one.now)
    assert not one.scheduler.grant_at_once("nobody", 1, None, one.now)
    up(one, "c")
    assert [one.scheduler.grant_at_once("c", ticket, None, one.now) for ticket in (1, 2, 3)] == [True, True, False]


def test_who_stands_behind_others_gets_none() -> None:
    one = world()
    up(one, "c")
    for ticket in (1, 2, 3):
        one.feed(messages.RequestArrived(ticket, "c"))
    assert not one.scheduler.end_at_once(1, one.now), "the third waits for just this"
    assert one.feed(messages.RequestEnded(1)) == [messages.Grant(3)]


def test_the_end_goes_the_long_way_while_another_model_waits_for_the_room() -> None:
    one = world()
    up(one, "b")
    assert one.scheduler.grant_at_once("b", 1, None, one.now)
    one.feed(messages.RequestArrived(2, "e"))
    assert not one.scheduler.end_at_once(1, one.now)
    assert not one.scheduler.end_at_once(7, one.now), "there is no such lease"
    assert one.feed(messages.RequestEnded(1)) == [messages.SleepEngine("b", 1)]


def test_a_request_that_wants_its_engine_gone_ends_the_long_way() -> None:
    one = world()
    up(one, "a")
    assert one.scheduler.grant_at_once("a", 1, 0.0, one.now)
    assert not one.scheduler.end_at_once(1, one.now)
    assert one.feed(messages.RequestEnded(1)) == [messages.StopEngine("a")]


def test_what_a_person_stopped_gives_none() -> None:
    one = world()
    up(one, "a")
    one.feed(messages.StopAsked("a", "by ann"))
    assert not one.scheduler.grant_at_once("a", 1, None, one.now)


acts = st.one_of(
    st.tuples(st.just("arrive"), st.sampled_from(sorted(MODELS)), st.sampled_from([None, 0.0, 3.0])),
    st.tuples(st.just("end"), st.integers(0, 12)),
    st.tuples(st.just("pass"), st.sampled_from([0.5, 4.0, 60.0])),
    st.tuples(st.just("outside")),
    st.tuples(st.just("stop"), st.sampled_from(sorted(MODELS))),
)


class Pair:
    """Two worlds that see the same; one of them goes the short way wherever it may."""

    def __init__(self) -> None:
        self.long, self.short = world(), world()
        self.tickets: list[int] = []
        self.number = 0
        self.commands: list[Command] = []
        self.shortened = 0

    def feed(self, event: Event, *, went_short: bool = False) -> None:
        """Both have the event, then a tick: what follows from time alone waits for that one."""
        commands = [self.long.feed(event), [] if went_short else self.short.feed(event)]
        self.shortened += went_short
        for number, one in enumerate((self.long, self.short)):
            commands[number] += one.feed(messages.Tick())
        told = [[each for each in some if not isinstance(each, messages.Grant)] for some in commands]
        assert repr(told[0]) == repr(told[1])  # errors are equal where they say the same
        self.commands += told[0]
        self.same()

    def arrive(self, model: str, keep_alive_s: float | None) -> None:
        self.number += 1
        self.tickets.append(self.number)
        went_short = self.short.scheduler.grant_at_once(model, self.number, keep_alive_s, self.short.now)
        self.feed(messages.RequestArrived(self.number, model, keep_alive_s=keep_alive_s), went_short=went_short)

    def end(self, which: int) -> None:
        if which < len(self.tickets):
            ticket = self.tickets.pop(which)
            self.feed(
                messages.RequestEnded(ticket), went_short=self.short.scheduler.end_at_once(ticket, self.short.now)
            )

    def outside(self) -> None:
        """Whatever was begun comes to its end."""
        begun, self.commands = self.commands, []
        for command in begun:
            match command:
                case messages.StartEngine(model):
                    self.feed(messages.GateAsked(model))
                case messages.OpenGate(model) | messages.WakeEngine(model):
                    self.feed(messages.EngineReady(model))
                case messages.StopEngine(model):
                    self.feed(messages.EngineStopped(model))
                case messages.SleepEngine(model):
                    self.feed(messages.EngineAsleep(model))
                case _:
                    pass

    def same(self) -> None:
        views = [one.scheduler.view(one.now) for one in (self.long, self.short)]
        assert repr(views[0]) == repr(views[1])
        for model in MODELS:
            assert self.long.scheduler.costs(model) == self.short.scheduler.costs(model)
            told = [
                [entry for entry in one.scheduler.explain(model, one.now).log if entry.what != "grant"]
                for one in (self.long, self.short)
            ]
            assert told[0] == told[1]


@settings(max_examples=150, deadline=None)
@given(st.lists(acts, max_size=40))
def test_both_ways_lead_to_the_same_facts_and_commands(script: list[tuple[object, ...]]) -> None:
    pair = Pair()
    for act in script:
        match act:
            case ("arrive", str(model), keep_alive_s):
                pair.arrive(model, keep_alive_s)  # type: ignore[arg-type]
            case ("end", int(which)):
                pair.end(which)
            case ("pass", float(seconds)):
                pair.long.now += seconds
                pair.short.now += seconds
                pair.feed(messages.Tick())
            case ("stop", str(model)):
                pair.feed(messages.StopAsked(model, "by ann"))
            case _:
                pair.outside()


def test_the_pair_does_go_the_short_way() -> None:
    pair = Pair()
    pair.arrive("a", None)
    for _ in range(4):
        pair.outside()
    assert pair.long.state("a") is EngineState.READY
    pair.arrive("a", None)
    pair.end(1)
    assert pair.shortened == 2
