"""Reads a trace from a CSV file (`t_s,model,service_s`) and the YAML of the same name beside it.

`example.csv` and `example.yaml` show both. The lines of the CSV may stand in any order. What is wrong is told with the
file, the line and what is allowed.
"""

import csv
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from catalog.suggest import nearest
from catalog.yaml_file import CatalogError, read_struct, wrong_at
from tests.bench.scheduler.trace import Trace, World, numbered

COLUMNS = ("t_s", "model", "service_s")
LONGEST_S = 1e10


class TraceError(ValueError):
    """A trace cannot be played; the message says which file is wrong, where and how."""


def read(path: Path) -> Trace:
    """The trace in the CSV file `path`, in the world of the YAML beside it. Raises: TraceError."""
    beside = path.with_suffix(".yaml")
    try:
        world = read_struct(beside, World)
        _check_sizes(beside, world)
    except CatalogError as error:
        raise TraceError(str(error)) from error
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: is not UTF-8 text") from error
    requests = list(_requests(path, text, world, beside))
    if not requests:
        raise TraceError(f"{path}: no request follows the first line")
    return numbered("-".join(path.stem.split()), world, requests)


def _check_sizes(beside: Path, world: World) -> None:
    """Raises: CatalogError for a model that no device has room for."""
    largest_gib = max(world.devices_gib.values())
    for model, costs in world.models.items():
        if costs.gib > largest_gib:
            what = f"{costs.gib:g} GiB fit on no device; the largest has {largest_gib:g}"
            raise wrong_at(beside, ["models", model, "gib"], what)


def _requests(path: Path, text: str, world: World, beside: Path) -> Iterator[tuple[float, str, float]]:
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        first = next(rows, [])
        if tuple(cell.strip() for cell in first) != COLUMNS:
            raise TraceError(f"{path}:1: the first line must be {','.join(COLUMNS)}, and is {','.join(first)!r}")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            at = f"{path}:{rows.line_num}"
            if len(row) != len(COLUMNS):
                raise TraceError(f"{at}: {len(row)} values, and must be {len(COLUMNS)}: {','.join(COLUMNS)}")
            model = row[1].strip()
            if model not in world.models:
                known = list(world.models)
                raise TraceError(
                    f"{at}: model: '{model}' is not in {beside}.{nearest(model, known)} Allowed: {', '.join(known)}"
                )
            yield _seconds(at, COLUMNS[0], row[0]), model, _seconds(at, COLUMNS[2], row[2])
    except csv.Error as error:
        raise TraceError(f"{path}:{rows.line_num}: is not CSV: {error}") from error


def _seconds(at: str, column: str, text: str) -> float:
    allowed = f"a number of seconds from 0 to {LONGEST_S:.0f}"
    try:
        seconds = float(text)
    except ValueError as error:
        raise TraceError(f"{at}: {column}: must be {allowed}, and is '{text}'") from error
    if not isfinite(seconds) or not 0.0 <= seconds <= LONGEST_S:
        raise TraceError(f"{at}: {column}: must be {allowed}, and is '{text}'")
    return seconds
