"""Who a request on the public port comes from, and whether it may.

Rule: where there are keys, who has none is told that and nothing else, but for /health. All is asked by the middleware,
before it is looked at, but for what comes in by the door; what is forwarded also by `forward` and `realtime`, which
know what the request is for.
"""

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.core.addresses import Trusted
from proxy.core.allowance import Allowance
from proxy.core.endpoints import Endpoint, Key as SaidIn
from proxy.core.errors import NotFound
from proxy.core.headers import Incoming
from proxy.core.key_errors import Forbidden
from proxy.core.keys import RANKS, Role
from proxy.core.routing import Route
from proxy.keyring import Keyring, LastKey
from proxy.web.asked import peer_of
from proxy.web.nearby import is_nearby
from proxy.web.remembered import Remembered

CALLER = web.RequestKey("caller", Allowance)
"""Who asks; absent where there are no keys."""
IS_NEARBY = web.RequestKey("is_nearby", bool)
"""Where there are no keys: whether somebody on this machine asks, who is no web page from elsewhere."""
_NOT_NEARBY = (
    "without keys this is for somebody on this machine only, at http://127.0.0.1 or localhost: make a key for it, "
    "manage_vllm.sh keys make NAME --role admin"
)

OPEN_PATHS = frozenset({"/", "/health", "/ui", "/ui/", "/ui/{file}"})
"""They tell nothing; the page asks for a key itself."""
_SHOWN = (
    *("/status", "/plan", "/metrics", "/metrics/engines", "/events", "/events/kept", "/history", "/log"),
    "/engines/{model}/log",
)
_NEEDS = dict.fromkeys(_SHOWN, Role.MONITOR)
"""What shows more than a client has to know."""
ADMIN = "/admin/"
"""Below it is what changes something, or shows who asked what."""
_REMEMBERED = SaidIn.REMEMBERED  # as in proxy.upstream.answer
_SOCKET = "/v1/realtime"
"""It asks itself: who may not is told so over the socket."""


class Standing:
    """Whether that holds under which a request was let in."""

    __slots__ = ("holds",)

    def __init__(self, holds: Callable[[], bool]) -> None:
        self.holds = holds

    def __repr__(self) -> str:
        return f"<Standing {self.holds()}>"


STANDING = web.RequestKey("standing", Standing)


def role_for(path: str) -> Role:
    """Which role `path`, as the router has it, needs where there are keys."""
    return Role.ADMIN if path.startswith(ADMIN) else _NEEDS.get(path, Role.CLIENT)


class Guard:
    """Asks `keyring`. `is_closed` where there are keys. Of who asks, it believes what `trusted` proxies say.

    Where there are no keys, with `open_to_all` whoever reaches it may look at everything.
    """

    def __init__(self, keyring: Keyring, trusted: Trusted, *, open_to_all: bool = False) -> None:
        self._keyring = keyring
        self._trusted = trusted
        self._open_to_all = open_to_all

    def __repr__(self) -> str:
        return f"<Guard {self._keyring!r}>"

    @property
    def is_closed(self) -> bool:
        """Whether a key is needed."""
        return not self._keyring.is_open

    def known(self, incoming: Incoming, last: LastKey | None = None) -> Allowance | None:
        """Who asks, where that is remembered; `last` is what its connection has presented."""
        return self._keyring.known(_presented(incoming), last)

    async def caller(self, incoming: Incoming) -> Allowance:
        """Who asks. Raises: KeyInvalid."""
        return self.known(incoming) or await self._keyring.verify(_presented(incoming))

    def address(self, incoming: Incoming, peer: str) -> str:
        """The address that a request comes from, which came on a connection from `peer`; empty where it has none."""
        if self._trusted.is_nobody:
            return peer
        return self._trusted.client(peer, incoming.text(b"x-forwarded-for"))

    def middleware(self) -> Middleware:
        """For the public application."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            path = request.path if resource is None else resource.canonical
            incoming = Incoming.of_pairs(request.raw_headers)
            if not self.is_closed:
                request[STANDING] = Standing(lambda: not self.is_closed)
                request[IS_NEARBY] = is_nearby(request.headers, self.address(incoming, peer_of(request)))
                is_for_nearby = path.startswith(ADMIN) or (path in _NEEDS and not self._open_to_all)
                if is_for_nearby and not request[IS_NEARBY]:
                    raise Forbidden(_NOT_NEARBY)
            elif path not in OPEN_PATHS and path != _SOCKET:
                caller = await self.caller(incoming)
                role = role_for(path)
                caller.key.check_role(role)
                request[CALLER] = caller
                request[STANDING] = Standing(lambda: self._may_still(incoming, role))
            return await handler(request)

        return guard

    def _may_still(self, incoming: Incoming, role: Role) -> bool:
        """Whether the key that was good when a stream began is so now."""
        caller = self.known(incoming)
        return caller is not None and RANKS[caller.key.role] >= RANKS[role]


def may_still(request: web.Request) -> bool:
    """Whether who asked may have more of an answer that goes on: keys are revoked, expire, and are made."""
    standing = request.get(STANDING)
    return standing is None or standing.holds()


def check(caller: Allowance, endpoint: Endpoint, route: Route, maker: str | None) -> None:
    """Whether the caller may have this forwarded; `maker` is the key by which the response was made that is asked for.

    Raises: Forbidden, NotFound.
    """
    key = caller.key
    if endpoint.key is _REMEMBERED:
        if maker != key.name and key.role is not Role.ADMIN:  # as if it were not there: ids are not for guessing
            raise NotFound("no engine is known here that has made this response for this key", param="id")
        return
    if caller.may_use_all:
        return
    if endpoint.key is SaidIn.NONE and RANKS[key.role] >= RANKS[Role.MONITOR]:
        return
    key.check(route)


def check_previous(caller: Allowance, response_id: str | None, remembered: Remembered) -> None:
    """Whether the caller may go on from that response: what was made for another key is not there. Raises: NotFound."""
    if response_id is None or caller.key.role is Role.ADMIN:
        return
    made = remembered.made(response_id)
    if made is None or made.by != caller.key.name:
        what = f"no response '{response_id[:100]}' is known here that was made for this key"
        raise NotFound(what, param="previous_response_id")


def name_of(caller: Allowance | None) -> str:
    """Of the caller's key; empty where there are no keys."""
    return "" if caller is None else caller.key.name


def _presented(incoming: Incoming) -> bytes:
    """The header that holds the key: OpenAI's clients send the one, Anthropic's the other."""
    return incoming.told.get(b"authorization") or incoming.told.get(b"x-api-key") or b""
