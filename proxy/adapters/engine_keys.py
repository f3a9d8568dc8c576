"""The keys of engines: each is started with one of its own, which only the proxy has.

Rule: a key goes to the engine in its environment, which other users cannot read, never on its command line.
"""

import secrets
from collections.abc import Mapping

from proxy.adapters.state_files import StateFile

VARIABLE = "VLLM_API_KEY"
KEY_BYTES = 32


class EngineKeys:
    """By model. An engine that was started without one (by an older Rota) is asked without one."""

    def __init__(self, kept: StateFile[dict[str, str]] | None = None) -> None:
        """`kept` is where the next proxy finds them, beside the sockets: state may be lost, and engines go on."""
        self._kept = kept
        self._keys: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        if kept is not None:
            self.use(kept.read())

    def __repr__(self) -> str:
        return f"<EngineKeys of {', '.join(self._keys) or 'nobody'}>"

    def make(self, model: str) -> str:
        """A new key for the engine of `model` that is about to start."""
        self.use({model: secrets.token_urlsafe(KEY_BYTES)})
        if self._kept is not None:
            self._kept.write(dict(self._keys))
        return self._keys[model]

    def use(self, keys: Mapping[str, str]) -> None:
        """Engines that run already have these."""
        for model, key in keys.items():
            self._keys[model] = key
            self._lines[model] = f"Authorization: Bearer {key}\r\n" if key else ""

    def line(self, model: str) -> str:
        """The header line for `model`'s engine, with its CRLF; empty where it has no key."""
        return self._lines.get(model, "")

    def headers(self, model: str) -> dict[str, str]:
        """The same as a header by its name."""
        key = self._keys.get(model)
        return {"Authorization": f"Bearer {key}"} if key else {}
