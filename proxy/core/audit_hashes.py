"""The hashes that stand for texts in the audit: HMAC-SHA-256 under a key of this audit. Pure.

Who has the key can ask whether a text was sent, and nobody can guess texts from hashes.
"""

import hashlib
import hmac
from collections.abc import Sequence

BLOCK_BYTES = 64
"""Of SHA-256."""


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

    def of_bytes(self, data: bytes) -> str:
        """The same of what may be no text."""
        one = self.begun()
        one.add(data)
        return one.hex()

    def begun(self) -> "Hashed":
        """For what comes in pieces."""
        return Hashed(self._inner.copy(), self._outer)

    def of_all(self, texts: Sequence[str]) -> tuple[str, list[str]]:
        """Of all, one after the other, and of each, where there are several."""
        if len(texts) == 1:
            return self.of(texts[0]), []
        if not texts:
            return "", []
        return self.of("".join(texts)), [self.of(text) for text in texts]
