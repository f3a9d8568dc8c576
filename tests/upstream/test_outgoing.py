from proxy.upstream.outgoing import Outgoing


def test_a_body_says_how_its_length_is_told() -> None:
    assert Outgoing.of([b"ab", memoryview(b"c")]).framing == "Content-Length: 3\r\n"
    assert Outgoing.of([]).framing == "Content-Length: 0\r\n"
    assert Outgoing(None).framing == "", "no body at all"


async def test_what_can_be_had_once_is_not_at_hand() -> None:
    async def rest():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield b"x"

    streamed = Outgoing(None, rest=rest())
    assert (streamed.framing, streamed.is_whole, streamed.is_at_hand) == (
        "Transfer-Encoding: chunked\r\n",
        False,
        False,
    )
    assert Outgoing(7, rest=rest()).framing == "Content-Length: 7\r\n"
    spooled = Outgoing(3, file=lambda: iter([b"abc"]))
    assert (spooled.is_whole, spooled.is_at_hand) == (False, True)
