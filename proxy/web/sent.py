"""What aiohttp's server is given for an answer that has been written already, past it."""

from aiohttp import web


class Sent(web.StreamResponse):
    """An answer that is out already, for aiohttp's server to be content with."""

    def __init__(self, *, keeps_alive: bool) -> None:
        super().__init__()
        self._keeps_alive = keeps_alive

    @property
    def keep_alive(self) -> bool | None:
        """Whether the client's connection may have another request."""
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """There is nothing left to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """There is nothing left to do."""


KEPT_OPEN, CLOSED = Sent(keeps_alive=True), Sent(keeps_alive=False)
