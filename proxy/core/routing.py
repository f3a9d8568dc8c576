"""Chooses the model for a request, by agent type or by model name. Pure.

An agent type comes from the body's `agent_type` or the header `X-Agent-Type`; a model from the body's `model`, which
may name a model, one of its aliases, or an agent type (for clients that can only choose a model). Whatever is given
must agree. Embeddings come from embedders only, and text from the others only.
"""

from dataclasses import dataclass

from catalog.spec import Catalog
from catalog.suggest import nearest
from proxy.core.endpoints import Endpoint, Purpose
from proxy.core.errors import InvalidRequest, ModelNotFound, WrongModelForPath

_PURPOSES = {True: "computes embeddings", False: "writes text"}


@dataclass(frozen=True, slots=True)
class Route:
    """The model that must answer, the one that may answer in its place where it cannot be had, and the priority.

    `agent_type` is the one that was named, "" where none was.
    """

    model: str
    fallback: str | None = None
    priority: float = 1.0
    agent_type: str = ""


class Router:
    """The names of the catalog that counts now."""

    def __init__(self, catalog: Catalog) -> None:
        self.use(catalog)

    def use(self, catalog: Catalog) -> None:
        """From now on `catalog` counts."""
        self.catalog = catalog
        self._by_agent_type = {name: route.model for name, route in catalog.agents.agent_types.items()}
        self._fallbacks = {name: route.fallback for name, route in catalog.agents.agent_types.items()}
        self._priorities = {name: route.priority for name, route in catalog.agents.agent_types.items()}
        self._by_name = dict(self._by_agent_type)
        for spec in catalog.models.values():
            self._by_name |= dict.fromkeys((spec.name, *spec.aliases), spec.name)
        self._models = list(catalog.models)
        self._is_embedder = {spec.name: spec.embedder for spec in catalog.models.values()}
        self._serves: set[tuple[str, str]] = set()
        """Models and paths of which that is known."""
        self._found: dict[tuple[str | None, str | None, str | None], Route] = {}
        """Routes by what was named; only names of the catalog come in here, so that it is bounded."""

    def __repr__(self) -> str:
        return f"<Router {len(self._by_agent_type)} agent types, {len(self._models)} models>"

    def route(self, model: str | None, body_agent_type: str | None, header_agent_type: str | None) -> Route:
        """The model that must answer, with the fallback of the agent type that was named.

        Who names the model itself wants that one and no other.

        Raises: InvalidRequest if nothing is named or what is named disagrees, ModelNotFound if it is unknown.
        """
        named = (model, body_agent_type, header_agent_type)
        if (found := self._found.get(named)) is None:
            found = self._found[named] = self._find(*named)
        return found

    def of_path(
        self, engine: str, model: str | None, body_agent_type: str | None, header_agent_type: str | None
    ) -> Route:
        """The engine that the path names, which must be what else is named. Raises: InvalidRequest, ModelNotFound."""
        if model or body_agent_type or header_agent_type:
            said = self.route(model, body_agent_type, header_agent_type)
            if said.model != engine:
                what = f"the path names the engine {engine}, and the request means {said.model}"
                raise InvalidRequest(f"{what}: give one of the two, or two that agree", param="model")
        return Route(engine)

    def _find(self, model: str | None, body_agent_type: str | None, header_agent_type: str | None) -> Route:
        if body_agent_type and header_agent_type and body_agent_type != header_agent_type:
            what = f"the body says agent_type '{body_agent_type}' and the header X-Agent-Type '{header_agent_type}'"
            raise InvalidRequest(f"{what}: give one, or the same twice", param="agent_type")
        agent_type = body_agent_type or header_agent_type
        by_agent_type = self._of_agent_type(agent_type) if agent_type else None
        by_model = self._of_name(model) if model else None
        if by_agent_type and by_model and by_agent_type != by_model:
            what = f"agent_type '{agent_type}' is answered by {by_agent_type}, but model '{model}' means {by_model}"
            raise InvalidRequest(f"{what}: give one of the two, or two that agree", param="model")
        if (chosen := by_agent_type or by_model) is None:
            what = "give 'agent_type' (or the header X-Agent-Type) or 'model'"
            raise InvalidRequest(f"{what}. {self._all_names()}", param="model")
        named_type = model if model in self._by_agent_type else agent_type if not model else None
        if named_type is None:
            return Route(chosen, agent_type=agent_type or "")
        return Route(chosen, self._fallbacks[named_type], self._priorities[named_type], named_type)

    def check_purpose(self, model: str, endpoint: Endpoint) -> None:
        """Refuse what vLLM would refuse after a swap of engines. Raises: WrongModelForPath."""
        if (model, endpoint.path) in self._serves:
            return
        path, is_for_embedders = endpoint.path, endpoint.purpose is Purpose.POOLING
        is_any = endpoint.purpose is Purpose.ANY
        if is_any or self._is_embedder.get(model, is_for_embedders) is is_for_embedders:
            self._serves.add((model, path))
            return
        models = [name for name, embeds in self._is_embedder.items() if embeds is is_for_embedders]
        types = [name for name, routed in self._by_agent_type.items() if routed in models]
        serve = f"agent types: {', '.join(types) or 'none'}; models: {', '.join(models) or 'none'}"
        what = f"{model} {_PURPOSES[self._is_embedder[model]]} and does not serve {path}. Those who do: {serve}"
        raise WrongModelForPath(what, param="model")

    def named(self, model: str) -> str:
        """The model of exactly this name, for verbs on engines. Raises: ModelNotFound."""
        if model in self._models:
            return model
        if (meant := self._by_name.get(model)) is not None:
            raise ModelNotFound(f"'{model}' stands for the model {meant}: here its own name is wanted", param="model")
        raise self._unknown("model", model, self._models)

    def _of_agent_type(self, agent_type: str) -> str:
        if agent_type not in self._by_agent_type:
            raise self._unknown("agent_type", agent_type, list(self._by_agent_type))
        return self._by_agent_type[agent_type]

    def _of_name(self, name: str) -> str:
        if name not in self._by_name:
            raise self._unknown("model", name, list(self._by_name))
        return self._by_name[name]

    def _unknown(self, kind: str, name: str, names: list[str]) -> ModelNotFound:
        return ModelNotFound(
            f"there is no {kind} '{name[:100]}'.{nearest(name[:100], names)} {self._all_names()}", param=kind
        )

    def _all_names(self) -> str:
        return f"Agent types: {', '.join(self._by_agent_type)}. Models: {', '.join(self._models)}."
