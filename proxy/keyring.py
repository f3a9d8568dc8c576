"""Who a key belongs to, found fast: a key that has been verified once is remembered by a keyed hash of it.

Rule: what is remembered is of no use to who reads this process's memory without its random key, and the look-up takes
as long for a wrong key as for another, since nobody can choose hashes. One slow hash is computed at a time, off the
loop, and only for an id that there is.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from proxy.adapters.key_file import KeyFile, KeyFileError
from proxy.adapters.scrypt import is_hash_of
from proxy.adapters.state_files import StateFile
from proxy.adapters.whole_files import Stamp, stamp_of
from proxy.core.allowance import NOTHING, Allowance, Used
from proxy.core.key_acts import differences
from proxy.core.key_errors import KeyInvalid, RateLimited
from proxy.core.keys import Key, Secret, by_id, parse

log = logging.getLogger(__name__)

MOST_TRIED = 4
"""So many different secrets that name one key may wait to be verified: who guesses must not keep other keys waiting."""
MOST_REFUSED = 1000
"""So many wrong keys are remembered, the newest."""
DIGEST_BYTES = 16
KEEP_EVERY_S = 5.0
"""So much of what has been used is forgotten by a proxy that is killed."""
BEARER = b"bearer "


class LastKey:
    """What was presented last on one connection, if it was right: the same again need not be hashed.

    To compare it tells nobody anything: whoever sends on this connection has sent it before.
    """

    __slots__ = ("caller", "ends_at", "presented", "version")

    def __init__(self) -> None:
        self.presented: bytes | None = None
        self.caller: Allowance | None = None
        self.ends_at = 0.0
        self.version = 0

    def __repr__(self) -> str:
        return f"<LastKey of {self.caller!r}>"


class Keyring:
    """The keys of `file`. Where there are none, `is_open`: everybody may do everything."""

    def __init__(self, file: KeyFile, used: StateFile[dict[str, Used]]) -> None:
        """`used` is where it is kept what each has used today. Raises: KeyFileError."""
        self._file = file
        self._used_file = used
        self._used = used.read()
        self._now = asyncio.get_running_loop().time
        self._secret = secrets.token_bytes(32)
        self._keys: dict[str, Key] = {}
        self._callers: dict[str, Allowance] = {}
        self._by_id: dict[str, tuple[Key, Secret]] = {}
        self.is_open = True
        """Whether there are no keys at all."""
        self._ends: dict[str, float] = {}
        self._verified: dict[bytes, str] = {}
        """Ids by the hashes of what was presented."""
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._tried: dict[str, set[bytes]] = {}
        """Hashes of what is being verified, by the ids that it names."""
        self._one_at_a_time = asyncio.Lock()
        self._version = 0
        """Changes whenever a key may have."""
        self._seen: Stamp = None
        self.on_change: Callable[[list[str]], None] = _log_changes
        """Told, in words, what has been done to keys where that was found out by looking."""
        self.load()

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._callers)} keys>"

    @property
    def callers(self) -> list[Allowance]:
        """All keys, with what is left of their limits."""
        return list(self._callers.values())

    def load(self) -> list[str]:
        """Read the file anew; what has been used stays used. Returns what has been done to keys since, in words.

        Where there have been keys, none at all is an error: to lose the file must not open a proxy that others reach.

        Raises: KeyFileError, and nothing has changed then.
        """
        self._seen = stamp_of(self._file.path)
        keys, now = self._file.read(), self._now()
        if self._by_id and not by_id(keys):
            what = f"{self._file.path} is missing, or has no key, and there were keys"
            raise KeyFileError(f"{what}: put it back; without keys only a proxy goes on that starts without them")
        told, self._keys = differences(self._keys, keys), keys
        before, self._by_id = self._by_id, by_id(keys)
        self.is_open = not self._by_id
        self._ends = {id_: key.ends_at(secret) for id_, (key, secret) in self._by_id.items()}
        for name, key in keys.items():
            if (caller := self._callers.get(name)) is None:
                self._callers[name] = Allowance(key, now, self._used.get(name, NOTHING))
            else:
                caller.use(key, now)
        for name in self._callers.keys() - keys.keys():
            del self._callers[name]
        self._verified = {
            digest: id_
            for digest, id_ in self._verified.items()
            if id_ in self._by_id and self._by_id[id_][1].hash == before[id_][1].hash
        }
        self._refused.clear()
        self._version += 1
        return told

    async def keep(self) -> None:
        """Keep what has been used today, every while, until cancelled, and have a file count that has changed.

        Whoever changes it has it count at once (`load`): this is for one whom the proxy could not hear.
        """
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            await asyncio.to_thread(self.keep_now)
            if stamp_of(self._file.path) != self._seen:
                try:
                    told = self.load()
                except KeyFileError as error:
                    log.warning("%s (the keys that were there before go on counting)", error)
                else:
                    self.on_change(told)

    def keep_now(self) -> None:
        """Keep it, if it has changed: a restart gives nobody another day's tokens. Blocks."""
        if (used := {caller.key.name: caller.used for caller in self.callers if caller.used.tokens}) != self._used:
            self._used = used
            self._used_file.write(used)

    def known(self, presented: bytes, last: LastKey | None) -> Allowance | None:
        """Who presents this (a header's value), where that is remembered. It takes about a microsecond."""
        now = time.time()
        if last is not None and presented == last.presented and last.version == self._version and now < last.ends_at:
            return last.caller
        digest = self._digest(presented)
        if (id_ := self._verified.get(digest)) is None or now >= self._ends[id_]:
            return None
        caller = self._callers[self._by_id[id_][0].name]
        if last is not None:
            last.presented, last.caller, last.ends_at, last.version = presented, caller, self._ends[id_], self._version
        return caller

    async def verify(self, presented: bytes) -> Allowance:
        """Who presents this, the slow way. Raises: KeyInvalid, RateLimited."""
        if not presented:
            raise KeyInvalid.of("no key was sent: send one as `Authorization: Bearer KEY` or `x-api-key: KEY`")
        given = presented[len(BEARER) :] if presented.lower().startswith(BEARER) else presented  # RFC 9110, 11.1
        id_, secret = parse(given.strip().decode(errors="replace"))
        digest = self._digest(presented)
        if digest in self._refused or id_ not in self._by_id:
            raise KeyInvalid.of("this key is not known here")
        key, kept = self._by_id[id_]
        if self._verified.get(digest) != id_:
            is_right = await self._is_right(id_, digest, kept, secret)
            if self._by_id.get(id_) != (key, kept):  # it was changed meanwhile
                return await self.verify(presented)
            if not is_right:
                self._refuse(digest)
                raise KeyInvalid.of("this key is not known here")
            self._verified[digest] = id_
        if time.time() >= self._ends[id_]:
            raise KeyInvalid.of(f"the key '{key.name}' {_why_over(key, kept)}")
        return self._callers[key.name]

    async def _is_right(self, id_: str, digest: bytes, kept: Secret, secret: str) -> bool:
        """Raises: RateLimited."""
        tried = self._tried.setdefault(id_, set())
        if digest not in tried and len(tried) >= MOST_TRIED:
            raise RateLimited(
                f"{len(tried)} other secrets that name the same key are being verified", retry_after_s=1.0
            )
        tried.add(digest)
        try:
            async with self._one_at_a_time:
                if self._verified.get(digest) == id_:  # by another request with it, meanwhile
                    return True
                return digest not in self._refused and await asyncio.to_thread(_is_hash_of, kept, secret)
        finally:
            tried.discard(digest)
            if not tried:
                self._tried.pop(id_, None)

    def _digest(self, presented: bytes) -> bytes:
        return hashlib.blake2b(presented, digest_size=DIGEST_BYTES, key=self._secret).digest()

    def _refuse(self, digest: bytes) -> None:
        self._refused[digest] = None
        if len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)


def _log_changes(told: list[str]) -> None:
    """For who has no audit."""
    for what in told:
        log.info("the file of keys has changed: %s", what)


def _is_hash_of(kept: Secret, secret: str) -> bool:
    try:
        return is_hash_of(kept.hash, secret)
    except ValueError as error:
        log.warning("the secret %s in the file of keys: %s", kept.id, error)
        return False


def _why_over(key: Key, secret: Secret) -> str:
    if key.revoked_at is not None:
        return "has been revoked"
    if key.expires_at is not None and key.ends_at(secret) == key.expires_at:
        return "has expired"
    return "has been rotated: this is the old one"
