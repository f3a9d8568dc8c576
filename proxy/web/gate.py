"""The gate: where `bin/engine` asks for leave to become vLLM. On the Unix socket only.

Rule: the kernel says which process asks, so nobody can ask for another.
"""

import msgspec
from aiohttp import web

from proxy.core.errors import InvalidRequest
from proxy.core.methods import Method
from proxy.core.routing import Router
from proxy.fleet import Fleet
from proxy.web.who import peer


class Gate:
    """Answers the processes that want to become engines of `fleet`."""

    def __init__(self, fleet: Fleet, router: Router) -> None:
        self._fleet = fleet
        self._router = router

    def __repr__(self) -> str:
        return f"<Gate {self._fleet!r}>"

    def routes(self) -> list[web.RouteDef]:
        """What a process asks: what to prepare, then for leave; meanwhile it says that it is prepared."""
        return [
            web.get("/gate/{model}", self.prepare),
            web.post("/gate/{model}", self.ask),
            web.post("/gate/{model}/reached", self.reached),
        ]

    async def prepare(self, request: web.Request) -> web.Response:
        """What can be done without leave: which executable to import. Raises: RotaError if a start must fail."""
        model = there(self._fleet, self._router, request.match_info["model"])
        pid, _ = peer(request)
        return _encoded(await self._fleet.asking.preparation(model, pid))

    async def ask(self, request: web.Request) -> web.Response:
        """Wait for room, then answer with argv and environment. Raises: RotaError."""
        model = there(self._fleet, self._router, request.match_info["model"])
        pid, _ = peer(request)
        return _encoded(await self._fleet.asking.leave(model, pid))

    async def reached(self, request: web.Request) -> web.Response:
        """The process that asks has done what it can, and goes on by `?method=`.

        Raises: ModelNotFound, InvalidRequest.
        """
        model = there(self._fleet, self._router, request.match_info["model"])
        pid, _ = peer(request)
        self._fleet.asking.reached(model, pid, _method(request.query.get("method", Method.PLAIN)))
        return web.Response(status=204)


def there(fleet: Fleet, router: Router, model: str) -> str:
    """`model`, if there is such an engine, also one that has left the catalog and serves to its end.

    Raises: ModelNotFound.
    """
    return model if fleet.has(model) else router.named(model)


def _method(given: str) -> Method:
    """Raises: InvalidRequest."""
    try:
        return Method(given)
    except ValueError as error:
        what = f"'{given}' is no method: {', '.join(Method)}"
        raise InvalidRequest(what, param="method") from error


def _encoded(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
