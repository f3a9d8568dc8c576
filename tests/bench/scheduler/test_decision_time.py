"""The scheduler that is kept full, for the decision times."""

from itertools import islice

from proxy.core import messages
from proxy.core.messages import Command
from tests.bench.scheduler.decision_time import _Full, granting, measure


def commands_of(full: _Full, events: int) -> list[Command]:
    commands: list[Command] = []
    for event, now in islice(full.events(), events):
        given = full.scheduler.handle(event, now)
        full.do(given, now)
        commands += given
    return commands


def test_it_stays_full_and_swaps_go_on() -> None:
    full = _Full(20, 200)
    commands = commands_of(full, 2000)
    waiting = sum(one.waiting for one in full.scheduler.view(0.0))
    on_their_way = sum(isinstance(event, messages.RequestArrived) for _, _, event in full.agenda)
    assert waiting + on_their_way == 200
    assert waiting > 150
    for kind in (messages.SleepEngine, messages.StopEngine, messages.WakeEngine, messages.OpenGate):
        assert any(isinstance(command, kind) for command in commands), kind


def test_it_decides_the_same_each_time() -> None:
    assert commands_of(_Full(20, 200), 300) == commands_of(_Full(20, 200), 300)


def test_all_kinds_of_events_are_measured() -> None:
    times = measure(20, 200, 1500)
    assert {"RequestArrived", "RequestEnded", "Tick", "EngineReady", "EngineStopped"} <= set(times.by_kind)
    assert sum(map(len, times.by_kind.values())) == 1500
    assert 0.0 < times.median_s < 1.0


def test_all_tickets_of_an_engine_are_granted_at_once() -> None:
    assert 0.0 < granting(100) < 1.0
