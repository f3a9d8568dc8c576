import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from email.parser import BytesParser

import httpx
import pytest
from aiohttp import web
from hypothesis import given, settings, strategies as st

from proxy.core.errors import InvalidRequest
from proxy.upstream.outgoing import Outgoing
from proxy.web.form import IN_MEMORY_BYTES, LONGEST_FIELD_BYTES, MOST_PARTS, Form, read_form
from tests.web.conftest import DataPlane

TYPE = "multipart/form-data; boundary=X"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return b'--X\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), more.encode(), value)


FILE = part("file", b"\x00\r\n--not the end\r\n\xff", '; filename="a.wav"\r\nContent-Type: audio/wav')
END = b"--X--\r\n"


async def cut(body: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), step):
        yield body[at : at + step]


async def read(body: bytes, step: int = 7, content_type: str = TYPE) -> Form:
    return await read_form(content_type, cut(body, step))


def sent(form: Form, served: str = "s") -> bytes:
    outgoing: Outgoing = form.outgoing(served, {})
    assert outgoing.file is not None
    whole = b"".join([*outgoing.pieces, *outgoing.file()])
    assert len(whole) == outgoing.length
    assert b"".join([*outgoing.pieces, *outgoing.file()]) == whole, "it can be had again"
    return whole


def fields(body: bytes) -> list[tuple[str, bytes]]:
    """As another reader of forms sees them: Python's own."""
    message = BytesParser().parsebytes(b"Content-Type: multipart/form-data; boundary=X\r\n\r\n" + body)
    told = []
    for one in message.get_payload():
        name = one.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        told.append((str(name), one.get_payload(decode=True)))  # type: ignore[union-attr]
    return told  # type: ignore[return-value]


@pytest.mark.parametrize("order", [0, 1, 2])
async def test_the_fields_are_found_wherever_they_stand_and_only_they_are_changed(order: int) -> None:
    parts = [part("agent_type", b"Chat"), FILE, part("model", b"alias"), part("language", b"en")]
    parts = parts[order:] + parts[:order]
    with_end = b"".join(parts) + END
    form = await read(with_end)
    assert form.told() == ("alias", "Chat", None)
    expected = [one for one in parts if b"agent_type" not in one and b'"model"' not in one]
    assert sent(form) == part("model", b"s") + b"".join(expected) + END
    form.close()


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n"])
async def test_what_stands_before_the_first_part_does_not_come_into_another(before: bytes) -> None:
    with closing(await read(before + part("model", b"alias") + FILE + END)) as form:
        assert fields(sent(form)) == [("model", b"s"), ("file", b"\x00\r\n--not the end\r\n\xff")]


async def test_a_boundary_that_is_no_text_is_refused_or_read(plane: DataPlane) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {b"Content-Type": b"multipart/form-data; boundary=\xff"}
        got = await client.post(f"{plane.url}/v1/audio/transcriptions", content=FILE + END, headers=headers)
    assert got.status_code == 400


async def test_a_form_that_is_right_already_goes_on_byte_by_byte() -> None:
    body = FILE + part("model", b"s") + END
    form = await read(body)
    assert sent(form) == body
    form.close()


@pytest.mark.parametrize(("value", "is_stream"), [(b"true", True), (b"True", True), (b"1", True), (b"false", False)])
async def test_it_may_ask_for_events(value: bytes, is_stream: bool) -> None:
    with closing(await read(part("stream", value) + END)) as form:
        assert form.is_stream is is_stream


async def test_a_file_that_is_called_like_a_field_is_none() -> None:
    with closing(await read(part("model", b"x", '; filename="m"') + END)) as form:
        assert form.told()[0] is None


WRONG = {
    "the last boundary is missing": (part("model", b"a"), TYPE, "its last boundary is missing"),
    "no boundary": (part("model", b"a") + END, "multipart/form-data", "boundary="),
    "no form": (b"{}", "application/json", "the body is application/json"),
    "no type": (b"", "", "there is no Content-Type"),
    "not the same": (part("model", b"a") + part("model", b"b") + END, TYPE, "says 'model' twice"),
    "long field": (part("model", b"a" * (LONGEST_FIELD_BYTES + 1)) + END, TYPE, "is longer than"),
    "many parts": (part("x", b"") * (MOST_PARTS + 1) + END, TYPE, "more than"),
    "long headers": (part("x", b"", "; y=" + "z" * 9000) + END, TYPE, "header size exceeded"),
    "no parts": (b"nothing", TYPE, "cannot be read"),
    "other boundary": (part("model", b"a").replace(b"--X", b"--Y") + END, TYPE, "cannot be read"),
}


@pytest.mark.parametrize(("body", "content_type", "why"), WRONG.values(), ids=WRONG)
async def test_a_form_that_cannot_be_read_is_refused_and_says_why(body: bytes, content_type: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        await read(body, 100, content_type)


names = st.sampled_from(["model", "agent_type", "keep_alive", "file", "prompt", "stream"])
values = st.binary(max_size=40).filter(lambda value: b"--X" not in value and not value.endswith(b"\r"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(names, values), max_size=6, unique_by=lambda one: one[0]), st.integers(1, 50))
def test_whatever_the_form_another_reader_finds_the_served_model_and_all_the_rest(
    parts: list[tuple[str, bytes]], step: int
) -> None:
    body = b"".join(part(name, value) for name, value in parts) + END
    if not parts:
        return
    with closing(asyncio.run(read(body, step))) as form:
        made = fields(sent(form))
    assert ("model", b"s") in made
    given_parts = [
        (name, value) for name, value in parts if not (name in ("agent_type", "keep_alive", "model") and value)
    ]
    assert [one for one in made if one != ("model", b"s")] == [one for one in given_parts if one != ("model", b"s")]


async def test_an_upload_goes_through_a_proxy_that_does_not_hold_it(plane: DataPlane) -> None:
    seen: dict[str, object] = {}

    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        seen.update(model=form["model"], size=len(file.file.read()), rest=sorted(set(form) - {"file", "model"}))
        return web.json_response({"text": "heard"})

    plane.answer = answer
    audio = b"\x01" * (3 * IN_MEMORY_BYTES)
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(
            f"{plane.url}/v1/audio/transcriptions",
            data={"agent_type": "Chat", "language": "en"},
            files={"file": ("a.wav", audio, "audio/wav")},
        )
    assert got.json() == {"text": "heard"}
    assert seen == {"model": "a", "size": len(audio), "rest": ["language"]}


async def test_an_upload_over_the_limit_is_refused(plane: DataPlane) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(
            f"{plane.url}/v1/audio/transcriptions", data={"model": "a"}, files={"file": b"x" * (2**23 + 1)}
        )
    assert got.status_code == 413
