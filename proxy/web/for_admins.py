"""What admins do over the public port: the verbs of the Unix socket, under /admin/, and what the audit says."""

from aiohttp import web

from proxy.web.admin import Admin
from proxy.web.audits import Audits
from proxy.web.guard import ADMIN
from proxy.web.reloading import Reloading


class ForAdmins:
    """Has no answers of its own."""

    def __init__(self, admin: Admin, reloading: Reloading, audits: Audits) -> None:
        self._admin = admin
        self._reloading = reloading
        self._audits = audits

    def __repr__(self) -> str:
        return f"<ForAdmins of {self._admin!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application."""
        prefix = ADMIN.rstrip("/")
        return [*self._admin.acts(prefix), *self._reloading.routes(prefix), *self._audits.routes()]
