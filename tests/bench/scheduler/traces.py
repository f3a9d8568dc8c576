"""The traces of the benchmark, each drawn from a seed. FIFO cannot keep up with one whose name ends in `-pressed`."""

from collections.abc import Callable, Iterator
from itertools import count
from random import Random

import msgspec

from tests.bench.scheduler.trace import ModelCosts, Trace, World, numbered

Drawn = Iterator[tuple[float, str, float]]
_CARD = {"gpu0": 24.0}
_TWO = {"gpu0": 24.0, "gpu1": 12.0}
_FOUR = {f"gpu{number}": 24.0 for number in range(4)}
HALF_HOUR_S = 1800.0


def cold(gib: float = 20.0, start_s: float = 50.0) -> ModelCosts:
    """A model that cannot sleep: every swap is a cold start."""
    return ModelCosts(gib=gib, start_s=start_s)


def sleepy(gib: float = 20.0, start_s: float = 60.0) -> ModelCosts:
    """A model that sleeps at level 1 or 2: seconds instead of a minute."""
    return ModelCosts(
        gib=gib, start_s=start_s, sleep_levels=(1, 2), sleep_s=(1.5, 1.0), wake_s=(2.0, 3.0), host_gib=gib
    )


def poisson(random: Random, model: str, rate: float, mean_s: float, begin_s: float, end_s: float) -> Drawn:
    """Requests at `rate` a second, served for an exponential time."""
    at_s = begin_s
    while (at_s := at_s + random.expovariate(rate)) < end_s:
        yield at_s, model, random.expovariate(1.0 / mean_s)


def _mix(
    rates: dict[str, float], mean_s: float = 4.0, length_s: float = HALF_HOUR_S
) -> Callable[[Random], list[tuple[float, str, float]]]:
    """Independent requests for each model, at its rate."""

    def draw(random: Random) -> list[tuple[float, str, float]]:
        return [one for model, rate in rates.items() for one in poisson(random, model, rate, mean_s, 0.0, length_s)]

    return draw


def _alternation(
    gap_s: float, length_s: float, mean_s: float = 3.0
) -> Callable[[Random], list[tuple[float, str, float]]]:
    """Two agents that take turns, with some jitter."""

    def draw(random: Random) -> list[tuple[float, str, float]]:
        drawn: list[tuple[float, str, float]] = []
        at_s = 0.0
        for number in count():
            at_s += gap_s * random.uniform(0.7, 1.3)
            if at_s > length_s:
                return drawn
            drawn.append((at_s, "ab"[number % 2], random.expovariate(1 / mean_s)))
        raise AssertionError

    return draw


def _bursts(random: Random) -> list[tuple[float, str, float]]:
    """Two agents that work in bursts of ten to thirty requests, one every two seconds or so, then think."""
    drawn = []
    for model in "ab":
        at_s = random.uniform(0, 120)
        while at_s < HALF_HOUR_S:
            for _ in range(random.randint(10, 30)):
                at_s += random.expovariate(0.5)
                drawn.append((at_s, model, random.expovariate(1 / 3.0)))
            at_s += random.uniform(60, 300)
    return drawn


def _day(random: Random) -> list[tuple[float, str, float]]:
    """A clinic's day in two hours: seven agent types on four models, with their peaks."""
    drawn: list[tuple[float, str, float]] = []
    plan = [
        ("chatdoctor", 0.02, 0, 7200),  # Chat
        ("chatdoctor", 0.06, 600, 1800),  # Appointment: the morning's calls
        ("chatdoctor", 0.01, 0, 7200),  # Monitoring
        ("bimedix2", 0.03, 900, 3300),  # MedicalQA: the morning's consultations
        ("bimedix2", 0.03, 4200, 6600),  # and the afternoon's
        ("qwen", 0.02, 3000, 4800),  # Documentation: at noon
        ("qwen", 0.04, 6300, 7200),  # and before closing
        ("mixtral", 0.006, 1800, 7200),  # Billing
        ("mixtral", 0.03, 5400, 6300),  # Claims: the afternoon's batch
    ]
    for model, rate, begin_s, end_s in plan:
        drawn += poisson(random, model, rate, 6.0, begin_s, end_s)
    return drawn


def _clinic(make: Callable[[float, float], ModelCosts], devices: dict[str, float]) -> World:
    models = {
        "chatdoctor": make(11.0, 45.0),
        "bimedix2": make(20.0, 60.0),
        "qwen": make(11.5, 50.0),
        "mixtral": make(22.0, 90.0),
    }
    return World(devices_gib=devices, models=models, host_gib=48.0, max_wait_s=240.0)


def few(costs: ModelCosts, at_once: int) -> ModelCosts:
    """An engine that serves so few requests at once that they queue at it, too."""
    return msgspec.structs.replace(costs, concurrency=at_once)


