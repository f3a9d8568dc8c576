import pytest
from aiohttp import WSMessage, WSMsgType

from proxy.web.sockets import _pass


class Kept:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[object] = []

    async def send_str(self, text: str) -> None:
        self.sent.append(text)

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)

    async def ping(self, data: bytes) -> None:
        self.sent.append(("ping", data))

    async def pong(self, data: bytes) -> None:
        self.sent.append(("pong", data))


@pytest.mark.parametrize(
    ("kind", "data", "sent"),
    [
        (WSMsgType.TEXT, "a", "A"),
        (WSMsgType.BINARY, b"a", b"a"),
        (WSMsgType.PING, b"a", ("ping", b"a")),
        (WSMsgType.PONG, b"a", ("pong", b"a")),
    ],
)
async def test_every_kind_of_frame_is_passed_on_and_only_text_is_renamed(
    kind: WSMsgType, data: object, sent: object
) -> None:
    to = Kept()
    assert await _pass(WSMessage(kind, data, None), to, str.upper)  # type: ignore[arg-type]
    assert to.sent == [sent]


@pytest.mark.parametrize("kind", [WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR])
async def test_the_end_of_a_socket_is_no_frame(kind: WSMsgType) -> None:
    assert not await _pass(WSMessage(kind, None, None), Kept(), None)  # type: ignore[arg-type]
