"""Commands are run, and what became of them comes back as events."""

import asyncio

import pytest

from proxy.commands import Commands
from proxy.core import messages
from proxy.core.errors import EngineStartFailed, RotaError, ShuttingDown, WaitedTooLong
from proxy.core.messages import Event
from proxy.entries import Entries, Entry
from proxy.tasks import Tasks
from tests.fleet_stage import LAUNCH, TAKEN, FakeLifecycle, FakePrograms, spec


class Running:
    def __init__(self) -> None:
        self.lifecycle, self.fed = FakeLifecycle(), list[Event]()
        entries = [Entry(spec("a"), TAKEN, (), (), "old"), Entry(spec("b"), TAKEN, (), (), "b")]
        self.entries, self.programs = Entries(entries), FakePrograms()
        self.commands = Commands(
            self.lifecycle,  # type: ignore[arg-type]
            self.lifecycle,  # type: ignore[arg-type]
            self.entries,
            self.programs,
            Tasks(lambda: None),
            self.fed.append,
        )

    async def run(self, command: messages.Command) -> list[Event]:
        """Run it. Returns what has been fed back when nothing is left to do."""
        self.commands.run(command)
        for _ in range(10):
            await asyncio.sleep(0)
        return self.fed


async def test_tickets_are_answered_once() -> None:
    it = Running()
    granted, refused = it.commands.expect_answer(1), it.commands.expect_answer(2)
    await it.run(messages.Grant(1))
    await it.run(messages.Reject(1, WaitedTooLong("late")))
    await it.run(messages.Reject(2, WaitedTooLong("late")))
    await it.run(messages.Grant(3))
    assert granted.result() is None
    with pytest.raises(WaitedTooLong):
        refused.result()


@pytest.mark.parametrize(
    ("command", "done", "event"),
    [
        (messages.StartEngine("a"), "start a", None),
        (messages.SleepEngine("a", 1), "sleep a 1", messages.EngineAsleep("a")),
        (messages.WakeEngine("a", 1), "wake a 1", messages.EngineReady("a")),
        (messages.StopEngine("a", at_once=True), "stop a at once", messages.EngineStopped("a")),
    ],
)
async def test_each_act_is_begun_and_its_end_is_fed_back(
    command: messages.Command, done: str, event: Event | None
) -> None:
    it = Running()
    assert await it.run(command) == ([] if event is None else [event])
    assert it.lifecycle.done == [done]


async def test_weights_are_read_for_who_waits_and_not_for_who_is_parked_ahead() -> None:
    it = Running()
    await it.run(messages.StartEngine("a", is_ahead=True))
    assert it.lifecycle.read == []
    await it.run(messages.StartEngine("a"))
    assert it.lifecycle.read == ["a"]


async def test_a_stop_cuts_short_what_is_done_to_the_engine() -> None:
    it = Running()
    it.lifecycle.ready.clear()
    await it.run(messages.WakeEngine("a", 1))
    assert await it.run(messages.StopEngine("a")) == [messages.EngineStopped("a")]
    it.lifecycle.ready.set()
    await asyncio.sleep(0)
    assert it.fed == [messages.EngineStopped("a")]


async def test_who_waits_at_the_gate_gets_its_launch_or_the_reason() -> None:
    it = Running()
    asked = it.commands.gates.ask("a", 7)
    assert await it.run(messages.OpenGate("a", ("card",), 5)) == [messages.EngineReady("a")]
    assert asked.answer.result() is LAUNCH
    refused = it.commands.gates.ask("b", 8)
    await it.run(messages.CloseGate("b", WaitedTooLong("late")))
    with pytest.raises(WaitedTooLong):
        refused.answer.result()


async def test_a_launch_that_cannot_be_is_told_to_both_sides() -> None:
    it = Running()
    it.lifecycle.launch_error = EngineStartFailed("no weights")
    asked = it.commands.gates.ask("a", 7)
    [event] = await it.run(messages.OpenGate("a", ("card",), 5))
    assert isinstance(event, messages.StartFailed)
    with pytest.raises(EngineStartFailed):
        asked.answer.result()


async def test_all_who_wait_are_sent_away_but_those_who_have_their_answer() -> None:
    it = Running()
    granted, waiting = it.commands.expect_answer(1), it.commands.expect_answer(2)
    asked = it.commands.gates.ask("a", 7)
    await it.run(messages.Grant(1))
    it.commands.send_all_away(ShuttingDown("going"))
    assert granted.result() is None
    for future in (waiting, asked.answer):
        with pytest.raises(RotaError, match="going"):
            future.result()


async def test_a_changed_entry_counts_when_the_scheduler_says_so_and_one_that_is_gone_loses_its_program() -> None:
    it = Running()
    it.entries.put_next(Entry(spec("a"), TAKEN, (), (), "new"))
    assert it.entries.keys["a"] == "old"
    await it.run(messages.UseEntry("a"))
    assert it.entries.keys["a"] == "new"
    await it.run(messages.ForgetModel("b"))
    assert it.programs.removed == ["b"]
