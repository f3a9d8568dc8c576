"""What people do, over the Unix socket or with an admin's key, noted in the audit: who, and what.

Rule: that it is asked for is noted before it is done, and where that cannot be, it is not done.
"""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.audit import Audit
from proxy.core.audit_records import acted
from proxy.web.who import who

_OF_ENGINES = "/gate/"
"""Asked by processes that want to become engines."""
_OPTIONS = ("force", "wait", "level", "dry_run")
_LONGEST_OPTION = len("false")
"""Of more than that, and of other names, nothing is noted: they may be anybody's words."""
DETAILS = web.RequestKey("details", str)
"""What else is to be noted of an act, when it has been done."""


def noting(audit: Audit, under: str = "/") -> Middleware:
    """Of what is asked `under` this path an act is noted when it is asked for, and again when it is done or refused."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_act = request.method == "POST" and request.path.startswith(under)
        if not is_act or request.path.startswith(_OF_ENGINES):
            return await handler(request)
        by, model = who(request), request.match_info.get("model", "")
        what = f"{request.path[:200]}{_options(request)}"
        await audit.begin(lambda at, _: acted(at, by, f"{what}, asked", model))
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            outcome = "refused" if status is None else f"answered with {status}"
            audit.act(by, f"{what}, {outcome}{request.get(DETAILS, '')}", model)

    return note


def _options(request: web.Request) -> str:
    """How it was to be done."""
    asked = {name: request.query[name] for name in _OPTIONS if name in request.query}
    told = "&".join(f"{name}={value}" for name, value in asked.items() if len(value) <= _LONGEST_OPTION)
    return f"?{told}" if told else ""
