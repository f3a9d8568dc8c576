"""The way to reload the catalog, for the Unix socket: what will change, and having it count."""

import msgspec
from aiohttp import web

from proxy.core.errors import InvalidRequest
from proxy.reload import Reloader


class Reloading:
    """Passes on what a person wants of the catalog."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    def __repr__(self) -> str:
        return f"<Reloading {self._reloader!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For the box's own people only."""
        return [web.post("/reload", self.reload)]

    async def reload(self, request: web.Request) -> web.Response:
        """Have the catalog's files of now count; with `?dry_run=1` only say what that changes.

        `?force=1` has an engine go even where its new entry could not run. Raises: RotaError.
        """
        told = await self._reloader.reload(dry_run=_flag(request, "dry_run"), force=_flag(request, "force"))
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


def _flag(request: web.Request, name: str) -> bool:
    """Raises: InvalidRequest."""
    if (given := request.query.get(name, "0")) not in ("0", "1"):
        raise InvalidRequest(f"{name} is '{given[:20]}': 0 and 1 are allowed", param=name)
    return given == "1"
