"""Plans who goes where and who must make room for it. Pure; `policy` says what a swap costs, `victims` who leaves.

1. Demands are served in the order that `policy` gives. A later one goes ahead in room that no earlier one takes, but
   not where one that is due waits for what is not there yet.
2. All or nothing: a demand gets all of its devices or none. Where it fits without anybody leaving it takes the devices
   on which the least room would be left over (best fit), so that a large free card is not chipped away.
3. Where it fits nowhere, it goes where its cost is least: what those lose who leave for it, and what its own waiters
   suffer until it is up. Where that is not worth it yet it waits, and nobody leaves.
4. At most `MOST_PLANNED` demands are looked at in one decision.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from proxy.core import policy
from proxy.core.offers import Candidate, Covered, Demand, Eviction, HeldOff, Plan, Rung, Way
from proxy.core.victims import cheapest

MOST_PLANNED = 16


def plan(demands: Sequence[Demand], candidates: Iterable[Candidate], room: Mapping[str, int], host_room: int) -> Plan:
    """Serve `demands` in order from `room` (bytes by device, free or being freed) and from what `candidates` hold."""
    room = dict(room)
    staying = {candidate.model: candidate for candidate in candidates}
    victims: dict[str, Way] = {}
    covered: list[Covered] = []
    held_off: list[HeldOff] = []
    waited_for: set[str] = set()
    for demand in islice(demands, MOST_PLANNED):
        best = None
        if demand.model not in victims:
            choices = [choice for choice in demand.choices if waited_for.isdisjoint(choice)]
            best = _best(demand, choices, staying, room, host_room)
        if best is None:
            if demand.is_due or demand.is_pressing:
                waited_for.update(device for devices in demand.choices for device in devices)
            continue
        devices, eviction = best
        if not policy.is_worth(demand, eviction):
            held_off.append(HeldOff(demand, eviction, policy.pain(demand, eviction)))
            continue
        for model, way in eviction.ways.items():
            leaving = staying.pop(model)
            host_room += leaving.pinned_bytes if way.rung is Rung.STOP else -way.pins_bytes
            for device in leaving.placing.devices:
                room[device] += leaving.placing.bytes - way.keeps_bytes
        for device in devices:
            room[device] -= demand.bytes
        staying.pop(demand.model, None)
        victims |= eviction.ways
        covered.append(Covered(demand, devices, eviction))
    return Plan(victims, tuple(covered), tuple(held_off))


def _best(
    demand: Demand,
    choices: Iterable[tuple[str, ...]],
    staying: Mapping[str, Candidate],
    room: Mapping[str, int],
    host_room: int,
) -> tuple[tuple[str, ...], Eviction] | None:
    """The devices for `demand` and who leaves them; None where all engines together are not enough."""
    found: list[tuple[tuple[float, ...], tuple[str, ...], Eviction]] = []
    others = [one for one in staying.values() if one.model != demand.model]
    for devices in choices:
        short = {device: demand.bytes - room[device] for device in devices}
        if (eviction := cheapest(demand, others, short, host_room)) is None:
            continue
        cost = eviction.all_s2 + policy.pain(demand, eviction)
        last_used = max((one.last_used_at for one in others if one.model in eviction.ways), default=0.0)
        found.append(((bool(eviction.ways), cost, last_used, -sum(short.values())), devices, eviction))
    if not found:
        return None
    _, devices, eviction = min(found, key=lambda one: (one[0], one[1]))
    return devices, eviction
