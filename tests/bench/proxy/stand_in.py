"""A stand-in for an engine that costs little: bare asyncio on uvloop and httptools, with vLLM's command line.

`"stream": true` is answered with EVENTS events, each written by itself, one a turn of the event loop for every stream
that is open: as fast as the loop turns, so that with many streams all wait for the proxy. `"silent": true` is answered
with a head and one event, and then nothing. All else is answered with one small body.

Rota starts it as it starts vLLM, so it tells its health, its model and its metrics.
"""

import asyncio
import json
import os
import signal
import sys
from typing import cast

import httptools
import uvloop

from tests.fake_flags import parse

EVENTS = 100
HEAD = b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: %b\r\n%b\r\n\r\n"
CHUNKED = HEAD % (b"text/event-stream; charset=utf-8", b"transfer-encoding: chunked")
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
EVENT = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
LAST = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def whole(body: bytes, kind: bytes = b"application/json") -> bytes:
    """An answer with its length."""
    return HEAD % (kind, b"content-length: %d" % len(body)) + body


class StandIn(asyncio.Protocol):
    """One connection."""

    completion = b""
    models = b""
    metrics = b""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._body = b""
        self._url = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""

        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """httptools."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """httptools."""
        body, self._body = self._body, b""
        url, self._url = self._url, b""
        if b'"stream":true' in body:
            self._transport.write(CHUNKED)
            self._left = EVENTS
            self._loop.call_soon(self._event)
        elif b'"silent":true' in body:
            self._transport.write(CHUNKED + EVENT)
        elif url in (b"/health", b"/v1/models", b"/metrics"):
            told = {b"/health": b"", b"/v1/models": self.models, b"/metrics": self.metrics}[url]
            self._transport.write(whole(told, b"text/plain" if url == b"/metrics" else b"application/json"))
        else:
            self._transport.write(self.completion)

    def _event(self) -> None:
        if self._transport.is_closing():
            return
        if self._left:
            self._left -= 1
            self._transport.write(EVENT)
            self._loop.call_soon(self._event)
        else:
            self._transport.write(LAST)


async def _serve(port: int, names: list[str], longest: int) -> None:
    message = {"role": "assistant", "content": "I am fine, thank you, and how are you?"}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": names[0],
        "choices": [{"index": 0, "message": message, "text": message["content"], "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17},
    }
    models = [{"id": name, "object": "model", "max_model_len": longest} for name in names]
    StandIn.completion = whole(json.dumps(completion).encode())
    StandIn.models = json.dumps({"object": "list", "data": models}).encode()
    series = f'vllm:num_requests_running{{model_name="{names[0]}"}} 0.0\nvllm:generation_tokens_total 1.0\n'
    StandIn.metrics = series.encode()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, os._exit, 0)
    server = await loop.create_server(StandIn, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


def main() -> None:
    """Be an engine until SIGTERM."""
    flags = parse(sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(flags.port, flags.served_model_name, flags.max_model_len))


if __name__ == "__main__":
    main()
