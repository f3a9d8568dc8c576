"""Reads the few fields of a request's body that routing needs, and puts the served name in. Pure.

The body's top level is decoded, its values are not: they are kept as the bytes that the client sent.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from proxy.core.errors import InvalidRequest

OWN_FIELDS = frozenset({"agent_type", "keep_alive"})
"""Said to Rota, not to the engine."""

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonBody:
    """A request's body: a JSON object whose values stay undecoded."""

    def __init__(self, body: bytes) -> None:
        """Raises: InvalidRequest for what is no JSON or no object."""
        try:
            self._fields = _DECODER.decode(body)
        except msgspec.ValidationError as error:
            raise InvalidRequest("the body must be a JSON object: {...}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the body is not JSON: {error}") from error
        except RecursionError as error:
            raise InvalidRequest("the body is nested too deeply") from error

    def __repr__(self) -> str:
        return f"<JsonBody {', '.join(self._fields)}>"

    def text(self, name: str) -> str | None:
        """The string in the field `name`; None if it is absent, null or empty.

        Raises: InvalidRequest if it is something else.
        """
        if (raw := self._fields.get(name)) is None:
            return None
        try:
            return msgspec.json.decode(raw, type=str | None) or None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"'{name}' must be a string", param=name) from error

    def scalar(self, name: str) -> object:
        """The field `name`, whatever it is; None if it is absent. Raises: InvalidRequest if it cannot be read."""
        if (raw := self._fields.get(name)) is None:
            return None
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"'{name}' cannot be read: {error}", param=name) from error

    def for_engine(self, served_name: str, defaults: Mapping[str, Any] = MappingProxyType({})) -> bytes:
        """The body as the engine gets it: `model` is its served name, and what is said to Rota is gone.

        `defaults` are fields that are put in where the client left them out.
        """
        fields = {name: value for name, value in self._fields.items() if name not in OWN_FIELDS}
        for name, value in defaults.items():
            if name not in fields:
                fields[name] = msgspec.Raw(msgspec.json.encode(value))
        fields["model"] = msgspec.Raw(msgspec.json.encode(served_name))
        return msgspec.json.encode(fields)
