"""TLS on the public port: certificate and key from files, read again when they change.

Rule: a certificate that cannot be read when the proxy starts is an error; one that cannot be read later changes
nothing, and is told in the log: it is renewed in two steps, and by other programs.
"""

import asyncio
import logging
import ssl
from pathlib import Path

from proxy.adapters.whole_files import Stamp, stamp_of

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0


class TlsError(Exception):
    """Certificate or key cannot be used; the message names the files and the settings."""


class Tls:
    """The context of all connections; those that are open keep what they began with."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """`certificate` holds the whole chain, as PEM. Raises: TlsError."""
        self._certificate, self._key = certificate, key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._stamp()
        self._load(self.context)

    def __repr__(self) -> str:
        return f"<Tls {self._certificate}>"

    async def watch(self) -> None:
        """Have files that change count, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Have them count if they have changed. Blocks."""
        if (stamp := self._stamp()) == self._seen:
            return
        self._seen = stamp
        try:
            # In a context of its own first: half a renewal must not be left in the one that counts.
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            self._load(self.context)
        except TlsError as error:
            log.warning("%s: the certificate that was there before goes on counting", error)
        else:
            log.info("%s has changed and counts for new connections", self._certificate)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._certificate, self._key)
        except OSError as error:  # ssl's are of this kind too
            why = error.strerror or str(error)
            what = f"{self._certificate} and {self._key} (settings tls_certificate and tls_key) cannot be used"
            raise TlsError(f"{what}: {why}") from error

    def _stamp(self) -> tuple[Stamp, Stamp]:
        return stamp_of(self._certificate), stamp_of(self._key)
