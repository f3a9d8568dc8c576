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

    def __init__(self, file: StateFile[dict[str, str]]) -> None:
        """`file` is where the next proxy finds them, beside the sockets: state may be lost, and engines go on."""
        self._file = file
        self._keys: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        self.use(file.read())

    def __repr__(self) -> str:
        return f"<EngineKeys of {', '.join(self._keys) or 'nobody'}>"

    def make(self, model: str) -> str:
        """A new key for the engine of `model` that is about to start; `keep` is to follow before it does."""
        self.use({model: secrets.token_urlsafe(KEY_BYTES)})
        return self._keys[model]

    def keep(self) -> None:
        """Have the next proxy know them. Blocks."""
        self._file.write(dict(self._keys))

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
