"""Rota's scheduler in simulated time: the same trace gives the same commands, and all requests are served."""

import pytest

from proxy.core.messages import Command, StartEngine, StopEngine
from tests.bench.scheduler.rota import _Play, rota
from tests.bench.scheduler.trace import ModelCosts, World, numbered
from tests.bench.scheduler.traces import draw


class _Noting(_Play):
    """Notes all commands, with their times."""

    def run_noting(self) -> list[tuple[float, Command]]:
        self.noted: list[tuple[float, Command]] = []
        self.run()
        return self.noted

    def do(self, command: Command, now: float) -> None:
        self.noted.append((now, command))
        super().do(command, now)


@pytest.mark.parametrize("name", ["bursts-sleep", "pairs-and-triples"])
def test_equal_inputs_give_equal_commands(name: str) -> None:
    noted = _Noting(draw(name, 3)).run_noting()
    assert noted == _Noting(draw(name, 3)).run_noting()
    assert noted != _Noting(draw(name, 4)).run_noting()


def test_a_swap_takes_what_the_trace_says_and_the_next_process_prepares_meanwhile() -> None:
    costs = ModelCosts(gib=20.0, start_s=50.0, prepare_s=7.0, stop_s=2.0)
    world = World(devices_gib={"gpu0": 24.0}, models={"a": costs, "b": costs})
    trace = numbered("turns", world, [(0.0, "a", 4.0), (500.0, "b", 4.0)])
    outcome = rota(trace)
    assert outcome.waits_s == pytest.approx([50.0, 7.0 + 43.0])
    assert (outcome.swaps, outcome.refused) == (2, 0)
    assert outcome.lost_s == 50.0 + 2.0 + 43.0, "what prepares while others leave holds no device"
    commands = [command for _, command in _Noting(trace).run_noting()]
    assert abs(commands.index(StartEngine("b")) - commands.index(StopEngine("a"))) == 1, "in one decision"
