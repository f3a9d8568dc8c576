"""What people do, over the Unix socket or with an admin's key, noted in the audit: who, and what."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.audit import Audit
from proxy.web.who import who

_OF_ENGINES = "/gate/"
"""Asked by processes that want to become engines."""
_OPTIONS = ("force", "wait", "level", "dry_run")
_LONGEST_OPTION = len("false")
"""Of more than that, and of other names, nothing is noted: they may be anybody's words."""


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
            what = f"{request.path[:200]}{_options(request)}, {outcome}"
            audit.act(who(request), what, request.match_info.get("model", ""))

    return note


def _options(request: web.Request) -> str:
    """How it was to be done."""
    asked = {name: request.query[name] for name in _OPTIONS if name in request.query}
    told = "&".join(f"{name}={value}" for name, value in asked.items() if len(value) <= _LONGEST_OPTION)
    return f"?{told}" if told else ""
