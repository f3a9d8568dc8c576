"""What people do, over the Unix socket or with an admin's key, noted in the audit: who, and what."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.audit import Audit
from proxy.web.who import who

_OF_ENGINES = "/gate/"
"""Asked by processes that want to become engines."""


def noting(audit: Audit, under: str = "/") -> Middleware:
    """Of what is asked `under` this path. An act is noted when it has been done, or refused, with its status."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_act = request.method == "POST" and request.path.startswith(under)
        if not is_act or request.path.startswith(_OF_ENGINES):
            return await handler(request)
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            outcome = "refused" if status is None else f"answered with {status}"
            audit.act(who(request), f"{request.path_qs[:200]}, {outcome}", request.match_info.get("model", ""))

    return note
