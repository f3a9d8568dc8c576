"""What the scheduler's benchmark plays: devices, models with what their acts cost, and requests. Seconds and GiB."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec


class ModelCosts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: what it takes, and what each act on its engine costs.

    `prepare_s` is the part of `start_s` that needs no VRAM. A model that cannot sleep has no `sleep_levels`;
    `sleep_s` and `wake_s` are by level, the first for level 1. Of `concurrency` requests each takes its own time.
    """

    gib: float
    start_s: float
    prepare_s: float = 7.0
    stop_s: float = 2.0
    sleep_levels: tuple[int, ...] = ()
    sleep_s: tuple[float, float] = (1.5, 0.5)
    wake_s: tuple[float, float] = (2.0, 6.0)
    asleep_gib: float = 0.8
    host_gib: float = 0.0
    concurrency: int = 16


class World(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The YAML beside a trace: devices by name with their GiB, models by name, the bound."""

    devices_gib: dict[str, float]
    models: dict[str, ModelCosts]
    host_gib: float = 0.0
    max_wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it comes, for which model, and how long it is served."""

    number: int
    at_s: float
    model: str
    service_s: float


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival, in a world."""

    name: str
    world: World
    requests: list[Request]
    is_small: bool = False
    """Small enough for the optimum to be computed."""


@dataclass(slots=True)
class Outcome:
    """What became of a trace under one policy; `waits_s` are in the order of the requests."""

    policy: str
    waits_s: list[float] = field(default_factory=list)
    swaps: int = 0
    lost_s: float = 0.0
    """Engine-seconds of starting, waking, sleeping and stopping that held a device."""
    refused: int = 0
    longest_swap_s: float = 0.0

    @property
    def mean_s(self) -> float:
        """The mean wait."""
        return sum(self.waits_s) / len(self.waits_s) if self.waits_s else 0.0

    @property
    def p95_s(self) -> float:
        """The wait that 95 of 100 do not exceed (nearest rank)."""
        ordered = sorted(self.waits_s)
        return ordered[max(0, -(-95 * len(ordered) // 100) - 1)] if ordered else 0.0

    @property
    def worst_s(self) -> float:
        """The longest wait."""
        return max(self.waits_s, default=0.0)


def numbered(name: str, world: World, drawn: Iterable[tuple[float, str, float]], *, is_small: bool = False) -> Trace:
    """A trace of (t_s, model, service_s), in any order."""
    ordered = sorted(drawn)
    return Trace(
        name, world, [Request(n, at, model, service) for n, (at, model, service) in enumerate(ordered)], is_small
    )


def read(path: Path) -> Trace:
    """A trace from a CSV file (`t_s,model,service_s`) and the YAML of the same name beside it.

    Raises: ValueError, which names the file and what is wrong with it.
    """
    beside = path.with_suffix(".yaml")
    try:
        world = msgspec.yaml.decode(beside.read_bytes(), type=World)
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"{beside}: {error}") from error
    drawn = []
    try:
        with path.open(newline="") as lines:
            rows = csv.DictReader(lines)
            if (rows.fieldnames or []) != ["t_s", "model", "service_s"]:
                raise ValueError(f"{path}: the first line is {rows.fieldnames}, and must be t_s,model,service_s")
            for row in rows:
                if row["model"] not in world.models:
                    known = ", ".join(world.models)
                    raise ValueError(f"{path}, line {rows.line_num}: no model '{row['model']}' in {beside}: {known}")
                drawn.append((float(row["t_s"]), row["model"], float(row["service_s"])))
    except (OSError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return numbered(path.stem, world, drawn)
