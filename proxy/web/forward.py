"""The data plane: chooses the model, takes a lease, has the request sent to the engine and its answer to the client."""

import asyncio
import logging
from collections.abc import Awaitable

from aiohttp import web

from proxy.adapters.engine_keys import EngineKeys
from proxy.audit import Audit
from proxy.core import headers
from proxy.core.endpoints import Endpoint, Form, Key
from proxy.core.errors import (
    EngineRefused,
    InvalidRequest,
    RotaError,
    own_bug,
)
from proxy.core.headers import Incoming
from proxy.core.routing import Route, Router
from proxy.core.wishes import Wishes, wishes_of
from proxy.fleet import Fleet
from proxy.identity import Identity
from proxy.leases import Lease, going_away, not_up
from proxy.traffic import Outcome, Traffic
from proxy.upstream.pool import Pool
from proxy.web import bodies
from proxy.web.asked import Asked
from proxy.web.bodies import Body
from proxy.web.budget import Budget
from proxy.web.exchange import Exchanges
from proxy.web.fallback import lease_of
from proxy.web.guard import Guard, check, check_previous
from proxy.web.leaving import Leaving
from proxy.web.passage import Passage
from proxy.web.remembered import Finder, Made
from proxy.web.responses import Responses
from proxy.web.sent import CLOSED
from proxy.web.waiting import Announcer, KeepAlive
from proxy.web.witness import Witness

log = logging.getLogger(__name__)

_RESPONSES, _NONE, _REMEMBERED = Form.RESPONSES, Key.NONE, Key.REMEMBERED  # as in proxy.upstream.answer

TRIES = 2
"""How many engines a request is taken to; the second only where the first refused the connection."""


