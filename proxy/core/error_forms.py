"""The proxy's own errors in the form that the endpoint's clients know. Pure.

OpenAI's is `{"error": {"message", "type", "param", "code"}}`, Anthropic's `{"type": "error", "error": {"type",
"message"}}` with the types of docs.anthropic.com/en/api/errors.
"""

from typing import Any

from proxy.core import headers
from proxy.core.endpoints import Form
from proxy.core.errors import RotaError

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def body(error: RotaError, form: Form, *, in_full: bool = False) -> dict[str, Any]:
    """The error as a JSON object; `in_full` with what only the box's own people may know."""
    if form is Form.ANTHROPIC:
        return anthropic(error.status, error.in_full if in_full else error.message)
    return error.as_json(in_full=in_full)


def head(error: RotaError) -> dict[str, str]:
    """The headers that say of an error that it is the proxy's own, what to do instead, and when to come back."""
    told = {headers.ERROR_MARK: error.code, **error.headers}
    if error.retry_after_s is not None:
        told["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return told


def anthropic(status: int, message: str) -> dict[str, Any]:
    """An error in Anthropic's form."""
    otherwise = "api_error" if status >= 500 else "invalid_request_error"
    return {"type": "error", "error": {"type": _ANTHROPIC_TYPES.get(status, otherwise), "message": message}}
