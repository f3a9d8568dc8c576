"""Server-sent events that the proxy puts into a stream: comments while it waits, and errors. Pure.

Comments (lines that begin with a colon) are skipped by every reader of event streams (HTML Standard, 9.2.6).
"""

import msgspec

from proxy.core import error_forms
from proxy.core.endpoints import Form
from proxy.core.errors import RotaError

HEAD = (
    b"Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
    b"Transfer-Encoding: chunked"
)
"""The headers of a stream that begins before its engine has said anything; X-Accel-Buffering is for nginx in front."""


def comment(text: str) -> bytes:
    """One comment; line ends in `text` become spaces."""
    return f": {' '.join(text.split())}\n\n".encode()


def error(why: RotaError, form: Form, *, is_end: bool = True) -> bytes:
    """The events that say the proxy's own error; `is_end`: as vLLM ends a stream with an error, with [DONE]."""
    return _events(msgspec.json.encode(error_forms.body(why, form)), form, why.code, why.message, is_end=is_end)


def foreign_error(body: bytes, form: Form) -> bytes:
    """The events that end a stream with what an engine answered where a stream was expected: an error, as a rule."""
    try:
        told = msgspec.json.decode(body)
        compact = msgspec.json.encode(told)
        within = told.get("error", told) if isinstance(told, dict) else told
        message = within.get("message", "") if isinstance(within, dict) else str(within)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = body.decode(errors="replace")[:2000]
        compact = msgspec.json.encode({"error": {"message": message, "type": "upstream_error", "code": None}})
    return _events(compact, form, "upstream_error", str(message))


def _events(body: bytes, form: Form, code: str, message: str, *, is_end: bool = True) -> bytes:
    match form:
        case Form.ANTHROPIC:
            return b"event: error\ndata: %b\n\n" % body
        case Form.RESPONSES:
            event = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
            return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)
        case _:
            return b"data: %b\n\n%b" % (body, b"data: [DONE]\n\n" if is_end else b"")
