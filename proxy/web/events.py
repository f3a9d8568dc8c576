"""`GET /events`: what happens, as server-sent events; `GET /log` and `GET /engines/MODEL/log`: logs as they grow.

Rule: looking wakes nothing, and an onlooker who does not read holds nobody up. Whose key ends is told no more.
"""

import asyncio
import time

import msgspec
from aiohttp import web

from proxy.adapters import logs
from proxy.core.errors import InvalidRequest
from proxy.core.routing import Router
from proxy.core.sse import comment
from proxy.fleet import Fleet
from proxy.happenings import Happening, Kind
from proxy.settings import Layout
from proxy.web.gate import there
from proxy.web.guard import may_still
from proxy.web.queries import digits, flag, number

KEEP_ALIVE_S = 15.0
LINES = 100
MOST_LINES = 10_000
_MISSED = b"event: missed\ndata: {}\n\n"
_MOST = 10**18


class Events:
    """What the fleet does, and what its processes write."""

    def __init__(self, fleet: Fleet, router: Router, here: Layout) -> None:
        self._fleet = fleet
        self._router = router
        self._here = here

    def __repr__(self) -> str:
        return f"<Events of {self._fleet!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For both applications."""
        return [
            web.get("/events", self.events),
            web.get("/events/kept", self.kept),
            web.get("/history", self.history),
            web.get("/log", self.log),
            web.get("/engines/{model}/log", self.log_of_engine),
        ]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens, as server-sent events, until the client leaves.

        With `?after=N`, or `Last-Event-ID`, what has happened since then and is kept comes first; `after=0` is all that
        is kept. An event `missed` says that something is not: look at /status again. `?kinds=move,refusal` leaves out
        all others.

        Raises: InvalidRequest.
        """
        after, has_missed = self._after(request)
        kinds = _kinds(request)
        response = await _begun(request, "text/event-stream")
        onlooker = self._fleet.happenings.look(after)
        loop = asyncio.get_running_loop()
        silent_until = loop.time() + KEEP_ALIVE_S
        try:
            if has_missed:
                await response.write(_MISSED)
            while not onlooker.is_over and may_still(request):
                news = await onlooker.next(KEEP_ALIVE_S)
                wanted = [one for one in news if one is None or one.kind in kinds]
                told = b"".join(_MISSED if one is None else self._event(one) for one in wanted)
                if told or loop.time() >= silent_until:
                    await response.write(told or comment("nothing has happened"))
                    silent_until = loop.time() + KEEP_ALIVE_S
        finally:
            self._fleet.happenings.leave(onlooker)
        return response

    async def kept(self, request: web.Request) -> web.Response:
        """What has happened of late, as one answer: `events`, the oldest first; `life` is for their ids."""
        happenings = self._fleet.happenings
        told = {"life": happenings.life, "events": [one.as_dict() for one in happenings.kept]}
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")

    async def history(self, _: web.Request) -> web.Response:
        """The last hour of each engine: its states, what it held of each device, and why; what strangers held.

        `n` is the last happening that is in it, for `/events?after=N`; times are seconds since 1970.
        """
        happenings = self._fleet.happenings
        told = {"life": happenings.life, "n": happenings.n} | happenings.history.told(time.time())
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")

    async def log(self, request: web.Request) -> web.StreamResponse:
        """The last `?lines=100` of the proxy's log; with `follow=true` it goes on as that grows.

        Raises: InvalidRequest.
        """
        return await self._log(request, "proxy")

    async def log_of_engine(self, request: web.Request) -> web.StreamResponse:
        """The same of an engine's log, which goes on over its lives. Raises: ModelNotFound, InvalidRequest."""
        return await self._log(request, there(self._fleet, self._router, request.match_info["model"]))

    async def _log(self, request: web.Request, program: str) -> web.StreamResponse:
        lines, follow = number(request, "lines", LINES, MOST_LINES), flag(request, "follow")
        response = await _begun(request, "text/plain")
        is_over = self._fleet.happenings.is_over

        def ends() -> bool:
            return is_over() or not may_still(request)

        async for piece in logs.follow(self._here.log_of(program), lines, ends if follow else None):
            await response.write(piece)
        return response

    def _after(self, request: web.Request) -> tuple[int | None, bool]:
        """Behind which happening to begin, and whether something is missing between. Raises: InvalidRequest."""
        happenings = self._fleet.happenings
        if last := request.headers.get("Last-Event-ID"):
            life, _, given = last.partition("-")
            if life != happenings.life:
                return 0, True  # of another proxy, which has gone since
            n = digits("Last-Event-ID", given, _MOST)
        elif (given := request.query.get("after", "")) == "":
            return None, False
        else:
            n = digits("after", given, _MOST)
        return n, n > 0 and not happenings.has_all_after(n)

    def _event(self, happening: Happening) -> bytes:
        head = f"id: {self._fleet.happenings.life}-{happening.n}\nevent: {happening.kind}\ndata: "
        return head.encode() + msgspec.json.encode(happening.as_dict()) + b"\n\n"


def _kinds(request: web.Request) -> frozenset[Kind]:
    """Which are asked for; all where none are named. Raises: InvalidRequest."""
    names = [name for name in request.query.get("kinds", "").split(",") if name]
    if unknown := set(names) - set(Kind):
        what = f"kinds has '{sorted(unknown)[0][:20]}': {', '.join(Kind)} are allowed"
        raise InvalidRequest(what, param="kinds")
    return frozenset(map(Kind, names)) or frozenset(Kind)


async def _begun(request: web.Request, kind: str) -> web.StreamResponse:
    """An answer that goes on; nothing between it and its client may keep it."""
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response
