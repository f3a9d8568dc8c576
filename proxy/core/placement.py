"""Plans who goes where and who must make room for it. Pure; `policy` says what a swap costs, `victims` who leaves.

1. Demands are served in the order that `policy` gives. A later one goes ahead in room that no earlier one takes, but
   not where one that is due waits for what is not there yet.
2. All or nothing: a demand gets all of its devices or none. Where it fits without anybody leaving it takes the devices
   on which the least room would be left over (best fit), so that a large free card is not chipped away.
3. Where it fits nowhere, it goes where its cost is least: what those lose who leave for it, and what its own waiters
   suffer until it is up. Where that is not worth it yet it waits, and nobody leaves.
4. At most `MOST_PLANNED` demands are looked at in one decision, and as many more for whom nobody need leave.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import inf

from proxy.core import policy
from proxy.core.offers import NOBODY_LEAVES, Candidate, Covered, Demand, Eviction, HeldOff, Plan, Rung, Way
from proxy.core.victims import cheapest

MOST_PLANNED = 16


def plan(demands: Sequence[Demand], candidates: Iterable[Candidate], room: Mapping[str, int], host_room: int) -> Plan:
    """Serve `demands` in order from `room` (bytes by device, free or being freed) and from what `candidates` hold."""
    room = dict(room)
    staying = {candidate.model: candidate for candidate in candidates}
    held = dict.fromkeys(room, 0)
    for candidate in staying.values():
        for device in candidate.placing.devices:
            held[device] += candidate.placing.bytes
    victims: dict[str, Way] = {}
    covered: list[Covered] = []
    held_off: list[HeldOff] = []
    waited_for: set[str] = set()
    for demand in islice(demands, 2 * MOST_PLANNED):
        best = None
        if demand.model not in victims:
            choices = [choice for choice in demand.choices if waited_for.isdisjoint(choice)]
            best = _best(demand, choices, staying, room, held, host_room)
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
                held[device] -= leaving.placing.bytes
        for device in devices:
            room[device] -= demand.bytes
        if (coming := staying.pop(demand.model, None)) is not None:
            for device in coming.placing.devices:
                held[device] -= coming.placing.bytes
        victims |= eviction.ways
        covered.append(Covered(demand, devices, eviction))
    return Plan(victims, tuple(covered), tuple(held_off))


def _best(
    demand: Demand,
    choices: Sequence[tuple[str, ...]],
    staying: Mapping[str, Candidate],
    room: Mapping[str, int],
    held: Mapping[str, int],
    host_room: int,
) -> tuple[tuple[str, ...], Eviction] | None:
    """The devices for `demand` and who leaves them; None where all engines together are not enough.

    `held` is what those who are `staying` hold, by device.
    """
    needed, over = demand.bytes, []
    for devices in choices:
        left = [room[device] - needed for device in devices]
        if min(left) >= 0:
            over.append((sum(left), devices))
    if over:
        return min(over)[1], NOBODY_LEAVES
    found: list[tuple[tuple[float, ...], tuple[str, ...], Eviction]] = []
    others: list[Candidate] = []
    at_least_s2, least_s2 = demand.waits.pain(demand.enter_s), inf
    for devices in choices:
        if min([room[device] + held[device] for device in devices]) < needed:
            continue
        short = {device: needed - room[device] for device in devices}
        others = others or [one for one in staying.values() if one.model != demand.model]
        if (eviction := cheapest(demand, others, short, host_room, least_s2 - at_least_s2)) is None:
            continue
        cost_s2 = eviction.all_s2 + policy.pain(demand, eviction)
        least_s2 = min(least_s2, cost_s2)
        last_used_at = max([one.last_used_at for one in others if one.model in eviction.ways])
        found.append(((cost_s2, last_used_at, -sum(short.values())), devices, eviction))
    if not found:
        return None
    _, devices, eviction = min(found, key=lambda one: (one[0], one[1]))
    return devices, eviction
