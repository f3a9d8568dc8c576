"""The clairvoyant optimum of small traces: it knows all requests, and loads no model before somebody waits for it.

Exact for two models of which one is up at a time, each served in the order of arrival: all ways to divide the requests
into stays are tried, by labels (ready at, waits so far) of which only those are kept that no other beats in both. What
it makes least is the sum of all waits. It has what Rota has: the next process prepares while the other engine drains,
and engines sleep where they can.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from tests.bench.scheduler.trace import ModelCosts, Outcome, Request, Trace

_State = tuple[str, tuple[int, int], frozenset[str]]
"""The model that is up or comes up, how many requests of each model have been served, who has been up already."""


@dataclass(frozen=True, slots=True)
class _Stay:
    """One stay of a model: ready when, the requests that it serves, and the stay before it."""

    model: str
    ready_s: float
    first: int
    number: int
    before: "_Stay | None"


_Label = tuple[float, float, _Stay | None]
"""Ready at, the sum of waits so far, the stays so far."""


def optimum(trace: Trace, at_most_s: float = inf) -> Outcome:
    """The least sum of waits; one of `at_most_s` is known to be possible, so that what is worse is not followed.

    Raises: ValueError for a trace that it is not exact for, or where `at_most_s` is not possible.
    """
    models = trace.world.models
    _check(trace)
    names = tuple(models)
    queues = {name: [one for one in trace.requests if one.model == name] for name in names}
    frontier: dict[_State, list[_Label]] = {}
    for model in names:
        if queues[model]:
            ready_s = queues[model][0].at_s + models[model].start_s
            frontier[(model, (0, 0), frozenset({model}))] = [(ready_s, 0.0, None)]
    best: _Label | None = None
    while frontier:
        # By the number of requests served: each stay serves at least one, so nothing comes back.
        state = min(frontier, key=lambda one: sum(one[1]))
        for label in frontier.pop(state):
            for next_state, next_label in _stays(state, label, names, queues, models):
                if next_label[1] > at_most_s + 1e-6:
                    break
                if next_state is not None and not _may_pay(next_state, next_label, names, queues, trace, at_most_s):
                    continue
                if next_state is None:
                    best = next_label if best is None or next_label[1] < best[1] else best
                else:
                    frontier[next_state] = _undominated([*frontier.get(next_state, []), next_label])
    if best is None:
        raise ValueError(f"{trace.name}: no way with waits of {at_most_s} s in all")
    return _outcome(trace, queues, best[2])


def _check(trace: Trace) -> None:
    models, devices_gib = trace.world.models, list(trace.world.devices_gib.values())
    if len(models) != 2 or len(devices_gib) != 1 or sum(one.gib for one in models.values()) <= devices_gib[0]:
        raise ValueError(f"{trace.name}: the optimum is known for two models that do not fit together on one device")
    for name, costs in models.items():
        if sum(one.model == name for one in trace.requests) > costs.concurrency:
            raise ValueError(f"{trace.name}: the optimum is known where {name} serves all its requests at once")


def _stays(
    state: _State,
    label: _Label,
    names: tuple[str, ...],
    queues: dict[str, list[Request]],
    models: dict[str, ModelCosts],
) -> Iterable[tuple[_State | None, _Label]]:
    """Every way to stay with the model that is up: how many more of its requests are served before the other comes."""
    model, served, started = state
    ready_s, waits_s, before = label
    here = names.index(model)
    other = names[1 - here]
    queue, rest = queues[model][served[here] :], queues[other][served[1 - here] :]
    done_s = accumulate((max(one.at_s, ready_s) + one.service_s for one in queue), max)
    waited_s = accumulate(max(0.0, ready_s - one.at_s) for one in queue)
    for number, (drained_s, more_s) in enumerate(zip(done_s, waited_s, strict=True), start=1):
        if rest or number == len(queue):
            stay = _Stay(model, ready_s, served[here], number, before)
        if not rest:
            if number == len(queue):
                yield None, (drained_s, waits_s + more_s, stay)
            continue
        counts = [served[0], served[1]]
        counts[here] += number
        up_s = _up_at(models[model], models[other], drained_s, rest[0].at_s, other in started)
        yield (other, (counts[0], counts[1]), started | {other}), (up_s, waits_s + more_s, stay)


def _may_pay(
    state: _State,
    label: _Label,
    names: tuple[str, ...],
    queues: dict[str, list[Request]],
    trace: Trace,
    at_most_s: float,
) -> bool:
    """Whether what must still be waited leaves it within `at_most_s`.

    Those who wait for the model that comes wait until it is ready, and for the other one until it could be back.
    """
    model, served, started = state
    ready_s, least_s, _ = label
    here = names.index(model)
    other = names[1 - here]
    back_s = _up_at(trace.world.models[model], trace.world.models[other], ready_s, 0.0, other in started)
    for until_s, queue in ((ready_s, queues[model][served[here] :]), (back_s, queues[other][served[1 - here] :])):
        for one in queue:
            if one.at_s >= until_s:
                break
            least_s += until_s - one.at_s
        if least_s > at_most_s + 1e-6:
            return False
    return True


def _up_at(leaving: ModelCosts, coming: ModelCosts, drained_s: float, wanted_s: float, has_started: bool) -> float:
    """When the next engine is ready: it may prepare, but not load, from the moment that somebody waits for it."""
    gone_s = drained_s + _leave_s(leaving)
    if coming.sleep_levels and has_started:
        return max(gone_s, wanted_s) + coming.wake_s[coming.sleep_levels[0] - 1]
    return max(gone_s, wanted_s + coming.prepare_s) + coming.start_s - coming.prepare_s


def _leave_s(costs: ModelCosts) -> float:
    return costs.sleep_s[costs.sleep_levels[0] - 1] if costs.sleep_levels else costs.stop_s


def _undominated(labels: list[_Label]) -> list[_Label]:
    kept: list[_Label] = []
    for label in sorted(labels, key=lambda one: (one[0], one[1])):
        if not kept or label[1] < kept[-1][1]:
            kept.append(label)
    return kept


def _outcome(trace: Trace, queues: dict[str, list[Request]], last: _Stay | None) -> Outcome:
    """The waits, swaps and lost time of these stays; what a process prepares before its load holds no device."""
    outcome = Outcome("optimum", [0.0] * len(trace.requests))
    stays: list[_Stay] = []
    while last is not None:
        stays.append(last)
        last = last.before
    started: set[str] = set()
    leaving: ModelCosts | None = None
    for stay in reversed(stays):
        coming = trace.world.models[stay.model]
        outcome.swaps += 1
        outcome.lost_s += _leave_s(leaving) if leaving else 0.0
        if coming.sleep_levels and stay.model in started:
            outcome.lost_s += coming.wake_s[coming.sleep_levels[0] - 1]
        else:
            outcome.lost_s += coming.start_s - (coming.prepare_s if leaving else 0.0)
        for one in queues[stay.model][stay.first : stay.first + stay.number]:
            outcome.waits_s[one.number] = max(0.0, stay.ready_s - one.at_s)
        started.add(stay.model)
        leaving = coming
    return outcome
