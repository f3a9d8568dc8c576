"""An engine of the realtime socket, which greets and echoes as vLLM's would, and clients of it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from tests.web.conftest import DataPlane

UPDATE = json.dumps({"type": "session.update", "model": "Chat", "x": 1})


class Engine:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.closed_with: int | None = None
        self.is_open = False
        self.socket: web.WebSocketResponse | None = None
        self.headers: Mapping[str, str] = {}
        self.heartbeat_s: float | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.headers = request.headers
        self.socket = socket = web.WebSocketResponse(autoping=self.heartbeat_s is not None, heartbeat=self.heartbeat_s)
        await socket.prepare(request)
        self.is_open = True
        await socket.send_str(json.dumps({"type": "session.created", "id": "engine's"}))
        try:
            async for frame in socket:
                self.heard.append(frame.data)
                if frame.type is WSMsgType.TEXT:
                    await socket.send_str(f"heard {frame.data}")
                elif frame.type is WSMsgType.BINARY:
                    await socket.send_bytes(frame.data)
                elif frame.type is WSMsgType.PING:
                    await socket.pong(frame.data)
        finally:
            self.closed_with, self.is_open = socket.close_code, False
        return socket


@asynccontextmanager
async def connected(plane: "DataPlane", query: str = "", **more: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{plane.url}/v1/realtime{query}", **more) as socket,
    ):
        yield socket
