"""Whether the disks have room for several downloads together, which is asked before the first of them begins.

Rule: what stays of each counts in full; what is only needed while one is converted counts for as many as are under way
at once, the largest of them.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog.download.place import amount, disk_of, free_bytes


@dataclass(frozen=True, slots=True)
class Room:
    """What one download takes where `target` will be: in the end, and besides until it is done."""

    target: Path
    stays_bytes: int
    passing_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all fit, and how much is needed and free, in words."""

    fits: bool
    text: str


def verdict(rooms: Iterable[Room], at_once: int = 1) -> Verdict:
    """Whether the disks have room for all of `rooms`, so many `at_once`."""
    by_disk: dict[int, list[Room]] = defaultdict(list)
    for room in rooms:
        by_disk[disk_of(room.target)].append(room)
    told, fits = [], True
    for its in by_disk.values():
        passing = sorted((room.passing_bytes for room in its), reverse=True)[:at_once]
        needed, free = sum(room.stays_bytes for room in its) + sum(passing), free_bytes(its[0].target)
        text = f"{amount(needed)} on the disk in all, and {amount(free)} are free at {its[0].target.parent}"
        if needed > free:
            fits = False
            text += (
                f": make {amount(needed - free)} free, name fewer models, or set 'weights' to a place on another disk"
            )
        told.append(text)
    return Verdict(fits, "needs " + "; ".join(told) if told else "needs no room on the disk")
