"""The way to reload the catalog, for the Unix socket: what will change, and having it count."""

import msgspec
from aiohttp import web

from proxy.reload import Reloader
from proxy.web.queries import flag


class Reloading:
    """Passes on what a person wants of the catalog."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    def __repr__(self) -> str:
        return f"<Reloading {self._reloader!r}>"

    def routes(self, prefix: str = "") -> list[web.RouteDef]:
        """For the box's own people, and for admins under `prefix`."""
        return [web.post(f"{prefix}/reload", self.reload)]

    async def reload(self, request: web.Request) -> web.Response:
        """Have the catalog's files of now count; with `?dry_run=1` only say what that changes.

        `?force=1` has an engine go even where its new entry could not run. Raises: RotaError.
        """
        told = await self._reloader.reload(dry_run=flag(request, "dry_run"), force=flag(request, "force"))
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")
