"""Two websockets, joined: every frame of one goes to the other as it is, pings and closes too.

A frame is read only when the one before it is written: a slow side makes the other be read slower. Pings say that
somebody is there and not that anything happens: both sides' libraries send them for ever.
"""

import asyncio
from collections.abc import Callable, Sequence

import aiohttp
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from proxy.traffic import Outcome

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse
Text = Callable[[str], str]

LOOK_EVERY_S = 5.0
"""How soon a key that does not hold any more ends what it has begun."""
_NOT_SENT = (None, 0, 1005, 1006, 1015)
"""Codes that stand for what has not been said (RFC 6455, section 7.4.1)."""


class Passed:
    """What has passed: bytes from the client and to it; when text or data came last, from either side."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time
        self.last_at = self.now()
        self.bytes_in = self.bytes_out = 0
        self.end: Outcome | None = None
        """How it ended; what comes after that says nothing more."""


async def join(
    client: Socket,
    engine: Socket,
    idle_s: float,
    renamed: Text,
    passed: Passed,
    may_still: Callable[[], bool],
    early: Sequence[WSMessage] = (),
) -> None:
    """Pass frames on until one side ends, nothing has come for `idle_s`, or the client may no more: both are closed.

    `renamed` is applied to the client's text frames; `early` are those that it has sent already.
    """
    passed.last_at = passed.now()
    for frame in early:
        await _pass(frame, engine, renamed)
        passed.bytes_in += _size(frame)
    tasks = [
        asyncio.create_task(_pump(client, engine, passed, renamed)),
        asyncio.create_task(_pump(engine, client, passed, None)),
        asyncio.create_task(_watch(client, engine, passed, idle_s, may_still)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception) and not isinstance(end, ConnectionError):
            raise end


async def _pump(source: Socket, to: Socket, passed: Passed, renamed: Text | None) -> None:
    is_clients = renamed is not None
    while True:
        frame: WSMessage = await source.receive()
        if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            passed.last_at = passed.now()
        if frame.type is WSMsgType.CLOSE:
            passed.end = passed.end or Outcome.ANSWERED
            code = WSCloseCode.OK if frame.data in _NOT_SENT else frame.data
            for one in (to, source):
                await _close(one, code, (frame.extra or "").encode())
            return
        if not await _pass(frame, to, renamed):  # it ended without a close, or broke the protocol
            if is_clients:
                passed.end = passed.end or Outcome.CLIENT_LEFT
                await _close(to, WSCloseCode.GOING_AWAY, b"")
            else:
                passed.end = passed.end or Outcome.ENGINE_FAILED
                await _close(to, WSCloseCode.INTERNAL_ERROR, b"the engine has ended")
            return
        if is_clients:
            passed.bytes_in += _size(frame)
        else:
            passed.bytes_out += _size(frame)


async def _pass(frame: WSMessage, to: Socket, renamed: Text | None) -> bool:
    """Send one frame on; False where it is none that could be."""
    match frame.type:
        case WSMsgType.TEXT:
            await to.send_str(frame.data if renamed is None else renamed(frame.data))
        case WSMsgType.BINARY:
            await to.send_bytes(frame.data)
        case WSMsgType.PING:
            await to.ping(frame.data)
        case WSMsgType.PONG:
            await to.pong(frame.data)
        case _:
            return False
    return True


def _size(frame: WSMessage) -> int:
    """Bytes of data or text."""
    return len(frame.data.encode()) if frame.type is WSMsgType.TEXT else len(frame.data)


async def _watch(client: Socket, engine: Socket, passed: Passed, idle_s: float, may_still: Callable[[], bool]) -> None:
    code, reason = WSCloseCode.GOING_AWAY, f"nothing has come for {idle_s:g} s"
    while (left_s := passed.last_at + idle_s - passed.now()) > 0:
        await asyncio.sleep(min(left_s, LOOK_EVERY_S))
        if not may_still():
            code, reason = WSCloseCode.POLICY_VIOLATION, "the key does not hold any more"
            break
    passed.end = passed.end or Outcome.ANSWERED
    await _close(client, code, reason.encode())
    await _close(engine, code, reason.encode())


async def _close(socket: Socket, code: int, reason: bytes) -> None:
    await socket.close(code=code, message=reason)
