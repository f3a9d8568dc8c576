"""Whatever comes over the socket: no 5xx of the proxy's own making, no crash, no lease left, no request smuggled.

The engine behind answers everything with 200 and counts what reaches it. FUZZ_EXAMPLES says how many inputs each
test tries; `make test` asks for 21,000 in all.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterator

import pytest
import uvloop
from aiohttp import web
from hypothesis import example, given, settings, strategies as st

from proxy.core.endpoints import ENDPOINTS, ENGINE_ONLY, FORBIDDEN
from proxy.web import responses
from tests.web.conftest import DataPlane, staged

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
SERVER_ERROR = re.compile(rb"HTTP/1\.[01] 5\d\d ")
ANSWERED_WITHIN_S = 5.0
TURNS = 40
PATHS = [one.path.replace("{response_id}", "resp_1") for one in (*ENDPOINTS, *ENGINE_ONLY)]

paths = st.sampled_from(
    [
        *PATHS,
        *FORBIDDEN,
        "/engines/a/v1/completions",
        "/engines/a/sleep",
        "/",
        "*",
        "/v1/completions?\xff",
        "/v1/completions?\xc3\xbc",
    ]
) | st.text(st.sampled_from("/.%2efFv1aA?;:@\\ "), max_size=20).map(lambda text: "/" + text)
methods = st.sampled_from(["POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "post", "P\x00ST", ""])
versions = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 "])
ends = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "])
headers = st.sampled_from(
    [
        "Content-Length: 13",
        "Content-Length: 13, 13",
        "Content-Length: +13",
        "Content-Length: 0x0d",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length : 13",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding : chunked",
        "X: a\r\n folded",
        "X:\tb",
        ": nameless",
        "no colon",
        "X-Agent-Type: Chat",
        "X-Agent-Type: \xff",
        "X-Request-Id: \x01",
        "X-Request-Deadline-S: nan",
        "Content-Type: application/json",
        "Content-Type: multipart/form-data; boundary=X",
        "Content-Type: multipart/form-data; boundary=",
        "Content-Encoding: gzip",
        "Content-Encoding: br, gzip",
        "Expect: 100-continue",
        "Connection: close",
        "Connection: Content-Length, X-Agent-Type, keep-alive",
        "Upgrade: websocket",
        "Host: x",
        "Host: y",
        "Host: a b",
    ]
)
bodies = st.sampled_from(
    [
        b'{"model":"a"}',
        b'{"model":"a","stream":true}',
        b'{"agent_type":"Chat","keep_alive":"1h"}',
        b'{"model":"e","input":"x"}',
        b"d\r\n" + b'{"model":"a"}' + b"\r\n0\r\n\r\n",
        b"d;x=1\r\n" + b'{"model":"a"}' + b"\r\n0\r\nT: 1\r\n\r\n",
        b"0\r\n\r\nPOST /v1/completions HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"ffffffffffffffffff\r\n",
        b"-1\r\n\r\n",
        b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n--X--\r\n',
        b"",
    ]
) | st.binary(max_size=60)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["a", "Chat", "e", "claims", "nobody", "1h", "\udcff", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["model", "x"]), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ["model", "agent_type", "stream", "keep_alive", "background", "input", "mo\\u0064el"]
objects = st.lists(st.tuples(st.sampled_from(FIELDS), values), max_size=5).map(
    lambda fields: "{" + ", ".join(f'"{name}": {json.dumps(value)}' for name, value in fields) + "}"
)
"""JSON objects, in which a name may stand twice or be spelled with an escape."""
parts = st.lists(st.tuples(st.sampled_from(FIELDS[:3]), st.text(max_size=9)), max_size=4).map(
    lambda fields: (
        "".join(f'--X\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields)
        + "--X--\r\n"
    )
)
bodies |= (objects | parts).map(lambda text: text.encode("utf-8", "replace"))


@st.composite
def wire(draw: st.DrawFn) -> bytes:
    """Something like a request: sound but for what is drawn to be otherwise."""
    wrong = draw(st.sets(st.sampled_from(["method", "path", "version", "ends", "headers", "length"]), max_size=2))
    method = draw(methods) if "method" in wrong else draw(st.sampled_from(["POST", "POST", "GET"]))
    path = draw(paths) if "path" in wrong else draw(st.sampled_from(PATHS))
    version = draw(versions) if "version" in wrong else "HTTP/1.1"
    body = draw(bodies)
    lines = [f"{method} {path} {version}", "Host: x", "Content-Type: application/json"]
    lines += draw(st.lists(headers, max_size=4)) if "headers" in wrong else []
    lines += [] if "length" in wrong else [f"Content-Length: {len(body)}"]
    line_ends = [draw(ends) if "ends" in wrong else "\r\n" for _ in range(len(lines) + 1)]
    head = "".join(map("".join, zip([*lines, ""], line_ends, strict=True)))
    return head.encode("latin-1", "replace") + body


class Errors(logging.Handler):
    """What the proxy or its event loop logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


