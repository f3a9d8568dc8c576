"""The proxy's own errors, as clients see them.

Each carries the HTTP status, OpenAI's `type`, `code` and `param`, and when to come back. A bug is none of these: it
crashes loudly. The message is for whoever asked; paths, command lines and logs go into `detail`, which only the box's
own people are shown.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from types import MappingProxyType

from proxy.core.diagnose import Lasts

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def own_bug() -> "RotaError":
    """What a client is told where the proxy has a bug."""
    return RotaError("the proxy has a bug here; its log has the trace, by the request id")


class RotaError(Exception):
    """Base of all errors that a client is told of."""

    status = 500
    code = "internal_error"
    type = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """`headers` are what its answer carries beside what all errors do."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.headers = headers

    @property
    def in_full(self) -> str:
        """The message with its detail, for the box's own people."""
        return f"{self.message}\n{self.detail}" if self.detail else self.message

    def again(self, retry_after_s: float | None) -> "RotaError":
        """The same error for somebody else, who may come back then."""
        again = copy(self)
        again.retry_after_s = retry_after_s
        return again

    def as_json(self, *, in_full: bool = False) -> dict[str, dict[str, str | None]]:
        """The body, in OpenAI's form."""
        message = self.in_full if in_full else self.message
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(RotaError):
    """The request cannot be understood, or contradicts itself."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class ModelTooLarge(InvalidRequest):
    """The model cannot fit on the device even alone."""

    code = "model_too_large"


class CatalogInvalid(InvalidRequest):
    """The catalog's files are wrong, or cannot count while engines run as they do; nothing was changed."""

    code = "catalog_invalid"


class ReloadFailed(RotaError):
    """The catalog is sound, and something else kept it from counting; nothing was changed."""

    status = 503
    code = "reload_failed"


class NotFound(InvalidRequest):
    """No such path."""

    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    """No model, alias or agent type of that name."""

    code = "model_not_found"


class WrongModelForPath(InvalidRequest):
    """The path asks for embeddings and the model writes text, or the other way round."""

    code = "wrong_model_for_path"


class MethodNotAllowed(InvalidRequest):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"

    @classmethod
    def of(cls, method: str, path: str, allowed: Iterable[str]) -> "MethodNotAllowed":
        """The error for `method`, where only `allowed` are served."""
        methods = ", ".join(sorted(allowed))
        return cls(f"{method} {path[:200]}: only {methods} is served there", headers={"Allow": methods})


class UnknownCoding(InvalidRequest):
    """The body is compressed in a way that cannot be undone here."""

    status = 415
    code = "unknown_coding"

    @classmethod
    def of(cls, what: str) -> "UnknownCoding":
        """The error for what is said to be wrong."""
        told = f"{what}: send the body as it is, or in gzip or deflate"
        return cls(told, headers={"Accept-Encoding": "gzip, deflate"})


class TooSlow(InvalidRequest):
    """The client sends its request too slowly."""

    status = 408
    code = "too_slow"


class BodyTooLarge(InvalidRequest):
    """The request's body is over the limit."""

    status = 413
    code = "body_too_large"


class EngineStartFailed(RotaError):
    """The engine did not start; the message carries the cause, `lasts` says whether trying again can help."""

    status = 503
    code = "engine_start_failed"
    lasts = Lasts.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
        lasts: Lasts | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s, detail=detail)
        self.lasts = lasts or self.lasts


class WeightsMissing(EngineStartFailed):
    """The model's folder is not there; the message says which command fetches it."""

    code = "weights_missing"
    lasts = Lasts.PASSING


class PortTaken(EngineStartFailed):
    """Somebody else listens on the engine's port."""

    code = "port_taken"
    lasts = Lasts.PASSING


class StoppedByHand(RotaError):
    """Somebody stopped the engine, and it stays stopped until somebody starts it."""

    status = 503
    code = "stopped_by_hand"


class BlockedByOthers(RotaError):
    """Processes that are not ours leave no room for the engine on any device; the message names them."""

    status = 503
    code = "blocked_by_others"


class CannotSleep(InvalidRequest):
    """The engine may not be put to sleep at that level, or is not awake."""

    status = 409
    code = "cannot_sleep"


class QueueFull(RotaError):
    """So many wait already that one more is not taken in."""

    status = 429
    code = "queue_full"
    type = "rate_limit_error"


class DeadlineTooShort(RotaError):
    """By what has been learned here the request would be served later than its client will wait."""

    status = 503
    code = "deadline_too_short"


class WaitedTooLong(RotaError):
    """The request waited its whole limit and its engine did not become ready."""

    status = 503
    code = "waited_too_long"


class EngineUnreachable(RotaError):
    """The engine took the request's connection, or refused it, and gave no answer."""

    status = 502
    code = "engine_unreachable"


class EngineRefused(EngineUnreachable):
    """The engine refused the connection, so it never had the request: it may be sent to another."""

    code = "engine_refused"


class EngineNotUp(RotaError):
    """The engine is not ready, and the request is of a kind that starts and wakes nothing."""

    status = 503
    code = "engine_not_up"


class ShuttingDown(RotaError):
    """The proxy is going away; engines go on and the next proxy adopts them."""

    status = 503
    code = "shutting_down"


class GateRefused(RotaError):
    """The process that asks for leave to start an engine does not get it."""

    status = 409
    code = "gate_refused"
