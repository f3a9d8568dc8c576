"""The devices that a plan is made for: those that are there, or those that somebody names. Pure; bytes.

Three figures of one card are kept apart: what it is sold as, what its driver shows, what models together may use.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from catalog.hardware.capability import Capability, capability_of
from catalog.spec import GIB

SHOWN_SHARE = 23.69 / 24
"""A driver shows less than what is sold: of an RTX 3090's 24 GiB 23.69 (vllm-project/vllm#2312)."""

VLLM_SHARE = 0.92
"""Of what its driver shows, vLLM on its own takes this much (vLLM 0.32, `config/cache.py`)."""

KNOWN = (
    ("RTX 3060", 12),
    ("RTX 4060 Ti 16GB", 16),
    ("RTX 3090", 24),
    ("RTX 5090", 32),
    ("A100 40GB", 40),
    ("RTX A6000", 48),
    ("A100 80GB", 80),
    ("H200", 141),
)
"""Cards by what they are sold as, in GiB, the smallest first: to name one that would do."""

_NAMED = re.compile(
    r"^(?:(?P<count>\d{1,2})\s*x\s+)?(?P<name>[^:]*[^:\s])\s*:\s*(?P<gib>\d+(?:\.\d+)?)(?:\s*Gi?B)?$", re.I
)


@dataclass(frozen=True, slots=True)
class Place:
    """One device: what its driver shows, and what models together may use of it. `is_gpu` is false of the host.

    `capability` is its compute capability, None where it has none, or a name says nothing of it.
    """

    name: str
    total_bytes: int
    capacity_bytes: int
    is_gpu: bool = True
    sold_gib: float | None = None
    ids: tuple[str, ...] = ()
    capability: Capability | None = None


def named_places(texts: Sequence[str], reserve_bytes: int, budget_bytes: int | None = None) -> tuple[Place, ...]:
    """The cards that `texts` name, each `NAME:GIB` or `2x NAME:GIB`, with GIB as sold.

    Raises: ValueError, with what is wrong and what is allowed.
    """
    wanted: list[tuple[str, float]] = []
    for text in texts:
        match = _NAMED.match(text.strip())
        if match is None or not float(match["gib"]) or match["count"] == "0":
            raise ValueError(f'\'{text}\' is no GPU: write NAME:GIB, as in "RTX 3090:24" or "2x RTX 3090:24"')
        wanted += [(match["name"], float(match["gib"]))] * int(match["count"] or 1)
    if len(wanted) > 16:
        raise ValueError(f"{len(wanted)} GPUs are more than a plan is made for: at most 16")
    return tuple(
        _named(_numbered(wanted, index), gib, reserve_bytes, budget_bytes) for index, (_, gib) in enumerate(wanted)
    )


def card_for(need_bytes: int, reserve_bytes: int, least: Capability = (0, 0)) -> tuple[str, int] | None:
    """The smallest known card of compute capability `least` on which `need_bytes` fit, and its GiB as sold.

    None where none is large enough.
    """
    for name, gib in KNOWN:
        card = _named(name, gib, reserve_bytes, None)
        if card.capacity_bytes >= need_bytes and card.capability is not None and card.capability >= least:
            return name, gib
    return None


def _numbered(wanted: Sequence[tuple[str, float]], index: int) -> str:
    name = wanted[index][0]
    same = [place for place, (other, _) in enumerate(wanted) if other == name]
    return name if len(same) == 1 else f"{name} #{same.index(index) + 1}"


def _named(name: str, gib: float, reserve_bytes: int, budget_bytes: int | None) -> Place:
    total_bytes = int(gib * SHOWN_SHARE * GIB)
    capacity_bytes = max(0, min([total_bytes - reserve_bytes, *([] if budget_bytes is None else [budget_bytes])]))
    return Place(name, total_bytes, capacity_bytes, sold_gib=gib, capability=capability_of(name.partition(" #")[0]))
