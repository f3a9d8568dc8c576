"""One exchange with an engine: finds a connection, sends the request, and sees the answer through to its client.

A request is sent a second time only where the first was certainly never read: vLLM had dropped the idle connection.
"""

import asyncio
import errno
import logging
from functools import partial

from aiohttp import web

from catalog.spec import ModelSpec
from proxy.adapters.engine_keys import EngineKeys
from proxy.core.chunks import LAST_CHUNK, chunk
from proxy.core.errors import EngineRefused, EngineUnreachable
from proxy.core.key_errors import AuditFailed
from proxy.fleet import Fleet
from proxy.traffic import Outcome
from proxy.upstream.connection import Connection
from proxy.upstream.outgoing import Outgoing
from proxy.upstream.pool import Pool
from proxy.web.passage import Passage
from proxy.web.relay import Relay
from proxy.web.waiting import KeepAlive
from proxy.web.witness import Witness

log = logging.getLogger(__name__)


class Exchanges:
    """Exchanges with the engines of `fleet`."""

    def __init__(self, fleet: Fleet, pool: Pool, keep_alive: KeepAlive, keys: EngineKeys) -> None:
        self._fleet = fleet
        self._key_line = keys.line
        self._owed = fleet.leases.owed
        self._pool = pool
        self._keep_alive = keep_alive

    def __repr__(self) -> str:
        return f"<Exchanges {self._pool!r}>"

    async def exchange(self, passage: Passage, spec: ModelSpec, body: Outgoing) -> web.StreamResponse:
        """Send the request to `spec`'s engine and its answer to the client.

        Raises: EngineRefused, EngineUnreachable, AuditFailed, before anything of an answer has been passed on.
        """
        relay = passage.relay
        asked = passage.asked
        request_line, said = f"{asked.method} {asked.target}", body.framing + self._key_line(spec.name) + passage.asks
        sent = [passage.incoming.for_engine(request_line, spec.port, passage.request_id, said), *body.pieces]
        size = sum(map(len, sent))
        passage.bytes_in = size - len(sent[0])
        for tries in range(2):
            idle = None if tries else self._pool.take(spec.port)
            connection = idle or await self._open(spec)
            self._owed[spec.name] += 1
            relay.use(connection, spec.name, self._begun)
            if relay.is_sse:  # the client has been told that it waits
                self._keep_alive.watch(relay)
            try:
                if (witness := passage.witness) is None or tries:
                    connection.begin(relay, sent, size, is_whole=body.is_whole)
                elif body.is_whole:
                    witness.begin(partial(_begin, connection, relay, sent, size))
                else:
                    await _begun(witness)
                    connection.begin(relay, sent, size, is_whole=False)
                if body.is_whole:
                    await relay.wait()
                else:
                    await _send_and_wait(connection, body, relay, passage)
            except BaseException:
                if passage.witness is not None:
                    passage.witness.drop()
                connection.abort()
                raise
            finally:
                relay.settle()
                if relay.is_sse:
                    self._keep_alive.forget(relay)
            if relay.why_lost is None:
                self._pool.give_back(spec.port, connection)
                return relay.sent()
            if not (relay.why_lost.was_never_read and body.is_at_hand):
                break
            log.info("%s had dropped an idle connection: another try, request id %s", spec.name, passage.request_id)
        connection.abort()  # what comes on it has no reader any more
        return await self._lost(passage, spec)

    async def _open(self, spec: ModelSpec) -> Connection:
        """Raises: EngineRefused where nobody listens, EngineUnreachable."""
        try:
            return await self._pool.open(spec.port)
        except OSError as error:  # TimeoutError is one
            what = f"{spec.name} could not be reached ({error.strerror or 'it does not take the connection'})"
            if error.errno != errno.ECONNREFUSED:
                raise EngineUnreachable(what, retry_after_s=1.0) from error
            await self._fleet.refused(spec.name)
            raise EngineRefused(what, retry_after_s=1.0) from error

    def _begun(self, relay: Relay) -> None:
        """Its engine has begun to answer, or never will."""
        self._owed[relay.model] -= 1
        if relay.is_sse:
            self._keep_alive.watch(relay)

    async def _lost(self, passage: Passage, spec: ModelSpec) -> web.StreamResponse:
        """The engine is gone. Raises: EngineUnreachable where the client can still be told so by a status."""
        self._fleet.look_now()
        passage.outcome = Outcome.ENGINE_FAILED
        relay = passage.relay
        detail = "" if relay.why_lost is None else f" ({relay.why_lost.detail})"
        when = "in mid-answer" if relay.has_answer else "while it had the request, before it answered"
        error = EngineUnreachable(f"{spec.name} ended {when}{detail}", retry_after_s=1.0)
        if not relay.has_answer:
            raise error
        log.warning("%s, request id %s", error.message, passage.request_id)
        passage.error_code = error.code
        await passage.noted()
        return relay.break_off(error)


def _begin(
    connection: Connection, relay: Relay, sent: list[bytes | memoryview], size: int, refusal: AuditFailed | None
) -> None:
    """The request is noted, or cannot be."""
    if refusal is not None:
        relay.refuse(refusal)
    else:
        connection.begin(relay, sent, size)


async def _begun(witness: Witness) -> None:
    """Until the request is noted. Raises: AuditFailed."""
    done: asyncio.Future[AuditFailed | None] = asyncio.get_running_loop().create_future()
    witness.begin(done.set_result)
    if (refusal := await done) is not None:
        raise refusal


async def _send_and_wait(connection: Connection, body: Outgoing, relay: Relay, passage: Passage) -> None:
    """Until the answer is whole, even if the request is not by then: an engine may refuse what it has not read."""
    sending = asyncio.ensure_future(_send_rest(connection, body, passage))
    waiting = asyncio.ensure_future(relay.wait())
    try:
        await asyncio.wait((sending, waiting), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        await waiting
    finally:
        sending.cancel()
        waiting.cancel()
        await asyncio.gather(sending, waiting, return_exceptions=True)


async def _send_rest(connection: Connection, body: Outgoing, passage: Passage) -> None:
    """Send what is not at hand yet, no faster than the engine takes it, until it has answered."""
    witness = passage.witness
    if body.file is not None:
        for piece in body.file():
            passage.bytes_in += len(piece)
            if witness is not None:
                witness.sent(piece)
            if not await connection.send(piece):
                return
    if body.rest is not None:
        async for piece in body.rest:
            passage.bytes_in += len(piece)
            if witness is not None:
                witness.sent(piece)
            if not await connection.send(piece if body.length is not None else chunk(piece)):
                return
        if body.length is None and not await connection.send(LAST_CHUNK):
            return
    connection.sent_all()
