"""Which headers go through, by the rules of HTTP (RFC 9110, section 7.6.1). Pure."""

from collections.abc import Collection, Mapping

REQUEST_ID = "X-Request-Id"
AGENT_TYPE = "X-Agent-Type"
DEADLINE = "X-Request-Deadline-S"
"""How long the client waits for an engine, in s."""
ERROR_MARK = "X-Rota-Error"
"""On every error that is the proxy's own, never on one of vLLM's: its value is the error's code."""
FALLBACK = "X-Rota-Fallback"
"""On an answer that another model gave: which one, for which, and the code of the reason."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The body is written anew: its length changes, aiohttp has undone its compression and has answered its Expect.
_OF_THE_OLD_REQUEST = frozenset(
    {"host", "content-length", "content-encoding", "expect", REQUEST_ID.lower(), AGENT_TYPE.lower(), DEADLINE.lower()}
)
_LONGEST_REQUEST_ID = 200


def for_engine(headers: Collection[tuple[str, str]], request_id: str) -> list[tuple[str, str]]:
    """The client's headers as the engine gets them."""
    dropped = _hop_by_hop(headers) | _OF_THE_OLD_REQUEST
    kept = [(name, value) for name, value in headers if name.lower() not in dropped]
    return [*kept, (REQUEST_ID, request_id)]


def for_client(headers: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """The engine's headers as the client gets them; our own are set elsewhere."""
    dropped = _hop_by_hop(headers) | {REQUEST_ID.lower(), FALLBACK.lower()}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def request_id(headers: Mapping[str, str], made: str) -> str:
    """The client's request id if it is one line of printable ASCII of sane length, else the one `made` here."""
    given = headers.get(REQUEST_ID, "")
    return given if 0 < len(given) <= _LONGEST_REQUEST_ID and given.isascii() and given.isprintable() else made


def _hop_by_hop(headers: Collection[tuple[str, str]]) -> frozenset[str]:
    """The names that end here: the standard ones, and those that any Connection header names."""
    named = [value for name, value in headers if name.lower() == "connection"]
    return _HOP_BY_HOP | {token.strip().lower() for value in named for token in value.split(",")}