class Forwarder:
    """Serves vLLM's endpoints from the engines of `fleet`."""

    def __init__(
        self,
        fleet: Fleet,
        router: Router,
        pool: Pool,
        traffic: Traffic,
        responses: Responses,
        guard: Guard,
        engine_keys: EngineKeys,
        *,
        audit: Audit | None,
        identity: Identity,
        max_body_bytes: int,
        max_waiting_bytes: int,
        wait_comment_s: float,
        stream_keep_alive_s: float,
    ) -> None:
        """`identity` is for the audit.

        Who waits is told so every `wait_comment_s`; a stream silent for `stream_keep_alive_s` gets a comment.
        """
        self._fleet = fleet
        self._leases = fleet.leases
        self._loop = asyncio.get_running_loop()
        self._router = router
        self._traffic = traffic
        self._exchanges = Exchanges(fleet, pool, KeepAlive(stream_keep_alive_s), engine_keys)
        self._responses = responses
        self._guard = guard
        self._audit = audit
        self._identity = identity
        self._waiting_bytes = Budget(max_waiting_bytes)
        self._max_body_bytes = max_body_bytes
        self._wait_comment_s = wait_comment_s

    def __repr__(self) -> str:
        return f"<Forwarder {self._router!r}>"

    async def forward(
        self,
        asked: Asked,
        endpoint: Endpoint,
        model: str | None = None,
        maker: str | None = None,
    ) -> web.StreamResponse:
        """Forward one request to the engine that shall answer, or to `model`'s. Errors are answered.

        `maker` is the key by which the response was made that is asked for.
        """
        passage = Passage(asked, endpoint, self._loop)
        body: Body | None = None
        try:
            if (guard := self._guard).is_closed:
                passage.caller = guard.known(passage.incoming, asked.last_key) or await guard.caller(passage.incoming)
            if self._audit is not None:
                passage.witness = Witness(self._audit, passage, self._where)
            body = bodies.at_hand(asked, self._max_body_bytes)
            if body is None:
                body = await bodies.read(asked, endpoint, self._max_body_bytes)
            named, agent_type, keep_alive = body.told()
            if model is None:
                route = self._router.route(named, agent_type, _agent_type(passage.incoming))
                passage.agent_type = route.agent_type
            else:
                route = self._router.of_path(model, named, agent_type, _agent_type(passage.incoming))
            passage.model = route.model
            self._router.check_purpose(route.model, endpoint)
            if (caller := passage.caller) is not None:
                check(caller, endpoint, route, maker)
                if endpoint.form is _RESPONSES:
                    check_previous(caller, body.previous_response, self._responses.remembered)
                passage.let_in(caller)
            if endpoint.key is _NONE:
                return await self._exchange(passage, self._leases.look(route.model), body)
            if endpoint.key is _REMEMBERED and not self._leases.is_ready(route.model):
                raise not_up(route.model)
            wishes = wishes_of(passage.incoming, route.priority, keep_alive)
            tries = TRIES
            if (lease := self._leases.take_now(route.model, wishes)) is not None:
                tries -= 1
                try:
                    return await self._exchange(passage, lease, body)
                except EngineRefused as error:
                    log.info("%s: another try, request id %s", error.message, passage.request_id)
                finally:
                    self._leases.end(lease)
            with self._waiting_bytes.hold(body.held_bytes):
                return await self._wait(passage, route, wishes, body, tries)
        except RotaError as error:
            return await passage.refuse(error)
        except asyncio.CancelledError:
            passage.outcome = Outcome.CLIENT_LEFT
            if self._leases.is_closing and not asked.transport.is_closing():
                passage.outcome = Outcome.PROXY_LEFT
                passage.refuse_at_once(going_away())
                asked.transport.close()
            raise
        except ConnectionError:
            passage.outcome = Outcome.CLIENT_LEFT
            asked.transport.abort()
            return CLOSED
        except Exception:
            log.exception("%s %s, request id %s", asked.method, endpoint.path, passage.request_id)
            return await passage.refuse(own_bug())
        finally:
            if body is not None:
                body.close()
            passage.end(self._traffic)

    async def _wait(self, passage: Passage, route: Route, wishes: Wishes, body: Body, tries: int) -> web.StreamResponse:
        """The long way: queueing, and saying so. Raises: RotaError."""
        announcer = self._announcer(passage, route.model, body)
        leaving = Leaving()
        began_at = self._loop.time()
        while True:
            leaving.begin(passage.asked.transport)
            try:
                async with lease_of(self._leases, passage, route, wishes, announcer.begin) as lease:
                    announcer.stop()
                    leaving.stop()
                    return await self._exchange(passage, lease, body)
            except EngineRefused as error:
                # The engine never had the request, and its end is known now: the next one may have it.
                tries -= 1
                if not tries:
                    raise
                log.info("%s: another try, request id %s", error.message, passage.request_id)
            finally:
                announcer.stop()
                leaving.stop()
                if passage.waited_s is None:
                    passage.waited_s = self._loop.time() - began_at

    def _exchange(self, passage: Passage, lease: Lease, body: Body) -> Awaitable[web.StreamResponse]:
        passage.granted(lease)
        passage.relay.tap = None  # of an engine before, which refused the connection
        spec = lease.spec
        if passage.endpoint.form is _RESPONSES:
            hold = self._responses.hold if body.is_background else None
            passage.relay.tap = Finder(self._responses.remembered, Made(spec.name, passage.key_name), hold)
        caller, witness = passage.caller, passage.witness
        # Of a whole answer the witness sees for itself how many tokens it took.
        if (caller is not None and caller.counts_tokens) or (witness is not None and body.is_stream is not False):
            passage.count_tokens(is_stream=body.is_stream)
        if witness is not None:
            witness.look(body.whole)
        outgoing = body.outgoing(spec.name, spec.request_defaults)
        return self._exchanges.exchange(passage, spec, outgoing)

    def _where(self, passage: Passage) -> tuple[str, str, str]:
        """For the audit: where a request comes from, and what answers it."""
        return self._guard.address(passage.incoming, passage.asked.peer), *self._identity.of(passage.model)

    def _announcer(self, passage: Passage, model: str, body: Body) -> Announcer:
        """Tells the client that it waits, if it can be told and wants to be."""
        passage.begin_waiting(model)
        is_wanted = passage.endpoint.streams and body.is_stream
        is_plain = passage.incoming.told.get(b"x-rota-wait", b"").lower() == b"plain"
        every_s = self._wait_comment_s if is_wanted and not is_plain else 0.0
        return Announcer(passage.relay, lambda: self._fleet.outlook(passage.model), every_s)


def _agent_type(incoming: Incoming) -> str | None:
    """The agent type in the header. Raises: InvalidRequest if there are several that differ."""
    if b"x-agent-type" not in incoming.told:
        return None
    given = incoming.text(b"x-agent-type") or ""
    several = set(given.split(", "))
    if len(several) > 1:
        what = f"several headers {headers.AGENT_TYPE} that differ: {', '.join(sorted(several))}"
        raise InvalidRequest(what, param="agent_type")
    return several.pop()
