import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from proxy.core import stream_texts
from proxy.core.stream_texts import StreamTexts


def read(raw: bytes, *sizes: int) -> list[str]:
    stream = StreamTexts()
    for size in sizes:
        stream.feed(raw[:size])
        raw = raw[size:]
    stream.feed(raw)
    return stream.texts()


def event(told: dict[str, Any], kind: str = "") -> bytes:
    return (f"event: {kind}\n" if kind else "").encode() + b"data: " + json.dumps(told).encode() + b"\n\n"


@pytest.mark.parametrize("in_chunks", [True, False])
def test_the_pieces_of_a_stream_are_joined_by_choice(in_chunks: bool) -> None:
    events = [
        b": a comment\n\n",
        event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        event({"choices": [{"index": 1, "delta": {"content": "x"}}]}),
        event({"choices": [{"index": 0, "delta": {"content": "a"}}]}),
        event({"choices": [{"index": 0, "text": "b"}]}),
        event({"choices": [], "usage": {}}),
        b"data: [DONE]\n\n",
    ]
    framed = (b"%x\r\n%b\r\n" % (len(one), one) if in_chunks else one for one in events)
    assert read(b"".join(framed)) == ["ab", "x"]


@pytest.mark.parametrize("kind", ["output_text", "function_call_arguments", "refusal"])
def test_the_streams_of_other_apis_are_read_too(kind: str) -> None:
    responses = [{"type": f"response.{kind}.delta", "output_index": 0, "delta": piece} for piece in ("a", "b")]
    anthropic = [{"type": "content_block_delta", "index": 0, "delta": {"text": piece}} for piece in ("c", "d")]
    assert read(b"".join(map(event, responses))) == ["ab"]
    assert read(b"".join(map(event, anthropic))) == ["cd"]


@pytest.mark.parametrize("in_chunks", [True, False])
@given(st.lists(st.integers(1, 3000), max_size=30), st.sampled_from([1, 100, 2**14]))
def test_it_is_the_same_however_it_comes_and_however_much_is_read_at_a_time(
    in_chunks: bool, sizes: list[int], read_bytes: int
) -> None:
    events = [event({"choices": [{"index": n % 2, "delta": {"content": f"{n}\n\ndata: {{ü"}}]}) for n in range(100)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) if in_chunks else one for one in events)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stream_texts, "READ_BYTES", read_bytes)
        assert read(framed, *sizes) == ["".join(f"{n}\n\ndata: {{ü" for n in range(k, 100, 2)) for k in (0, 1)]


def test_what_cannot_be_read_hides_nothing_else() -> None:
    good = event({"choices": [{"index": 0, "delta": {"content": "a"}}]})
    wrong = [b"data: {nonsense\n\n", event({"choices": "none"}), b'data: {"x": "\xff"}\n\n']
    assert read(good + b"".join(wrong) + good) == ["aa"]


def test_tools_that_are_called_are_part_of_what_is_said() -> None:
    call = {"index": 0, "function": {"arguments": "{"}}
    assert read(event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})) == [
        json.dumps(call, separators=(",", ":"))
    ]


def test_a_text_that_is_too_long_has_none_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_texts, "LONGEST_CHARACTERS", 100_000)
    stream = StreamTexts()
    for _ in range(20):
        stream.feed(event({"choices": [{"index": 0, "delta": {"content": "x" * 9000}}]}))
    assert (stream.texts(), stream._said) == ([], {})
    endless = StreamTexts()
    for _ in range(20):
        endless.feed(b"x" * 9000)
    assert (endless.texts(), sum(map(len, endless._kept))) == ([], 0)


def test_no_more_of_a_stream_is_kept_than_its_text() -> None:
    stream = StreamTexts()
    for _ in range(1000):
        stream.feed(event({"choices": [{"index": 0, "delta": {"content": "x"}}], "padding": "y" * 200}))
    assert sum(map(len, stream._kept)) <= stream_texts.READ_BYTES
    assert stream.texts() == ["x" * 1000]
