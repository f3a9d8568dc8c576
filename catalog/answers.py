"""Who answers for each agent type now, as far as it is known before anybody asks: no fallback in silence. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.spec import AgentRoute


@dataclass(frozen=True, slots=True)
class Answering:
    """`model` is the agent type's own, `by` who answers now (None: nobody can), `why_not` what keeps the own one."""

    agent_type: str
    model: str
    fallback: str | None
    by: str | None
    why_not: str | None = None


def answering(routes: Mapping[str, AgentRoute], why_not: Mapping[str, str]) -> list[Answering]:
    """For each of `routes`, by agent type; `why_not` says, by model, why those cannot be had that cannot."""
    return [_one(agent_type, route, why_not) for agent_type, route in routes.items()]


def _one(agent_type: str, route: AgentRoute, why_not: Mapping[str, str]) -> Answering:
    if route.model not in why_not:
        return Answering(agent_type, route.model, route.fallback, route.model)
    by = route.fallback if route.fallback is not None and route.fallback not in why_not else None
    return Answering(agent_type, route.model, route.fallback, by, why_not[route.model])
