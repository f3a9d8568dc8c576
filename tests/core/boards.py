"""Boards with engines that are in some state already, for what is decided from the facts alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from proxy.core.board import Board
from proxy.core.limits import Limits
from proxy.core.offers import Rung, Way
from proxy.core.queue import Ticket
from proxy.core.roster import Engine, EngineNeeds
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import GIB, amounts, device, gib, needs

CARDS = {"x": 24.0, "y": 12.0}
LIMITS = Limits(max_wait_s=50, queue_timeout_s=100, cool_down_s=10, sleep_timeout_s=30, blocked_s=10)


def ladder(size: float, *, peak: float = 0, levels: tuple[int, ...] = (1, 2), **terms: float) -> EngineNeeds:
    """A model that keeps 1 GiB asleep, and pins 10 of the host's at level 1."""
    made = needs(amounts(size, 1, 10, peak=peak), CARDS, levels=levels)
    return replace(made, terms=Terms(**terms))  # type: ignore[arg-type]


class Stage:
    """A board, and acts that bring its engines where a test wants them. Commands are those since the last act."""

    def __init__(
        self,
        models: Mapping[str, EngineNeeds],
        limits: Limits = LIMITS,
        cards: Mapping[str, float] = CARDS,
        host: float = 20,
    ) -> None:
        self.board = Board([device(name, size) for name, size in cards.items()], models, limits, host_bytes=gib(host))

    def __getitem__(self, model: str) -> Engine:
        return self.board.engines[model]

    def wait(self, model: str, number: int, since: float, **facts: float) -> None:
        """A ticket for `model` since then."""
        self.board.enqueue(self[model], Ticket(number, since, **facts))

    def starting(self, model: str, *on: str, now: float = 0.0) -> Engine:
        self.board.start(self[model], on or ("x",), now, "for the test")
        self.board.commands.clear()
        return self[model]

    def parked(self, model: str, now: float = 0.0, *, at_gate: bool = False) -> Engine:
        self.board.park(self[model], now, "for the test")
        self[model].is_at_gate = at_gate
        self.board.commands.clear()
        return self[model]

    def ready(self, model: str, *on: str, now: float = 0.0, leases: Iterable[int] = ()) -> Engine:
        engine = self.starting(model, *on, now=now)
        self.board.ledger.correct(model, engine.needs.amounts.awake_bytes)
        self.board.move(engine, EngineState.READY, now, "for the test")
        engine.leases = dict.fromkeys(leases, now)
        return engine

    def draining(self, model: str, *on: str, now: float = 0.0, leases: Iterable[int] = ()) -> Engine:
        engine = self.ready(model, *on, now=now, leases=leases)
        self.board.move(engine, EngineState.DRAINING, now, "for the test")
        return engine

    def falling_asleep(self, model: str, *on: str, now: float = 0.0, level: int = 1) -> Engine:
        engine = self.draining(model, *on, now=now)
        pins = engine.needs.amounts.sleep_host_bytes if level == 1 else 0
        self.board.go_down(engine, Way(Rung.LEVEL_1 if level == 1 else Rung.LEVEL_2, GIB, pins), now)
        self.board.commands.clear()
        return engine

    def asleep(self, model: str, *on: str, now: float = 0.0, level: int = 1) -> Engine:
        engine = self.falling_asleep(model, *on, now=now, level=level)
        self.board.ledger.correct(model, engine.needs.amounts.asleep_bytes)
        self.board.move(engine, EngineState.ASLEEP, now, "for the test")
        return engine

    def stopping(self, model: str, *on: str, now: float = 0.0) -> Engine:
        engine = self.ready(model, *on, now=now)
        self.board.stop(engine, now, "for the test")
        self.board.commands.clear()
        return engine
