"""Salted hashes of secrets, by scrypt (RFC 7914) of the standard library.

A hash is kept with its parameters, `scrypt:LOG2_N:R:P:SALT:HASH` in base64, so that they may be raised later. One takes
some 50 ms and 16 MiB on purpose; hashlib lets other threads run meanwhile.
"""

import base64
import hashlib
import hmac
import secrets

LOG2_N, R, P = 14, 8, 1
"""What RFC 7914 gives for logins, in 16 MiB. Secrets are 256 random bits, so that nobody guesses one in any case."""
SALT_BYTES = 16
HASH_BYTES = 32
_MOST_MEMORY = 2**26


def hashed(secret: str) -> str:
    """A new hash of `secret`."""
    salt = secrets.token_bytes(SALT_BYTES)
    return ":".join(("scrypt", str(LOG2_N), str(R), str(P), _text(salt), _text(_scrypt(secret, salt, LOG2_N, R, P))))


def is_hash_of(kept: str, secret: str) -> bool:
    """Whether `kept` was made of `secret`. Raises: ValueError if it is no hash that this module has made."""
    try:
        kind, log2_n, r, p, salt, expected = kept.split(":")
        computed = _scrypt(secret, base64.b64decode(salt), int(log2_n), int(r), int(p))
    except (ValueError, TypeError, MemoryError) as error:
        raise ValueError("this is no hash of scrypt") from error
    if kind != "scrypt":
        raise ValueError(f"there is no hash '{kind[:20]}': scrypt is known")
    return hmac.compare_digest(computed, base64.b64decode(expected))


def _scrypt(secret: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**log2_n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
