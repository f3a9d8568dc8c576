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

SOLD_AS = (
    *KNOWN,
    ("RTX 3060 Ti", 8),
    ("RTX 3070", 8),
    ("RTX 3090 Ti", 24),
    ("RTX 4060", 8),
    ("RTX 4070", 12),
    ("RTX 4080", 16),
    ("RTX 4090", 24),
    ("RTX 5070", 12),
    ("RTX 5070 Ti", 16),
    ("RTX 5080", 16),
    ("RTX 2080 Ti", 11),
    ("P40", 24),
    ("T4", 16),
    ("L4", 24),
    ("L40S", 48),
    ("A10", 24),
    ("A30", 24),
    ("A40", 48),
    ("H100", 80),
)
"""Cards whose size need not be said, in GiB; those that are sold in several sizes are not among them."""

LARGEST_GIB = 1024
MOST_PLACES = 16

_COUNTED = re.compile(r"^(?P<count>\d{1,3})\s*[x*]\s*(?P<rest>\D.*)$", re.IGNORECASE)
_SIZED = re.compile(r"^(?P<name>[^:]*[^:\s])\s*:\s*(?P<gib>\d+(?:\.\d+)?)(?:\s*Gi?B)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """One device: what its driver shows, and what models together may use of it. `is_gpu` is false of the host.

    `capability` is its compute capability, None where it has none, or a name says nothing of it. `is_reckoned` is that
    what its driver shows is only known in proportion (`SHOWN_SHARE`).
    """

    name: str
    total_bytes: int
    capacity_bytes: int
    is_gpu: bool = True
    sold_gib: float | None = None
    ids: tuple[str, ...] = ()
    capability: Capability | None = None
    is_reckoned: bool = False


def named_places(texts: Sequence[str], reserve_bytes: int, budget_bytes: int | None = None) -> tuple[Place, ...]:
    """The cards that `texts` name, each `NAME:GIB`, or `NAME` of a card that is known, `2x` before it for two.

    GIB is as sold. Raises: ValueError, with what is wrong and what is allowed.
    """
    wanted: list[tuple[str, float]] = []
    for text in texts:
        counted = _COUNTED.match(text.strip())
        count, named = (1, text.strip()) if counted is None else (int(counted["count"]), counted["rest"])
        if not 1 <= count <= MOST_PLACES:
            raise ValueError(f"'{text}' are {count} GPUs: a plan is made for 1 to {MOST_PLACES}")
        wanted += [_sized(text, named)] * count
    if len(wanted) > MOST_PLACES:
        raise ValueError(f"{len(wanted)} GPUs are more than a plan is made for: at most {MOST_PLACES}")
    return tuple(
        _named(_numbered(wanted, index), gib, reserve_bytes, budget_bytes) for index, (_, gib) in enumerate(wanted)
    )


def _sized(text: str, named: str) -> tuple[str, float]:
    """The name and the GiB that `named`, a part of `text`, says. Raises: ValueError."""
    match = _SIZED.match(named)
    if match is not None and 0 < float(match["gib"]) <= LARGEST_GIB:
        return match["name"], float(match["gib"])
    if match is not None and float(match["gib"]):
        raise ValueError(f"'{text}': there is no GPU of {match['gib']} GiB; at most {LARGEST_GIB} are allowed")
    short = " ".join(named.casefold().split())
    for name, gib in SOLD_AS:
        if short and short == name.casefold():
            return name, gib
    sizes = " and ".join(str(gib) for name, gib in SOLD_AS if short and name.casefold().startswith(f"{short} "))
    why = f"comes in several sizes ({sizes})" if " and " in sizes else "is no GPU that is known by its name alone"
    if match is not None or ":" in named or not short:
        why = "is no GPU"
    raise ValueError(f'\'{text}\' {why}: write NAME:GIB, as in "RTX 3090:24" or "2x RTX 3090:24"')


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
    card = name.partition(" #")[0]
    is_reckoned = not (re.search(r"3090(?! ?Ti)", card, re.IGNORECASE) and gib == 24)
    return Place(
        name, total_bytes, capacity_bytes, sold_gib=gib, capability=capability_of(card), is_reckoned=is_reckoned
    )
