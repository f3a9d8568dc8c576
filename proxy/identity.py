"""What exactly serves a model now, as the audit tells it: which engine, which weights."""

from collections.abc import Mapping

from proxy.weights import Weights


class Identity:
    """`engines` say of each model its name, vLLM's version and the hash of all it is told; `weights` its files'."""

    def __init__(self, engines: Mapping[str, str], weights: Weights | None = None) -> None:
        self._engines = engines
        self._weights = weights

    def __repr__(self) -> str:
        return f"<Identity of {', '.join(self._engines) or 'nobody'}>"

    def of(self, model: str) -> tuple[str, str]:
        """The engine and the weights; empty where that is not known."""
        return self._engines.get(model, ""), "" if self._weights is None else self._weights.of(model)
