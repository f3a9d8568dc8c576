"""What a client of the realtime socket says before its engine is there, and what it is told in the meantime.

A client that names its model in its first `session.update` waits for vLLM's greeting before it sends that, so it is
greeted as vLLM does it. Source: vLLM 0.32, `vllm/entrypoints/openai/realtime/protocol.py`.
"""

import asyncio
import time
import uuid

import aiohttp
import msgspec
from aiohttp import WSMessage, WSMsgType, web

from proxy.core.errors import InvalidRequest, RotaError, TooSlow

FIRST_WORD_S = 30.0
"""Within it the client has named a model."""
MOST_FRAMES_BEFORE = 16
MOST_BYTES_BEFORE = 2**22
"""Half a minute of audio."""
UPDATE = "session.update"


def greeting() -> str:
    """`SessionCreated`, as vLLM says it."""
    return encoded({"type": "session.created", "id": f"sess-{uuid.uuid4().hex}", "created": int(time.time())})


def encoded(event: dict[str, object]) -> str:
    """As the text of a frame."""
    return msgspec.json.encode(event).decode()


async def first_update(client: web.WebSocketResponse) -> dict[str, object]:
    """The first update of the session. Raises: InvalidRequest, TooSlow, ConnectionResetError if the client leaves."""
    try:
        async with asyncio.timeout(FIRST_WORD_S):
            for _ in range(MOST_FRAMES_BEFORE):
                frame = await client.receive()
                if frame.type is WSMsgType.PING:
                    await client.pong(frame.data)
                elif frame.type is WSMsgType.TEXT:
                    return _update_in(frame.data)
                elif frame.type is not WSMsgType.PONG:
                    raise ConnectionResetError("the client has gone")
    except TimeoutError as error:
        raise TooSlow(f"no session.update has come within {FIRST_WORD_S:.0f} s") from error
    raise InvalidRequest("send a session.update that names a model")


async def frames_until(entering: asyncio.Task[object], client: web.WebSocketResponse) -> list[WSMessage]:
    """Hear the client while it waits for its engine: pings are answered, and a few frames are kept.

    Raises: ConnectionResetError if the client leaves, InvalidRequest if it sends more than is kept.
    """
    kept: list[WSMessage] = []
    hearing = asyncio.create_task(client.receive())
    try:
        while True:
            await asyncio.wait((entering, hearing), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                return kept
            frame = hearing.result()
            if frame.type is WSMsgType.PING:
                await client.pong(frame.data)
            elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                kept.append(frame)
            elif frame.type is not WSMsgType.PONG:
                raise ConnectionResetError("the client has gone")
            if len(kept) > MOST_FRAMES_BEFORE or sum(len(one.data) for one in kept) > MOST_BYTES_BEFORE:
                most = f"{MOST_FRAMES_BEFORE} frames or {MOST_BYTES_BEFORE / 2**20:g} MiB"
                raise InvalidRequest(f"more than {most} have come before the engine was ready")
            hearing = asyncio.create_task(client.receive())
    except BaseException:
        entering.cancel()
        raise
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


def _update_in(text: str) -> dict[str, object]:
    try:
        event = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the first frame is no JSON object: {error}") from error
    if event.get("type") != UPDATE:
        raise InvalidRequest("the first frame must be a session.update that names a model")
    return event


def text_of(event: dict[str, object], name: str) -> str | None:
    """A field that is a string or absent; an empty one counts as absent. Raises: InvalidRequest."""
    value = event.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a string", param=name)
    return value or None


async def end(client: web.WebSocketResponse, error: RotaError) -> None:
    """Tell the client why, as vLLM does by its `ErrorEvent`, and close."""
    await client.send_str(encoded({"type": "error", "error": error.message, "code": error.code}))
    code = aiohttp.WSCloseCode.POLICY_VIOLATION if error.status < 500 else aiohttp.WSCloseCode.TRY_AGAIN_LATER
    await client.close(code=code, message=error.code.encode())
