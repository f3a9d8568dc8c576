"""What every request goes through that is not forwarded: a request id, and errors in their form, marked as ours."""

import logging
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.core import error_forms, headers
from proxy.core.endpoints import ENDPOINTS, Form
from proxy.core.errors import BodyTooLarge, InvalidRequest, MethodNotAllowed, NotFound, RotaError, own_bug

log = logging.getLogger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)

TELLS_ALL = web.AppKey("tells_all", bool)
"""Errors are answered with their detail: on the Unix socket, where only the box's own people are."""

ANTHROPIC_PATHS = tuple(one.path for one in ENDPOINTS if one.form is Form.ANTHROPIC)

HAS_ANSWER = web.RequestKey("has_answer", bool)
"""The first byte of the answer is out, or about to be: no other answer can be given any more."""


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep the client's request id, or make one."""
    request[REQUEST_ID] = headers.request_id(request.headers) or uuid.uuid4().hex
    return await handler(request)


async def put_own_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the client its request id, also on errors (a signal: on_response_prepare)."""
    request[HAS_ANSWER] = True
    if (request_id := request.get(REQUEST_ID)) is not None:
        response.headers[headers.REQUEST_ID] = request_id


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with the error's own status, in OpenAI's form. A bug is logged with its trace and says nothing else.

    Where an answer has begun, the connection is aborted: a second head, or a clean end, would be a lie.
    """
    try:
        return await handler(request)
    except RotaError as error:
        return _render(request, error, in_full=request.app.get(TELLS_ALL, False))
    except web.HTTPRequestEntityTooLarge:
        limit = f"{request.client_max_size / 2**20:g} MiB"
        return _render(
            request, BodyTooLarge(f"the body is larger than {limit}, which is the limit (setting max_body_mib)")
        )
    except web.HTTPMethodNotAllowed as error:
        return _render(request, MethodNotAllowed.of(request.method, request.path, error.allowed_methods))
    except web.HTTPNotFound:
        return _render(request, _not_found(request))
    except web.HTTPException as error:
        return _render(request, InvalidRequest(error.reason), status=error.status)
    except Exception as error:
        if request.get(HAS_ANSWER):
            if request.transport is not None:
                request.transport.abort()
            if isinstance(error, ConnectionError):
                raise  # the client is gone; aiohttp knows what to do about that
        log.exception("%s %s, request id %s", request.method, request.path, request.get(REQUEST_ID))
        return _render(request, own_bug())


def _render(
    request: web.Request, error: RotaError, status: int | None = None, *, in_full: bool = False
) -> web.Response:
    is_anthropics = request.path.endswith(ANTHROPIC_PATHS) or request.path.startswith(ANTHROPIC_PATHS)
    form = Form.ANTHROPIC if is_anthropics else Form.OPENAI
    return web.json_response(
        error_forms.body(error, form, in_full=in_full),
        status=status or error.status,
        headers=error_forms.head(error),
    )


def _not_found(request: web.Request) -> RotaError:
    """Where the path is forwarded for another method, that is what is wrong."""
    if allowed := [one.method for one in ENDPOINTS if one.path == request.rel_url.raw_path]:
        return MethodNotAllowed.of(request.method, request.path, allowed)
    return NotFound(f"{request.method} {request.path[:200]} is not served here. {_served(request)}")


def _served(request: web.Request) -> str:
    routes = {f"{route.method} {route.resource.canonical}" for route in request.app.router.routes() if route.resource}
    if not request.app.get(TELLS_ALL, False):
        routes |= {f"{one.method} {one.path}" for one in ENDPOINTS}
    return "Served: " + ", ".join(sorted(route for route in routes if not route.startswith("HEAD")))
