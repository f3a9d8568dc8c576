import pytest

from catalog.render import Launch
from proxy.core.errors import ShuttingDown
from proxy.gates import Gates

LAUNCH = Launch(["vllm"], {})


async def test_who_waits_gets_the_answer_and_only_the_first() -> None:
    gates = Gates()
    asked = gates.ask("a", 7)
    gates.answer("a", LAUNCH)
    gates.answer("a", ShuttingDown("late"))
    gates.answer("nobody", LAUNCH)
    assert await asked.answer is LAUNCH


async def test_a_newer_process_takes_the_place_and_the_older_one_does_not_give_it_up() -> None:
    gates = Gates()
    old, new = gates.ask("a", 7), gates.ask("a", 8)
    assert gates.waiting("a") is new
    assert not gates.leave("a", old)
    assert gates.leave("a", new)
    assert gates.waiting("a") is None


async def test_everybody_is_sent_away_at_the_end() -> None:
    gates = Gates()
    asked = [gates.ask(model, 7) for model in ("a", "b")]
    gates.answer_all(ShuttingDown("going"))
    for one in asked:
        with pytest.raises(ShuttingDown):
            await one.answer