def _pair(costs: ModelCosts, max_wait_s: float = 240.0) -> World:
    return World(devices_gib=_CARD, models={"a": costs, "b": costs}, host_gib=64.0, max_wait_s=max_wait_s)


def _hot(devices: dict[str, float], costs: ModelCosts, max_wait_s: float = 300.0) -> World:
    models = dict.fromkeys(("hot", "t1", "t2", "t3", "t4"), costs)
    return World(devices_gib=devices, models=models, host_gib=64.0, max_wait_s=max_wait_s)


_HOT_RATES = {"hot": 0.4, "t1": 0.005, "t2": 0.005, "t3": 0.005, "t4": 0.005}
_THREE = World(devices_gib=_CARD, models={name: cold(11.0, 45.0) for name in "abc"}, host_gib=64.0, max_wait_s=240.0)
_WHOLE = World(
    devices_gib=_TWO,
    models={"whole": cold(23.0, 80.0), "a": cold(11.0, 40.0), "b": cold(11.0, 40.0), "light": cold(6.0, 40.0)},
    max_wait_s=240.0,
)
_EIGHT = World(
    devices_gib=_FOUR, models={f"m{n}": cold(20.0, 50.0 + 5 * n) for n in range(8)}, host_gib=64.0, max_wait_s=240.0
)
_SMALL = _pair(msgspec.structs.replace(cold(), concurrency=256))
_SMALL_SLEEPY = _pair(msgspec.structs.replace(sleepy(), concurrency=256))

_TRACES: dict[str, tuple[World, Callable[[Random], list[tuple[float, str, float]]], bool]] = {
    "alternation-pressed": (_pair(cold()), _alternation(8.0, HALF_HOUR_S), False),
    "alternation-slow": (_pair(cold()), _alternation(120.0, 2 * HALF_HOUR_S), False),
    "alternation-sleep-pressed": (_pair(sleepy()), _alternation(6.0, HALF_HOUR_S), False),
    "bursts-pressed": (_pair(cold()), _bursts, False),
    "bursts-sleep": (_pair(sleepy()), _bursts, False),
    "mix-80-20-pressed": (_pair(cold()), _mix({"a": 0.4, "b": 0.1}), False),
    "mix-95-5-pressed": (_pair(cold()), _mix({"a": 0.38, "b": 0.02}), False),
    "mix-80-20-sleep-pressed": (_pair(sleepy()), _mix({"a": 0.4, "b": 0.1}), False),
    "day-one-card-pressed": (_clinic(cold, _CARD), _day, False),
    "day-sleep-pressed": (_clinic(sleepy, _CARD), _day, False),
    "day-two-cards": (_clinic(sleepy, _TWO), _day, False),
    "hot-trickle-pressed": (_hot(_CARD, cold()), _mix(_HOT_RATES), False),
    "hot-trickle-two-cards": (
        _hot({"gpu0": 24.0, "gpu1": 24.0}, cold()),
        _mix(_HOT_RATES),
        False,
    ),
    "pairs-and-triples": (_THREE, _mix({"a": 0.05, "b": 0.03, "c": 0.01}, length_s=2 * HALF_HOUR_S), False),
    "whole-card-pressed": (_WHOLE, _mix({"whole": 0.01, "a": 0.05, "b": 0.05, "light": 0.05}), False),
    "eight-on-four-pressed": (_EIGHT, _mix({f"m{n}": 0.02 if n < 4 else 0.004 for n in range(8)}), False),
    "mix-80-20-two-at-once-pressed": (_pair(few(cold(), 2)), _mix({"a": 0.4, "b": 0.1}), False),
    "overload-pressed": (_pair(cold()), _mix({"a": 2.6, "b": 2.6}, length_s=600.0), False),
    "small-alternation-pressed": (_SMALL, _alternation(2.0, 250.0), True),
    "small-turns-pressed": (_SMALL, _alternation(4.0, 600.0, 1.0), True),
    "small-even-mix-pressed": (_SMALL, _mix({"a": 0.5, "b": 0.5}, 1.0, 250.0), True),
    "small-alternation-slow": (_SMALL, _alternation(120.0, 2400.0), True),
    "small-mix-slow": (_SMALL, _mix({"a": 0.01, "b": 0.01}, 4.0, 2400.0), True),
    "small-sleep": (_SMALL_SLEEPY, _alternation(6.0, 300.0), True),
}

NAMES = tuple(_TRACES)


def draw(name: str, seed: int) -> Trace:
    """One trace from one seed."""
    world, drawn, is_small = _TRACES[name]
    random = Random(f"{name} {seed}")  # noqa: S311 - it draws a trace, no secret
    return numbered(name, world, drawn(random), is_small=is_small)
