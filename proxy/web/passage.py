"""One request on its way through: what is known of it, what its client is told beside the answer, how it ended."""

import asyncio
import random
import time
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from proxy.core import error_forms, headers
from proxy.core.allowance import Allowance
from proxy.core.endpoints import Endpoint
from proxy.core.errors import RotaError
from proxy.core.usage import Tokens, UsageFinder
from proxy.leases import Lease
from proxy.traffic import Outcome, Traffic
from proxy.web.asked import Asked
from proxy.web.guard import name_of
from proxy.web.passing import both
from proxy.web.relay import Relay

if TYPE_CHECKING:
    from proxy.web.witness import Witness

CLIENT_CLOSED_REQUEST = 499
"""What is counted as the status where the client left before it was told one; as nginx does."""
_CLIENT_LEFT = Outcome.CLIENT_LEFT  # as in proxy.upstream.answer
_request_ids = random.Random()  # noqa: S311  # an id need not be a secret


class Passage:
    """`agent_type` and `model` are labels of the metrics: only names of the catalog, never what a client made up."""

    agent_type = ""
    model = ""
    fallback: str | None = None
    waited_s: float | None = None
    """For its lease; None where it never asked for one."""
    bytes_in = 0
    status = 0
    error_code = ""
    outcome = Outcome.ANSWERED
    caller: Allowance | None = None
    """Whose key it came with; None where there are no keys."""
    is_counted = False
    """Whether the caller's limits were asked, and its end is to be told."""
    witness: "Witness | None" = None
    """Tells the audit; None where there is none."""
    asks = ""
    """Header lines of ours for the engine, each with its CRLF."""
    _usage: UsageFinder | None = None

    def __init__(self, asked: Asked, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        self.asked = asked
        self.endpoint = endpoint
        self.incoming = asked.incoming
        self.request_id = self.incoming.request_id() or f"{_request_ids.getrandbits(128):032x}"
        self.relay = Relay(asked, endpoint.form, loop)
        self._began_at = loop.time()
        self._now = loop.time

    def __repr__(self) -> str:
        return f"<Passage {self.request_id} {self.endpoint.path} to {self.model or 'nobody yet'}>"

    def let_in(self, caller: Allowance) -> None:
        """The caller's limits allow it. Raises: RateLimited."""
        if caller.has_limits:
            caller.begin(self._now(), time.time())
            self.is_counted = True

    def count_tokens(self, *, is_stream: bool | None) -> None:
        """Find out how many it takes; `is_stream` is None where its body is not read."""
        is_told_aside = is_stream is not False and self.endpoint.tells_usage_aside
        if is_told_aside:
            self.relay.take_out_usage()
            self.asks = headers.TELL_USAGE
        if not is_told_aside or is_stream is None:
            self._usage = UsageFinder()
            self.relay.tap = both(self._usage, self.relay.tap)

    @property
    def usage(self) -> Tokens | None:
        """How many tokens it took, as its engine says; None where that is not known."""
        told = self.relay.usage
        return self._usage.tokens() if told is None and self._usage is not None else told

    @property
    def tokens(self) -> int:
        """How many it took; of a stream that was left before its end at least one for each event."""
        return self.relay.events if (said := self.usage) is None else said.prompt + said.answer

    @property
    def key_name(self) -> str:
        """By which key it is asked; empty where there are none."""
        return name_of(self.caller)

    @property
    def path(self) -> str:
        """The endpoint's."""
        return self.endpoint.path

    @property
    def told_status(self) -> int:
        """What its client has been told, or is about to be."""
        return self.status or self.relay.status or (CLIENT_CLOSED_REQUEST if self.outcome is _CLIENT_LEFT else 0)

    @property
    def first_byte_s(self) -> float | None:
        """How long it took to the engine's head."""
        return self.relay.first_byte_at - self._began_at if self.relay.first_byte_at else None

    @property
    def total_s(self) -> float:
        """How long it has taken until now."""
        return self._now() - self._began_at

    def granted(self, lease: Lease) -> None:
        """It has its lease; what the client is told of that goes before the answer, or between its events."""
        self.model, self.waited_s = lease.spec.name, lease.waited_s
        told = headers.of_lease(self.model, lease.waited_s, lease.swap)
        if self.fallback is not None:
            told += f"\r\n{headers.FALLBACK}: {self.fallback}"
        if self.caller is not None and self.is_counted:
            told += "".join(f"\r\n{name}: {left}" for name, left in self.caller.told(self._now()).items())
        if self.relay.has_begun:
            self.relay.comment(told.replace("\r\n", "; "))
        self.relay.own = f"{headers.REQUEST_ID}: {self.request_id}\r\n{told}".encode()

    def begin_waiting(self, model: str) -> None:
        """It waits for `model`: so much of who answers can be told if the wait is said before it is over."""
        self.relay.own = f"{headers.REQUEST_ID}: {self.request_id}\r\n{headers.MODEL}: {model}".encode()

    async def refuse(self, error: RotaError) -> web.StreamResponse:
        """Answer with the proxy's own error, in the endpoint's form; as an event where only a wait has been told.

        Where the engine's answer has begun, it is broken off: a second head, or a clean end, would be a lie.
        """
        self._ends_with(error)
        await self.noted()
        return self._tell(error)

    def refuse_at_once(self, error: RotaError) -> web.StreamResponse:
        """The same where there is no time to wait for the audit's disk."""
        self._ends_with(error)
        if self.witness is not None:
            self.witness.end()
        return self._tell(error)

    async def noted(self) -> None:
        """Its end is in the audit, if there is one. To be awaited before its client sees it."""
        if self.witness is not None:
            noted = asyncio.Event()
            if self.witness.end(lambda _: noted.set()):
                await noted.wait()

    def _ends_with(self, error: RotaError) -> None:
        self.error_code = error.code
        if self.outcome is Outcome.ANSWERED:
            self.outcome = Outcome.ERROR_AFTER_WAIT if self.relay.has_begun else Outcome.REFUSED
        if not self.relay.has_begun:
            self.status = error.status

    def _tell(self, error: RotaError) -> web.StreamResponse:
        if self.relay.has_answer:
            return self.relay.break_off(error)
        if self.relay.has_begun:
            return self.relay.error_event(error)
        told = error_forms.head(error) | {headers.REQUEST_ID: self.request_id}
        if self.fallback is not None:
            told[headers.FALLBACK] = self.fallback
        return self.relay.answer(error.status, told, msgspec.json.encode(error_forms.body(error, self.endpoint.form)))

    def end(self, traffic: Traffic) -> None:
        """Count it."""
        if self.witness is not None:
            self.witness.end()
            self.witness = self.relay.tap = self.relay.on_last = None
        if self.caller is not None and self.is_counted:
            self.caller.end(self.tokens, self._now(), time.time())
        relay = self.relay
        traffic.passed(
            self.path,
            self.model,
            self.agent_type,
            self.told_status,
            self.outcome,
            waited_s=self.waited_s,
            first_byte_s=self.first_byte_s,
            total_s=self.total_s,
            bytes_in=self.bytes_in,
            bytes_out=relay.bytes_out,
            events=relay.events,
        )
