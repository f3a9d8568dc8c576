"""One client of the realtime socket: who it is, what is counted of it, and what the audit is told."""

import asyncio
import time
from http import HTTPStatus

from aiohttp import web

from proxy.audit import Audit
from proxy.core import headers
from proxy.core.allowance import Allowance
from proxy.core.audit_records import begun, ended
from proxy.core.chain import Line
from proxy.core.endpoints import Endpoint, Key
from proxy.core.errors import RotaError
from proxy.core.headers import Incoming
from proxy.core.key_errors import AuditFailed, KeyInvalid
from proxy.core.routing import Route
from proxy.leases import Lease
from proxy.traffic import Outcome, Traffic
from proxy.web.guard import check, name_of
from proxy.web.middleware import REQUEST_ID
from proxy.web.sockets import Passed

ENDPOINT = Endpoint("GET", "/v1/realtime", Key.SOCKET)


class Visit:
    """One client of the socket: what it has said in its headers, and what is counted of it."""

    path = ENDPOINT.path
    fallback = first_byte_s = None

    def __init__(self, request: web.Request, incoming: Incoming, client: str = "", audit: Audit | None = None) -> None:
        """`client` is the address that it comes from; `audit` is told of it."""
        self.incoming = incoming
        self.request_id = request[REQUEST_ID]
        self.model = self.agent_type = ""
        self.status = 0
        self.outcome = Outcome.ANSWERED
        self.lease: Lease | None = None
        self.passed = Passed()
        self._now = asyncio.get_running_loop().time
        self._began_at = self._now()
        self._client = client
        self._audit = audit
        self.caller: Allowance | None = None
        self._is_counted = False
        self._noted = 0
        """The number of its line in the audit."""
        self.error_code = ""

    async def note(self, engine: str, weights: str) -> None:
        """It is about to be joined with `engine`. Raises: AuditFailed."""
        if self._audit is None:
            return

        def record(at: str, n: int) -> Line:
            self._noted = n  # known also where its client leaves before it is told
            return begun(at, self, self._client, engine, weights)

        try:
            self._noted = await self._audit.begin(record)
        except AuditFailed:
            self._noted = 0
            raise

    @property
    def key_name(self) -> str:
        """By which key it is asked; empty where there are none."""
        return name_of(self.caller)

    @property
    def told_status(self) -> int:
        """What its client has been told."""
        return self.status

    @property
    def waited_s(self) -> float | None:
        """For its lease; None where it got none."""
        return None if self.lease is None else self.lease.waited_s

    @property
    def total_s(self) -> float:
        """How long it has taken until now."""
        return self._now() - self._began_at

    def let_in(self, caller: Allowance, route: Route) -> None:
        """Whether the caller may have this. Raises: Forbidden, RateLimited."""
        check(caller, ENDPOINT, route, None)
        caller.begin(self._now(), time.time())
        self._is_counted = True

    def refused(self, error: RotaError) -> None:
        """It ends with an error of the proxy's own."""
        self.error_code = error.code
        self.outcome = Outcome.ERROR_AFTER_WAIT if self.status else Outcome.REFUSED
        self.status = self.status or error.status

    async def accept(self, request: web.Request, largest_bytes: int) -> web.WebSocketResponse:
        """The client's socket; it is told of the lease, where there is one by now."""
        client = web.WebSocketResponse(autoping=False, autoclose=False, max_msg_size=largest_bytes, compress=False)
        if (lease := self.lease) is not None:
            client.headers.update(headers.told_of_lease(lease.spec.name, lease.waited_s, lease.swap))
        self.status = HTTPStatus.SWITCHING_PROTOCOLS.value
        await client.prepare(request)
        return client

    def end(self, traffic: Traffic) -> None:
        """Count it."""
        if self.caller is not None and self._is_counted:
            self.caller.end(0, self._now(), time.time())
        self.outcome = self.passed.end or self.outcome
        if self._audit is not None and self.error_code != KeyInvalid.code:  # as of any request without a known key
            self._audit.soon(lambda at, _: ended(at, self._noted, self, client=self._client), lambda *_: None)
        traffic.passed(
            self.path,
            self.model,
            self.agent_type,
            self.status,
            self.outcome,
            waited_s=self.waited_s,
            first_byte_s=None,
            total_s=self.total_s,
            bytes_in=self.passed.bytes_in,
            bytes_out=self.passed.bytes_out,
            events=0,
        )
