"""Forms (multipart/form-data), as audio is uploaded: their few fields are read, their files are not held in memory.

The body is spooled to a file without a name while python-multipart, which vLLM's own server reads forms with too, finds
its parts; so both read the same. Rule: what goes on are the client's bytes, but for the parts that are said to Rota and
the one that names the model.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from proxy.core.errors import InvalidRequest
from proxy.core.members import OWN_FIELDS
from proxy.core.wire import TRUE, Told
from proxy.upstream.outgoing import Outgoing

FIELDS = frozenset({"model", "stream", *OWN_FIELDS})
IN_MEMORY_BYTES = 2**20
PIECE_BYTES = 2**18
MOST_PARTS = 200
LONGEST_FIELD_BYTES = 1000


@dataclass(slots=True)
class Part:
    """Where one part stands in the body, from its boundary to the next, and what it says if it is one of `FIELDS`."""

    name: str
    begins: int
    ends: int = 0
    value: bytes = b""


class Form:
    """A form that has come whole. It is on the disk, but for a small one."""

    is_background = False
    held_bytes = 0
    whole = previous_response = None

    def __init__(self, file: IO[bytes], size: int, boundary: bytes, parts: list[Part]) -> None:
        """Raises: InvalidRequest where a field is said twice and differs."""
        self._file = file
        self._size = size
        self._boundary = boundary
        self._parts = parts
        self._values: dict[str, str] = {}
        for part in parts:
            part.ends = self._end_of(part)
            value = part.value.decode(errors="replace")
            if self._values.setdefault(part.name, value) != value:
                raise InvalidRequest(f"the form says '{part.name}' twice, and not the same", param=part.name)

    def __repr__(self) -> str:
        return f"<Form of {self._size} bytes>"

    @property
    def is_stream(self) -> bool:
        """Whether it asks for events."""
        return self._values.get("stream", "").lower() in TRUE

    def told(self) -> Told:
        """Body; all that a form says is text."""
        said = self._values
        return said.get("model") or None, said.get("agent_type") or None, said.get("keep_alive") or None

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """The form for the engine that serves `served_name`. `defaults` are of JSON bodies, and not put in."""
        has_own = any(part.name in OWN_FIELDS for part in self._parts)
        if self._values.get("model") == served_name and not has_own:
            return Outgoing(self._size, file=lambda: self._read([(0, self._size)]))
        cut = [part for part in self._parts if part.name in OWN_FIELDS or part.name == "model"]
        named = b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
        model = named % (self._boundary, served_name.encode())
        kept, at = [], self._begins()
        for part in cut:
            kept.append((at, part.begins))
            at = part.ends
        kept.append((at, self._size))
        length = len(model) + sum(end - begin for begin, end in kept)
        return Outgoing(length, [model], file=lambda: self._read(kept))

    def close(self) -> None:
        """Forget it, on the disk too."""
        self._file.close()

    def _begins(self) -> int:
        """Where the first boundary is: what may come before it is not passed on."""
        self._file.seek(0)
        return max(0, self._file.read(PIECE_BYTES).find(b"--" + self._boundary))

    def _end_of(self, part: Part) -> int:
        """Where the next boundary begins; a field is short, and so is its head."""
        self._file.seek(part.begins)
        return part.begins + self._file.read(PIECE_BYTES).index(b"\r\n--" + self._boundary) + 2

    def _read(self, spans: list[tuple[int, int]]) -> Iterator[bytes]:
        for begin, end in spans:
            self._file.seek(begin)
            for size in _sizes(end - begin):
                yield self._file.read(size)


def _sizes(whole: int) -> Iterator[int]:
    while whole > 0:
        yield min(PIECE_BYTES, whole)
        whole -= PIECE_BYTES


async def read_form(content_type: str, pieces: AsyncIterator[bytes]) -> Form:
    """Spool a form. Raises: InvalidRequest, and what `pieces` raises."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        what = f"the body is {content_type[:100]}, by its Content-Type" if content_type else "there is no Content-Type"
        raise InvalidRequest(f"{what}: send a form, with Content-Type: multipart/form-data; boundary=...")
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  # the form closes it
    try:
        reader = _Reader(boundary)
        async for piece in pieces:
            file.write(piece)
            reader.feed(piece)
        return Form(file, reader.size, boundary, reader.end())
    except BaseException:
        file.close()
        raise


class _Reader:
    """Follows python-multipart through the body, and notes where the parts are that matter."""

    def __init__(self, boundary: bytes) -> None:
        self.size = 0
        self._parts: list[Part] = []
        self._delimiter_bytes = len(boundary) + 4  # two dashes before it, CRLF behind it
        self._count = 0
        self._name = b""
        self._value = b""
        self._disposition = b""
        self._begins = 0
        self._part: Part | None = None
        self._is_whole = False
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # a TypedDict of the same

    def feed(self, piece: bytes) -> None:
        """Some more of the body. Raises: InvalidRequest."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise InvalidRequest(f"the form cannot be read: {error}") from error
        self.size += len(piece)

    def end(self) -> list[Part]:
        """The parts that matter. Raises: InvalidRequest where the form has no end."""
        if not self._is_whole:
            raise InvalidRequest("the form cannot be read: its last boundary is missing")
        return self._parts

    def _part_begins(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise InvalidRequest(f"the form has more than {MOST_PARTS} parts")
        self._name = self._value = self._disposition = b""
        self._begins, self._part = -1, None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        if self._begins < 0:
            self._begins = self.size + start - self._delimiter_bytes
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if name in FIELDS and b"filename" not in options:
            self._part = Part(name, self._begins)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if (part := self._part) is None:
            return
        part.value += data[start:end]
        if len(part.value) > LONGEST_FIELD_BYTES:
            raise InvalidRequest(f"'{part.name}' is longer than {LONGEST_FIELD_BYTES} bytes", param=part.name)

    def _part_ends(self) -> None:
        if self._part is not None and self._part.value:  # an empty one says nothing, and may stay
            self._parts.append(self._part)

    def _ends(self) -> None:
        self._is_whole = True
