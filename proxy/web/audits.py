"""The audit for admins: what was asked, and whether all of it is still there. Never any text: there is none in it.

Rule: reading it is a process of its own, one at a time. It may be gigabytes, and the proxy has to answer meanwhile.
"""

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web

from proxy.core.errors import InvalidRequest
from proxy.core.key_errors import AuditUnreadable
from proxy.core.moments import beginning
from proxy.settings import Layout
from proxy.web.acts import DETAILS

_NAMES = ("key", "agent_type", "model", "id", "since", "until")
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MOST_FOUND = 1000
FOUND = 200


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which requests are looked for; what is empty is any. `text` is one that a client said, or that it was told.

    `since` and `until` are beginnings of moments in UTC, as 2026-11-26T14:30; `last` is how many are told.
    """

    key: str = ""
    agent_type: str = ""
    model: str = ""
    id: str = ""
    since: str = ""
    until: str = ""
    text: str = ""
    last: int = FOUND

    def told(self) -> str:
        """For the audit itself: who was looked for, where that is no more than a name, and whether by a text."""
        each = ((name, getattr(self, name)) for name in _NAMES)
        given = [f"{name} {value if _NAME.fullmatch(value) else '(no name)'}" for name, value in each if value]
        return f", looking for {', '.join([*given, *(['a text'] if self.text else [])]) or 'all'}"

    def arguments(self) -> list[str]:
        """For `audit find`."""
        given = [f"--{name.replace('_', '-')}={value}" for name in _NAMES if (value := getattr(self, name))]
        return [*given, f"--last={self.last}", *(("--text-file=-",) if self.text else ())]


class Audits:
    """Asks `manage_vllm.sh audit` of the installation `here`."""

    def __init__(self, here: Layout) -> None:
        self._here = here
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Audits of {self._here.audit}>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application; each is an act, so that the audit also says who looked."""
        return [web.post("/admin/audit/find", self.find), web.post("/admin/audit/verify", self.verify)]

    async def find(self, request: web.Request) -> web.Response:
        """The newest requests of a kind, the newest first; the body says which, and may be empty.

        Raises: InvalidRequest, AuditUnreadable.
        """
        try:
            wanted = msgspec.json.decode(await request.read() or b"{}", type=Wanted)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the body must be a JSON object that says what is looked for: {error}") from error
        if not 1 <= wanted.last <= MOST_FOUND:
            raise InvalidRequest(f"last is {wanted.last}: 1 to {MOST_FOUND} are allowed", param="last")
        for name in ("since", "until"):
            try:
                _ = (moment := getattr(wanted, name)) and beginning(moment)
            except ValueError as error:
                raise InvalidRequest(f"{name}: {error}", param=name) from error
        request[DETAILS] = wanted.told()
        _, lines = await self._ask("find", *wanted.arguments(), said=wanted.text)
        return _json({"requests": [json.loads(line) for line in reversed(lines)]})

    async def verify(self, _: web.Request) -> web.Response:
        """Whether the audit is whole, and what there is to say about it. Raises: AuditUnreadable."""
        status, lines = await self._ask("verify")
        return _json({"is_whole": status == 0, "said": lines})

    async def _ask(self, *arguments: str, said: str = "") -> tuple[int, list[str]]:
        """The exit status and what was printed. Raises: AuditUnreadable."""
        command = ["nice", sys.executable, "-P", "-m", "proxy.cli", "audit", *arguments]
        async with self._one_at_a_time:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._here.root,
                env={**os.environ, "ROTA_ROOT": str(self._here.root)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            try:
                out, wrong = await process.communicate(said.encode())
            finally:
                if process.returncode is None:  # who asked has left
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        if wrong.strip() or process.returncode not in (0, 1):
            raise AuditUnreadable(wrong.decode(errors="replace").strip() or f"it ended with {process.returncode}")
        return process.returncode or 0, out.decode().splitlines()


def _json(told: dict[str, Any]) -> web.Response:
    return web.Response(body=msgspec.json.encode(told), content_type="application/json")
