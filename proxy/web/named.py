"""Paths that aiohttp's own router finds: those of a named engine, and of a response that one engine made.

What only looks at an engine, or can be had of one life of it only, starts and wakes nothing (`forward`).
"""

from aiohttp import web

from proxy.core.endpoints import ENDPOINTS, Key, is_response_id, may_pass
from proxy.core.errors import MethodNotAllowed, NotFound
from proxy.core.routing import Router
from proxy.web.asked import Asked
from proxy.web.forward import Forwarder
from proxy.web.responses import Responses

_PREFIX = "/engines/"
_METHODS = frozenset(one.method for one in ENDPOINTS)


class Named:
    """Sends requests on that name their engine by the path."""

    def __init__(self, forwarder: Forwarder, router: Router, responses: Responses) -> None:
        self._forwarder = forwarder
        self._responses = responses
        self._router = router

    def __repr__(self) -> str:
        return f"<Named {self._router!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application."""
        remembered = [one for one in ENDPOINTS if one.key is Key.REMEMBERED]
        return [
            *(web.route(one.method, one.path, self.of_response) for one in remembered),
            web.route("*", "/engines/{model}/{path:.*}", self.of_engine),
        ]

    async def of_engine(self, request: web.Request) -> web.StreamResponse:
        """A path of vLLM's, for one engine. Raises: NotFound, ModelNotFound."""
        path, _, query = request.rel_url.raw_path_qs.removeprefix(_PREFIX).partition("?")
        _, slash, rest = path.partition("/")
        endpoint = may_pass(request.method, slash + rest)
        model = self._router.named(request.match_info["model"])
        if endpoint is None and (allowed := [one for one in _METHODS if may_pass(one, slash + rest)]):
            raise MethodNotAllowed.of(request.method, request.path, allowed)
        if endpoint is None or endpoint.key is Key.SOCKET:
            raise NotFound(f"{request.method} {slash + rest} of an engine does not go through the proxy")
        target = slash + rest + (f"?{query}" if query else "")
        return await self._forwarder.forward(Asked.of(request, target), endpoint, model)

    async def of_response(self, request: web.Request) -> web.StreamResponse:
        """A response by its id. Raises: NotFound."""
        response_id, target = request.match_info["response_id"], request.rel_url.raw_path_qs
        endpoint = may_pass(request.method, target.partition("?")[0])
        if endpoint is None or not is_response_id(response_id):
            raise NotFound(f"{request.method} {target[:100]} is not served here")
        if (made := await self._responses.made(response_id)) is None:
            raise NotFound(f"no engine is known here that has made the response '{response_id}'", param="id")
        return await self._forwarder.forward(Asked.of(request, target), endpoint, made.model, made.by)
