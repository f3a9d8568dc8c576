"""Two proxies that do nothing else, to be measured beside: `python -m tests.bench.proxy.plain KIND PORT ENGINE_PORT`.

`aiohttp` is what most would write first: a handler of aiohttp's, its client behind, on uvloop. `bare` is about the
least that can be done in Python: protocols both ways, httptools to find the ends, nothing looked at.
"""

import asyncio
import sys
from typing import cast

import aiohttp
import httptools
import uvloop
from aiohttp import web

HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive"}


async def serve_aiohttp(port: int, engine: int) -> None:
    """The plain handler."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        url = f"http://127.0.0.1:{engine}{request.rel_url}"
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with session.request(request.method, url, data=body, headers=headers) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers[name] = value
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()


class _Engine(asyncio.Protocol):
    def __init__(self, idle: list["_Engine"]) -> None:
        self._idle = idle
        self._parser = httptools.HttpResponseParser(self)
        self.client: asyncio.WriteTransport | None = None
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self.client is not None:
            self.client.write(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._idle.append(self)


class _Client(asyncio.Protocol):
    def __init__(self, engine: int, idle: list[_Engine]) -> None:
        self._engine = engine
        self._idle = idle
        self._parser = httptools.HttpRequestParser(self)
        self._received = b""
        self._opening: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        request, self._received = self._received, b""
        if self._idle:
            self._send(self._idle.pop(), request)
        else:
            task = asyncio.get_running_loop().create_task(self._open(request))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, engine = await loop.create_connection(lambda: _Engine(self._idle), "127.0.0.1", self._engine)
        self._send(engine, request)

    def _send(self, engine: _Engine, request: bytes) -> None:
        engine.client = self._transport
        assert engine.transport is not None
        engine.transport.write(request)


async def serve_bare(port: int, engine: int) -> None:
    """The bare relay; several of them may share the port."""
    idle: list[_Engine] = []
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Client(engine, idle), "127.0.0.1", port, reuse_port=True, backlog=1024)


async def _main(kind: str, port: int, engine: int) -> None:
    await {"aiohttp": serve_aiohttp, "bare": serve_bare}[kind](port, engine)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
