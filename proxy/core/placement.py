"""Plans who starts and who must leave for it, on one device. Pure arithmetic; who is evicted is decided here only.

1. Demands are served in order. A later one may go ahead only in room that no earlier one is waiting for.
2. Where a demand does not fit, engines leave for it: idle ones before busy ones; among the busy, those already
   draining, so that a decision is not taken back at every event; then the least recently used.
3. No more of them leave than needed: whoever turns out superfluous stays, the most recently used first.
4. Where all of them together are not enough, nobody leaves, and later demands wait too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """A model that is wanted and does not run, and the bytes it needs."""

    model: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that could leave, and the bytes that would give back."""

    model: str
    bytes: int
    is_idle: bool
    is_draining: bool
    last_used_at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Who leaves, and the demands that fit once they have, in order."""

    victims: frozenset[str]
    covered: tuple[Demand, ...]


def plan(demands: Sequence[Demand], candidates: Iterable[Candidate], room_bytes: int) -> Plan:
    """Serve `demands` in order from `room_bytes` (free, or being freed already) and from what `candidates` hold."""
    staying = {candidate.model: candidate for candidate in candidates}
    victims: set[str] = set()
    covered: list[Demand] = []
    for demand in demands:
        chosen = choose_victims(staying.values(), demand.bytes - room_bytes)
        room_bytes += sum(one.bytes for one in chosen) - demand.bytes
        if room_bytes < 0:
            break
        victims.update(one.model for one in chosen)
        staying = {model: one for model, one in staying.items() if model not in victims}
        covered.append(demand)
    return Plan(frozenset(victims), tuple(covered))


def choose_victims(candidates: Iterable[Candidate], short_bytes: int) -> list[Candidate]:
    """The engines to evict so that `short_bytes` more become free; none if none are needed or all are too few."""
    ranked = sorted(candidates, key=lambda one: (not one.is_idle, not one.is_draining, one.last_used_at, one.model))
    chosen: list[Candidate] = []
    freed_bytes = 0
    for candidate in ranked:
        if freed_bytes >= short_bytes:
            break
        chosen.append(candidate)
        freed_bytes += candidate.bytes
    if freed_bytes < short_bytes:
        return []
    for candidate in reversed(chosen.copy()):
        if freed_bytes - candidate.bytes >= short_bytes:
            chosen.remove(candidate)
            freed_bytes -= candidate.bytes
    return chosen
