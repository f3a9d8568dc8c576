"""What a line of the audit holds beside its number and the hash before it. Pure.

Texts are never in it: for each stands its HMAC-SHA-256 under a key of this audit, so that who has the key can ask
whether a text was sent, and nobody can guess texts from hashes. Times are UTC, durations in seconds.
"""

import hashlib
import hmac
import json.encoder
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from proxy.core.audit_check import Kind
from proxy.core.usage import Tokens

Fields = str
"""Of a line: as JSON, from the first one to the brace at the end. Made by hand, since each request waits for two."""

BLOCK_BYTES = 64
"""Of SHA-256."""
_BEGIN, _END = (f'"kind":"{kind.value}"' for kind in (Kind.BEGIN, Kind.END))
_NOT_WAITED = ',"waited_s":0.0'
_encode = msgspec.json.encode
_text = json.encoder.encode_basestring_ascii


class Asked(Protocol):
    """A request, or a socket, as both of its lines name it."""

    @property
    def request_id(self) -> str:
        """The client's, or made here."""

    @property
    def key_name(self) -> str:
        """By which key it is asked."""

    @property
    def path(self) -> str:
        """The endpoint's."""

    @property
    def agent_type(self) -> str:
        """Empty where none was named."""

    @property
    def model(self) -> str:
        """Who answers."""


def begun(
    at: str,
    asked: Asked,
    client: str,
    engine: str,
    weights: str,
    *,
    sampling: dict[str, Any] | None = None,
    prompt: str = "",
    messages: Sequence[str] = (),
) -> Fields:
    """A request is about to be forwarded. `engine` is its model, vLLM's version and the hash of its flags.

    `prompt` is the hash of all texts, one after the other, `messages` those of each, where there are several.
    """
    told = f'{_BEGIN},"at":"{at}","id":{_text(asked.request_id)}'
    told += _who(asked.key_name, client, asked.path, asked.agent_type, asked.model, engine, weights)
    if sampling:
        told += f',"sampling":{_encode(sampling).decode()}'
    if prompt:
        told += f',"prompt":"{prompt}"'
    if messages:
        told += f',"messages":{_each(messages)}'
    return told + "}"


def ended(
    at: str,
    of: int,
    asked: Asked,
    outcome: str,
    status: int,
    total_s: float,
    *,
    error: str = "",
    fallback: str = "",
    waited_s: float | None = None,
    first_byte_s: float | None = None,
    tokens: Tokens | None = None,
    body: str = "",
    answer: str = "",
    answers: Sequence[str] = (),
) -> Fields:
    """What became of a request. `of` is the number of its line `begin`, which says who asked whom for what.

    One that was never forwarded has none, and 0 is given for it: then its end says that. `body` is the hash of all
    bytes of a request that went through unread, or as a form: what is said in it is not known by itself.
    """
    begun = f'"of":{of}' if of else _who(asked.key_name, "", asked.path, asked.agent_type, asked.model, "", "")[1:]
    told = f'{_END},"at":"{at}","id":{_text(asked.request_id)},{begun},"outcome":"{outcome}","status":{status}'
    if error:
        told += f',"error":"{error}"'
    if fallback:
        told += f',"fallback":{_text(fallback)}'
    if waited_s is not None:
        told += f',"waited_s":{waited_s:.6f}' if waited_s else _NOT_WAITED
    if first_byte_s is not None:
        told += f',"first_byte_s":{first_byte_s:.6f}'
    told += f',"total_s":{total_s:.6f}'
    if tokens is not None:
        told += f',"prompt_tokens":{tokens.prompt},"answer_tokens":{tokens.answer}'
    if body:
        told += f',"body":"{body}"'
    if answer:
        told += f',"answer":"{answer}"'
    if answers:
        told += f',"answers":{_each(answers)}'
    return told + "}"


@lru_cache(maxsize=1024)
def _who(key: str, client: str, endpoint: str, agent_type: str, model: str, engine: str, weights: str) -> str:
    """Who asks whom for what: the same for many requests, and the most of a line."""
    told = {"key": key, "client": client, "endpoint": endpoint, "agent_type": agent_type}
    told |= {"model": model, "engine": engine, "weights": weights}
    return "".join(f',"{name}":{_text(value)}' for name, value in told.items() if value)


def _each(hashes: Sequence[str]) -> str:
    return f"""["{'","'.join(hashes)}"]"""


class Act(msgspec.Struct, tag_field="kind", tag=Kind.ACT.value, omit_defaults=True, kw_only=True):
    """Something was done: by whom, what, and to which model."""

    at: str
    who: str
    what: str
    model: str = ""


def moment(wall: float) -> str:
    """ISO 8601, UTC, with microseconds."""
    second = int(wall)
    return f"{_second(second)}.{str(1_000_000 + int((wall - second) * 1_000_000))[1:]}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    """strftime costs more than all else of a line."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Hashed:
    """The HMAC of what comes in pieces."""

    def __init__(self, inner: "hashlib._Hash", outer: "hashlib._Hash") -> None:
        self._inner = inner
        self._outer = outer

    def __repr__(self) -> str:
        return "<Hashed>"

    def add(self, data: bytes | memoryview) -> None:
        """Some more."""
        self._inner.update(data)

    def hex(self) -> str:
        """Of all until now."""
        outer = self._outer.copy()
        outer.update(self._inner.digest())
        return outer.hexdigest()


class Hasher:
    """HMAC-SHA-256 of texts (RFC 2104), under a key that is made of the audit's.

    Both hashes are begun once and copied: to begin them anew for each text costs more than the text does.
    """

    def __init__(self, key: bytes) -> None:
        own = hmac.digest(key, b"texts", "sha256").ljust(BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in own))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in own))

    def __repr__(self) -> str:
        return "<Hasher>"

    def of(self, text: str) -> str:
        """In hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode(errors="surrogatepass"))
        outer.update(inner.digest())
        return outer.hexdigest()

    def begun(self) -> "Hashed":
        """For what comes in pieces."""
        return Hashed(self._inner.copy(), self._outer)

    def of_all(self, texts: Sequence[str]) -> tuple[str, list[str]]:
        """Of all, one after the other, and of each, where there are several."""
        if not texts:
            return "", []
        if len(texts) == 1:
            return self.of(texts[0]), []
        return self.of("".join(texts)), [self.of(text) for text in texts]
