"""The keys of the running proxy, for the Unix socket: have a changed file count, and see what has been used."""

import msgspec
from aiohttp import web

from proxy.adapters.key_file import KeyFileError
from proxy.audit import Audit
from proxy.core.key_errors import KeysInvalid
from proxy.keyring import Keyring
from proxy.web.who import who


class Keys:
    """Shows `keyring` and has it read its file; `audit` is told what has been done to keys."""

    def __init__(self, keyring: Keyring, audit: Audit | None) -> None:
        self._keyring = keyring
        self._audit = audit

    def __repr__(self) -> str:
        return f"<Keys {self._keyring!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For the box's own people only."""
        return [web.post("/keys/load", self.load), web.get("/keys", self.used)]

    async def load(self, request: web.Request) -> web.Response:
        """Have the file of now count. Raises: KeysInvalid, and then the keys are those that they were."""
        try:
            done = self._keyring.load()
        except KeyFileError as error:
            raise KeysInvalid(str(error)) from error
        if self._audit is not None:
            for what in done:
                self._audit.act(who(request), what)
        return self._told()

    async def used(self, _: web.Request) -> web.Response:
        """What each has used: tokens today, requests under way."""
        return self._told()

    def _told(self) -> web.Response:
        used = {
            caller.key.name: {"tokens_today": caller.used.tokens, "in_flight": caller.in_flight}
            for caller in self._keyring.callers
        }
        return web.Response(body=msgspec.json.encode({"keys": used}), content_type="application/json")
