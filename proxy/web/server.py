"""aiohttp's server as a proxy of long streams needs it: its settings, its log, and its own errors in our form.

Rule: every default that is wrong for such a proxy is set here, and both ports, and the tests, have it from here.
"""

import logging
import uuid
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from proxy.core import error_forms, headers
from proxy.core.endpoints import Form
from proxy.core.errors import InvalidRequest, UnknownCoding, own_bug

KEEP_ALIVE_S = 75.0
"""A connection that has no request for so long is closed; nginx's own default."""
LINGER_S = 2.0
"""For so long what is left of a request is read that has been answered before its end."""


class _NoTraces(logging.Filter):
    """A client that speaks no HTTP is no bug of ours: it gets its 400, and the log a line, not a trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        match error:
            case HttpProcessingError():
                what = type(error).__name__  # its message holds what the client has sent
                record.msg, record.args = "%s: %s, and is answered with %d", (record.getMessage(), what, error.code)
            case web.RequestPayloadError():  # it has its answer, but the rest of its body is no body
                record.msg, record.args = "%s: %s", (record.getMessage(), " ".join(str(error).split()))
            case _:
                return True
        record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True


LOG = logging.getLogger(__name__)
LOG.addFilter(_NoTraces())

SETTINGS: dict[str, Any] = {
    "access_log": None,
    "logger": LOG,
    "keepalive_timeout": KEEP_ALIVE_S,
    "lingering_time": LINGER_S,
}
"""For `web.AppRunner` and for `Client`."""


class Client(web.RequestHandler):
    """The connection of one client. What cannot be read as HTTP is answered as any other bad request is."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's, which logs it and closes the connection; only its answer is another."""
        super().handle_error(request, status, exc, message)
        error = own_bug()
        if isinstance(exc, ContentEncodingError):  # one that aiohttp knows, and has no library for
            error = UnknownCoding.of("Content-Encoding is not known")
            status = error.status
        elif status != HTTPStatus.INTERNAL_SERVER_ERROR:
            why = " ".join((message or "no reason is known").split())
            error = InvalidRequest(f"this cannot be read as HTTP: {why}")
        told = error_forms.head(error) | {headers.REQUEST_ID: uuid.uuid4().hex}
        answer = web.json_response(error_forms.body(error, Form.OPENAI), status=status, headers=told)
        answer.force_close()
        return answer
