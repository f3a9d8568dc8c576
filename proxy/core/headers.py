"""Which headers go through, by the rules of HTTP (RFC 9110, section 7.6.1), and the heads that are sent. Pure.

Heads are bytes: a header that goes through keeps its spelling and its place.
"""

import re
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

REQUEST_ID = "X-Request-Id"
AGENT_TYPE = "X-Agent-Type"
DEADLINE = "X-Request-Deadline-S"
"""How long the client waits for an engine, in s."""
WAIT = "X-Rota-Wait"
"""`plain`: while it waits, the client wants to be told nothing but the end of it."""
ERROR_MARK = "X-Rota-Error"
"""On every error that is the proxy's own, never on one of vLLM's: its value is the error's code."""
MODEL = "X-Rota-Model"
"""The model that answers."""
WAITED = "X-Rota-Waited-S"
"""How long the request waited for a lease, in s."""
SWAP = "X-Rota-Swap"
"""What the engine had to do for it: none, wake or start."""
USAGE = "X-Rota-Usage"
"""To an engine: `tell` asks it to say at the end of a stream how many tokens it took (see `strip`)."""
TELL_USAGE = f"{USAGE}: tell\r\n"
FALLBACK = "X-Rota-Fallback"
"""On an answer that another model gave: which one, for which, and the code of the reason."""

CLIENT_TIMEOUTS = ("X-Stainless-Read-Timeout", "X-Stainless-Timeout")
"""OpenAI's clients send theirs: in seconds, for Python the first one; the second is sent by Node."""

_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@|~-]{1,128}")
"""Ids of all makes, as UUIDs, base64 and those of traces; no words, since it stands in logs and in the audit."""


def _lower(*names: str) -> frozenset[bytes]:
    return frozenset(name.lower().encode() for name in names)


_HOP_BY_HOP = _lower(
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
# The length of the body is said anew, and aiohttp has undone its compression and has answered its Expect.
_OF_THE_OLD_BODY = _lower("Host", "Content-Length", "Content-Encoding", "Expect")
_KEYS = _lower("Authorization", "X-Api-Key")
"""The client's are known here and nowhere else: an engine has a key of its own."""
_FORWARDED = _lower("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""Who has asked is known here, if the one who says so is trusted; an engine must not believe a client."""
_ENDS_HERE = _HOP_BY_HOP | _OF_THE_OLD_BODY | _KEYS | _FORWARDED | _lower(REQUEST_ID, AGENT_TYPE, DEADLINE, WAIT, USAGE)
_LOOKED_AT = _ENDS_HERE | _lower("Content-Type", *CLIENT_TIMEOUTS)

# What ends here, in an engine's head; `transfer-encoding` stays, since the chunks stay.
_NOT_FOR_CLIENTS = re.compile(
    rb"\r\n(?:connection|keep-alive|proxy-[a-z]+|te|trailer|upgrade|x-request-id|x-rota-[a-z-]+):[^\r\n]*",
    re.IGNORECASE,
)
_CONNECTION = re.compile(rb"\r\nconnection:([^\r\n]*)", re.IGNORECASE)
_CHUNKS = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*", re.IGNORECASE)


class Incoming:
    """A client's headers, sorted in one pass: `told` are those that we look at, by their lower-case names.

    Of several of one name the values are joined with commas (RFC 9110, section 5.3).
    """

    __slots__ = ("_kept", "told")

    def __init__(self, lines: Iterable[bytes]) -> None:
        """`lines` are without their ends, and known to be lines of HTTP."""
        told: dict[bytes, bytes] = {}
        kept: list[bytes] = []
        for line in lines:
            written, _, value = line.partition(b":")
            if (name := written.lower()) not in _LOOKED_AT:
                kept.append(line)
                continue
            value = value.strip(b" \t")
            told[name] = value if name not in told else told[name] + b", " + value
            if name not in _ENDS_HERE:
                kept.append(line)
        self.told = told
        self._kept = kept
        if b"connection" in told and told[b"connection"].lower() not in _PLAIN_CONNECTION:
            named = {token.strip().lower() for token in told[b"connection"].split(b",")}
            self._kept = [line for line in kept if line.partition(b":")[0].lower() not in named]

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[bytes, bytes]]) -> "Incoming":
        """Of names and values."""
        return cls(map(b": ".join, pairs))

    def text(self, name: bytes) -> str | None:
        """The header `name`, in lower case; None if it is absent. What is no UTF-8 in it is shown as U+FFFD."""
        value = self.told.get(name)
        return None if value is None else value.decode(errors="replace")

    def request_id(self) -> str | None:
        """The client's request id, if it is one."""
        if b"x-request-id" not in self.told:
            return None
        return _sane(self.text(b"x-request-id") or "")

    def for_socket(self) -> list[tuple[str, str]]:
        """What goes through to an engine's websocket; what belongs to the handshake with the client does not."""
        pairs = (line.decode(errors="replace").partition(":") for line in self._kept)
        return [(name, text.strip(" \t")) for name, _, text in pairs if not name.lower().startswith("sec-websocket-")]

    def for_engine(self, request_line: str, port: int, request_id: str, own: str) -> bytes:
        """The head of the request to the engine on `port`; `own` are lines: the body's length, the engine's key."""
        first = f"{request_line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{own}{REQUEST_ID}: {request_id}"
        return b"\r\n".join((first.encode(), *self._kept, b"", b""))


def for_client(head: bytes, own: bytes) -> bytes:
    """An engine's head (status line and headers, without the empty line) as the client gets it, with `own` lines."""
    if _NOT_FOR_CLIENTS.search(head) is not None:
        for match in _CONNECTION.finditer(head):
            for token in match[1].split(b","):
                if (name := token.strip().lower()) and name not in (b"close", b"keep-alive", b"transfer-encoding"):
                    head = re.sub(rb"(?i)\r\n" + re.escape(name) + rb":[^\r\n]*", b"", head)
        head = _NOT_FOR_CLIENTS.sub(b"", head)
    if not head.startswith(b"HTTP/1.1"):
        head = b"HTTP/1.1" + head[8:]
    return b"\r\n".join((head, own, b"", b""))


def of_own(status: int) -> bytes:
    """How the head of an answer of our own begins; an engine's has vLLM's date (RFC 9110, section 6.6.1)."""
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {formatdate(usegmt=True)}\r\n".encode()


def without_chunks(head: bytes) -> bytes:
    """An engine's head for a client that cannot have chunks: the end of the connection is the end of the body."""
    return _CHUNKS.sub(b"", head)


def request_id(headers: Mapping[str, str]) -> str | None:
    """As `Incoming.request_id`, for who has the headers by name."""
    return _sane(headers.get(REQUEST_ID, ""))


@lru_cache(maxsize=1024)
def of_lease(model: str, waited_s: float, swap: str) -> str:
    """The lines that tell a client of its lease, without the last CRLF."""
    return "\r\n".join(f"{name}: {value}" for name, value in told_of_lease(model, waited_s, swap).items())


def told_of_lease(model: str, waited_s: float, swap: str) -> dict[str, str]:
    """The same by their names."""
    return {MODEL: model, WAITED: f"{waited_s:.3f}", SWAP: swap}


def _sane(request_id: str) -> str | None:
    return request_id if _REQUEST_ID.fullmatch(request_id) else None
