"""What is said in a body that nobody has read as a whole, seen as it goes to the engine: for the audit to hash.

Rule: of a form no more is held than the piece that goes by; of JSON all, up to a limit, until its end.
"""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from proxy.core.audit_hashes import Hasher
from proxy.core.said import said
from proxy.web.form import MOST_PARTS

LONGEST_BYTES = 2**24
"""Of a longer one only the bytes are hashed."""


class GoingBy:
    """One body; `content_type` is the header's value."""

    def __init__(self, hasher: Hasher, content_type: bytes) -> None:
        self._hasher = hasher
        self._body = hasher.begun()
        self._kept: list[bytes] | None = None
        self._size = 0
        self._parts: _Parts | None = None
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            self._kept = []
        elif boundary := options.get(b"boundary"):
            self._parts = _Parts(hasher, boundary)

    def __repr__(self) -> str:
        return f"<GoingBy of {self._size} bytes>"

    def add(self, piece: bytes | memoryview) -> None:
        """Some more of it."""
        self._body.add(piece)
        self._size += len(piece)
        if self._parts is not None:
            self._parts.feed(bytes(piece))
        elif self._kept is not None:
            self._kept.append(bytes(piece))
            if self._size > LONGEST_BYTES:
                self._kept = None

    def hashes(self) -> tuple[str, str, list[str]]:
        """Of all its bytes; of its texts, one after the other; of each, or of each part of a form."""
        if self._parts is not None:
            return self._body.hex(), "", self._parts.hashes
        texts = [] if self._kept is None else said(b"".join(self._kept))[0]
        return self._body.hex(), *self._hasher.of_all(texts)


class _Parts:
    """Follows python-multipart, as `form` does."""

    def __init__(self, hasher: Hasher, boundary: bytes) -> None:
        self.hashes: list[str] = []
        self._hasher = hasher
        self._part = hasher.begun()
        self._parser: MultipartParser | None = MultipartParser(
            boundary, {"on_part_begin": self._begins, "on_part_data": self._data, "on_part_end": self._ends}
        )

    def feed(self, piece: bytes) -> None:
        """Some more; what is no form any more has no parts either."""
        if self._parser is not None:
            try:
                self._parser.write(piece)
            except FormParserError:
                self._parser = None

    def _begins(self) -> None:
        self._part = self._hasher.begun()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.add(memoryview(data)[start:end])

    def _ends(self) -> None:
        if len(self.hashes) < MOST_PARTS:
            self.hashes.append(self._part.hex())