class Box:
    """One proxy for all examples: a start for each would take longer than all of them."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.plane = DataPlane()
        self.reached: list[str] = []
        self.plane.answer = self._answer
        self.errors = Errors()
        for name in ("proxy", "asyncio"):
            logging.getLogger(name).addHandler(self.errors)
        self._stage = staged(self.plane)
        self.runner.run(self._stage.__aenter__())

    async def _answer(self, request: web.Request) -> web.Response:
        self.reached.append(f"{request.method} {request.path}")
        await request.read()
        return web.json_response({"id": "resp_1"})

    def close(self) -> None:
        self.runner.run(self._stage.__aexit__(None, None, None))
        self.runner.close()
        for name in ("proxy", "asyncio"):
            logging.getLogger(name).removeHandler(self.errors)

    async def _send(self, data: bytes, cut: int, waits: bool) -> bytes:
        self.plane.fleet.leases.is_at_once = not waits
        self.plane.fleet.leases.ready.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.plane.url.rpartition(":")[2]))
        try:
            if cut:
                writer.write(data[:cut])
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            writer.write(data[cut:])
            # Both ends and the engine turn in this one loop: what can be answered has been, after so many turns.
            for _ in range(TURNS):
                await asyncio.sleep(0)
            await self._has_settled()  # but for an upload that breaks off: its lease ends with its connection
            writer.write_eof()
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()

    def send(self, data: bytes, *, cut: int = 0, waits: bool = False) -> bytes:
        """What comes back for `data`, until the proxy closes.

        The first `cut` bytes come before the rest; where it `waits`, the request goes the long way to its lease.
        """
        return self.runner.run(self._send(data, cut, waits))

    async def _has_settled(self) -> bool:
        for _ in range(500):
            if not self.plane.fleet.leases.held and not self.plane.fleet.leases.waiting:
                return True
            await asyncio.sleep(0.002)
        return False

    def check(self, answer: bytes) -> None:
        """What must hold whatever came."""
        for wrong in SERVER_ERROR.finditer(answer):  # in any of the answers on the connection
            assert b"\r\nX-Rota-Error: engine_not_up\r\n" in answer[wrong.start() :].partition(b"\r\n\r\n")[0], answer
        assert b"has a bug here" not in answer
        assert not self.errors.told
        assert self.runner.run(self._has_settled()), "a lease is left"
        allowed = {path.partition("?")[0] for path in PATHS}
        assert {one.partition(" ")[2] for one in self.reached} <= allowed
        self.reached.clear()


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responses, "LOOK_EVERY_S", 0.01)  # what is made in the background is done by then
        made = Box()
        yield made
        made.close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(wire(), st.integers(0, 300), st.booleans())
@example(b"POST /v1/responses/resp_1/cancel HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n-1", 0, False)
def test_something_like_a_request(box: Box, data: bytes, cut: int, waits: bool) -> None:
    box.check(box.send(data, cut=cut, waits=waits))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(wire(), min_size=2, max_size=3))
def test_several_on_one_connection(box: Box, several: list[bytes]) -> None:
    box.check(box.send(b"".join(several)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(box: Box, data: bytes) -> None:
    box.check(box.send(data))


SMUGGLED = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Content-Length: 13\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding: x\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Content-Length: 0\r\n\r\nG" + SMUGGLED,
        HEAD + b"X: a\n\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        HEAD + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    ],
    ids=[
        "both",
        "both, the other way",
        "two lengths",
        "unknown coding",
        "vertical tab",
        "garbage",
        "bare LF",
        "folded",
    ],
)
def test_no_request_is_smuggled_behind_another(box: Box, request_bytes: bytes) -> None:
    answer = box.send(request_bytes)
    assert "POST /v1/completions" not in box.reached, answer
    box.check(answer)
