"""The reasons of decisions, in words and numbers, for people. Pure.

Squared waits are in s²: see `policy`.
"""

from math import isfinite

from catalog.spec import GIB
from proxy.core.board import Board
from proxy.core.offers import Covered, Demand, HeldOff, Plan, Rung
from proxy.core.policy import pain
from proxy.core.roster import Engine

LOOK_AHEAD_S = 60.0


def why_wanted(demand: Demand) -> str:
    """Who wants the engine of `demand`, and since when."""
    if demand.is_modest:
        return "it is to be there before anybody asks (preload)"
    if demand.is_expected:
        return f"a client is expected back that was refused {demand.oldest_s:.0f} s ago for its deadline"
    if demand.is_pressing:
        return f"somebody started it by hand {demand.oldest_s:.1f} s ago"
    count = round(demand.waits.weight)
    others = f", {count} requests in all" if count > 1 else ""
    return f"its oldest request has waited {demand.oldest_s:.1f} s{others}"


def why_up(board: Board, covered: Covered) -> str:
    """Why an engine is started or woken now, and where."""
    names = ", ".join(board.ledger.devices[one].name for one in covered.devices)
    free_bytes = min(board.ledger.free_bytes(one) for one in covered.devices)
    return f"{why_wanted(covered.demand)}; {_gib(free_bytes)} GiB are free on {names}"


def why_leaves(board: Board, decided: Plan, engine: Engine, now: float) -> str:
    """Why `engine` makes room, what that frees, for whom, and what keeping it would have cost."""
    for covered in decided.covered:
        if (way := covered.eviction.ways.get(engine.model)) is not None:
            frees_bytes = board.ledger.placings[engine.model].bytes - way.keeps_bytes
            state = f"{len(engine.leases)} requests in hand" if engine.leases else f"idle {_idle_s(engine, now):.0f} s"
            demand = covered.demand
            how = "" if way.rung is Rung.STOP else f" ({way.rung})"
            wanted = f"for {demand.model}: {why_wanted(demand)}"
            asked = f"{engine.model}, {60.0 * engine.costs.rate(now):.1f} requests a minute"
            back = f"{asked}, is back in {way.return_s:.0f} s when wanted"
            return f"{state}, frees {_gib(frees_bytes)} GiB{how} {wanted}; {back}; {_weighed(demand, covered)}"
    return "others need its room"


def why_held_off(held: HeldOff) -> str:
    """Why a demand has to wait: whom it would drive out, and what that costs beside its own waiting."""
    leaving = ", ".join(held.eviction.ways)
    what = f"{why_wanted(held.demand)}; {leaving} would have to make room"
    if held.demand.is_modest:
        return f"{what}, and nobody does for what nobody waits for"
    if held.demand.oldest_s < held.eviction.hold_s:
        return f"{what}, where others wait too: not before it has waited {held.eviction.hold_s:.0f} s itself"
    begins = f"; at the latest in {held.demand.slack_s:.0f} s" if isfinite(held.demand.slack_s) else ""
    return f"{what}, which is not worth it yet ({_weighed(held.demand, held)}){begins}"


def why_idle(engine: Engine, limit_s: float, now: float) -> str:
    """Why an engine that nobody asks for goes down."""
    said = "its last request said so (keep_alive)" if engine.keep_alive_s is not None else "the catalog says so"
    return f"idle {_idle_s(engine, now):.0f} s, which is {limit_s:.0f} s or more: {said}"


def _weighed(demand: Demand, one: Covered | HeldOff) -> str:
    if demand.is_pressing:
        return "what a person asks for is not weighed"
    eviction = one.eviction
    keeping_s2 = pain(demand, eviction, LOOK_AHEAD_S) - pain(demand, eviction)
    weighed = f"in squared waits, a minute more costs {keeping_s2:.0f} s² and the swap {eviction.all_s2:.0f} s²"
    return f"it could wait no longer (max_wait_s, or a deadline); {weighed}" if demand.is_due else weighed


def _idle_s(engine: Engine, now: float) -> float:
    return now - engine.last_used_at


def _gib(amount: int) -> str:
    return f"{amount / GIB:.2f}"
