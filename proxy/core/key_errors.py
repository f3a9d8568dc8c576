"""The errors of who may ask, and how much. What they carry beside a message is given as `headers`."""

from proxy.core.errors import InvalidRequest, RotaError

USELESS = {"x-should-retry": "false"}
"""For `QuotaUsedUp`: OpenAI's clients try again by themselves, unless they are told so."""


class KeyInvalid(InvalidRequest):
    """No key was sent, or one that does not count here (any more)."""

    status = 401
    code = "invalid_api_key"

    @classmethod
    def of(cls, message: str) -> "KeyInvalid":
        """With the header that a 401 must have (RFC 9110, section 11.6.1)."""
        return cls(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(InvalidRequest):
    """The key may not be used for this."""

    status = 403
    code = "forbidden"
    type = "permission_error"


class RateLimited(RotaError):
    """The key has used what it may, for now."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"


class QuotaUsedUp(RateLimited):
    """The key has used what it may today."""

    code = "insufficient_quota"


class KeysInvalid(InvalidRequest):
    """The file of keys cannot be used; nothing was changed."""

    code = "keys_invalid"


class AuditUnreadable(RotaError):
    """The audit cannot be read, or there is none."""

    status = 503
    code = "audit_unreadable"


class AuditFailed(RotaError):
    """The audit cannot be written: nothing is forwarded that could not be proved."""

    status = 503
    code = "audit_failed"
