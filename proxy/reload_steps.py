"""What a reload does to each model and agent type, in words. Pure."""

from dataclasses import dataclass

from catalog.spec import AgentRoute
from proxy.core.errors import CatalogInvalid
from proxy.core.states import EngineState

_TREATED = ("pinned", "preload", "min_residence_s", "idle_sleep_s", "idle_stop_s")


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one model: `what` is new, changed or removed, `keys` those of its file that differ."""

    model: str
    what: str
    keys: tuple[str, ...]
    then: str
    warnings: tuple[str, ...] = ()
    is_up: bool = False
    """Its engine would have to go for it."""


@dataclass(frozen=True, slots=True)
class Rerouted:
    """An agent type that is routed otherwise: `old` and `new` in words, None where it is new or gone."""

    agent_type: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload changes, or would change if `is_done` is false."""

    catalog: str
    is_done: bool
    models: tuple[Step, ...]
    routes: tuple[Rerouted, ...]
    notes: tuple[str, ...]


def check_able(told: Reload) -> None:
    """Raises: CatalogInvalid for a model that serves and would not any more."""
    for step in told.models:
        if step.is_up and step.what == "changed" and step.warnings:
            what = f"{step.model} is up, and by its new entry it could not be: {'; '.join(step.warnings)}"
            raise CatalogInvalid(f"nothing was changed: {what}. To do it all the same: reload --force")


def then_of(state: EngineState | None) -> str:
    """What becomes of an engine that would be launched otherwise."""
    match state:
        case None | EngineState.STOPPED | EngineState.FAILED:
            return "counts from its next start"
        case EngineState.READY | EngineState.DRAINING:
            return f"is {state}: drains, goes, and starts anew for the next request"
        case _:
            return f"is {state}: goes, and starts anew for the next request"


def how_it_leaves(state: EngineState | None) -> str:
    """What becomes of an engine whose model the catalog has not any more."""
    if state in (None, EngineState.STOPPED, EngineState.FAILED):
        return "is not there any more"
    return f"is {state}: serves those who came before, and goes"


def route_in_words(route: AgentRoute | None) -> str | None:
    """A route with all that differs from the usual; None where there is none."""
    if route is None:
        return None
    told = [route.model, f"fallback {route.fallback}" if route.fallback else ""]
    told += [f"priority {route.priority:g}" if route.priority != 1 else ""]
    told += [f"{key} {getattr(route, key)}" for key in _TREATED if getattr(route, key) not in (None, False)]
    return ", ".join(filter(None, told))


def in_short(told: Reload) -> list[str]:
    """A few words for each change, for the log."""
    return [f"{step.model} {step.what}" for step in told.models] + [f"{one.agent_type} rerouted" for one in told.routes]
