"""What a line of the audit holds beside its number and the hash before it. Pure.

Texts are never in it: for each stands its HMAC-SHA-256 under a key of this audit, so that who has the key can ask
whether a text was sent, and nobody can guess texts from hashes. Times are UTC, durations in seconds.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from proxy.core.audit_check import Kind
from proxy.core.usage import Tokens

BLOCK_BYTES = 64
"""Of SHA-256."""


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


class Begin(msgspec.Struct, tag_field="kind", tag=Kind.BEGIN.value, omit_defaults=True, kw_only=True):
    """A request is about to be forwarded. `engine` is its model, vLLM's version and the hash of its flags.

    `prompt` is the hash of all texts, one after the other, `messages` those of each, where there are several.
    """

    at: str
    id: str
    key: str = ""
    client: str = ""
    endpoint: str
    agent_type: str = ""
    model: str
    engine: str = ""
    weights: str = ""
    sampling: dict[str, Any] = {}
    prompt: str = ""
    messages: list[str] = []

    @classmethod
    def of(
        cls,
        wall: float,
        asked: Asked,
        client: str,
        engine: str,
        weights: str,
        *,
        sampling: dict[str, Any] | None = None,
        prompt: str = "",
        messages: list[str] | None = None,
    ) -> "Begin":
        """Of a request, at the time `wall`."""
        return cls(
            at=moment(wall),
            id=asked.request_id,
            key=asked.key_name,
            client=client,
            endpoint=asked.path,
            agent_type=asked.agent_type,
            model=asked.model,
            engine=engine,
            weights=weights,
            sampling=sampling or {},
            prompt=prompt,
            messages=messages or [],
        )


class End(msgspec.Struct, tag_field="kind", tag=Kind.END.value, omit_defaults=True, kw_only=True):
    """What became of a request. `of` is the number of its line `begin`; one that was never forwarded has none."""

    at: str
    of: int = 0
    id: str
    key: str = ""
    endpoint: str
    agent_type: str = ""
    model: str = ""
    outcome: str
    status: int
    error: str = ""
    fallback: str = ""
    waited_s: float | None = None
    first_byte_s: float | None = None
    total_s: float
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    answer: str = ""
    answers: list[str] = []

    @classmethod
    def after(
        cls,
        wall: float,
        begun: int,
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
        answer: str = "",
        answers: list[str] | None = None,
    ) -> "End":
        """Of a request, at the time `wall`; `begun` is what `of` is."""
        return cls(
            at=moment(wall),
            of=begun,
            id=asked.request_id,
            key=asked.key_name,
            endpoint=asked.path,
            agent_type=asked.agent_type,
            model=asked.model,
            outcome=outcome,
            status=status,
            error=error,
            fallback=fallback,
            waited_s=None if waited_s is None else round(waited_s, 6),
            first_byte_s=None if first_byte_s is None else round(first_byte_s, 6),
            total_s=round(total_s, 6),
            prompt_tokens=None if tokens is None else tokens.prompt,
            answer_tokens=None if tokens is None else tokens.answer,
            answer=answer,
            answers=answers or [],
        )


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

    def of_all(self, texts: Sequence[str]) -> tuple[str, list[str]]:
        """Of all, one after the other, and of each, where there are several."""
        if not texts:
            return "", []
        if len(texts) == 1:
            return self.of(texts[0]), []
        return self.of("".join(texts)), [self.of(text) for text in texts]
