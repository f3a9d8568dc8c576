"""The page at /ui: its files, as they are. All that it shows it asks for itself, with the key that its reader gives it.

Rule: nothing is loaded from elsewhere, and nothing of it is made here: it is files, so that a browser can keep them.
"""

import hashlib
from pathlib import Path

from aiohttp import web

from proxy.core.errors import NotFound

_FOLDER = Path(__file__).parent / "ui"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Page:
    """Its files are read once."""

    def __init__(self) -> None:
        files = [file for file in _FOLDER.iterdir() if file.suffix in TYPES]
        self._files = {file.name: (file.read_bytes(), TYPES[file.suffix]) for file in files}
        self._tags = {name: hashlib.sha256(content).hexdigest()[:16] for name, (content, _) in self._files.items()}

    def __repr__(self) -> str:
        return f"<Page of {len(self._files)} files>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application. Its own links are relative, so that it may stand behind a path of another."""
        return [
            web.get("/", self.elsewhere),
            web.get("/ui/", self.elsewhere),
            web.get("/ui", self.page),
            web.get("/ui/{file}", self.file),
        ]

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        """To the page, for who has typed no more than the address."""
        return web.Response(status=302, headers={"Location": "ui" if request.path == "/" else "../ui"})

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page for the operator."""
        return self._answer(request, "index.html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of its files. Raises: NotFound."""
        return self._answer(request, request.match_info["file"])

    def _answer(self, request: web.Request, name: str) -> web.StreamResponse:
        if name not in self._files:
            raise NotFound(f"the page has no file '{name[:50]}'")
        content, kind = self._files[name]
        tag = self._tags[name]
        if any(one.value == tag for one in request.if_none_match or ()):
            response = web.Response(status=304, headers=_HEADERS)
        else:
            response = web.Response(body=content, content_type=kind, charset="utf-8", headers=_HEADERS)
            response.enable_compression()
        response.etag = tag
        return response
