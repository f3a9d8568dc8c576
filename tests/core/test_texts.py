import json
from typing import Any

import pytest

from proxy.core.texts import Said, of_answer, of_stream

IMAGE = {"type": "image_url", "image_url": {"url": "data:x"}}
PARTS = [{"type": "text", "text": "a"}, IMAGE]
ITEM = {"role": "user", "content": [{"type": "input_text", "text": "a"}]}


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}, ["a", "b"]),
        ({"messages": [{"content": PARTS}]}, ["a" + json.dumps(IMAGE, separators=(",", ":"))]),
        ({"system": "s", "messages": [{"content": "a"}]}, ["s", "a"]),
        ({"prompt": "a"}, ["a"]),
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"prompt": [1, 2, 3]}, ["[1,2,3]"]),
        ({"instructions": "i", "input": [ITEM]}, ["i", "a"]),
        ({"input": "a"}, ["a"]),
        ({"query": "q", "documents": ["a", {"text": "b"}]}, ["q", "a", "b"]),
        ({"text_1": "a", "text_2": ["b", "c"]}, ["a", "b", "c"]),
        ({"messages": [{"role": "assistant", "content": None}]}, ['{"role":"assistant","content":null}']),
        ({}, []),
    ],
)
def test_each_message_prompt_or_document_is_a_text(body: dict[str, Any], texts: list[str]) -> None:
    assert Said(json.dumps(body).encode()).texts == texts


def test_the_same_words_are_the_same_text_however_they_are_spelled() -> None:
    assert Said(b'{"prompt":"\\u00fc"}').texts == Said('{ "prompt" : "ü" }'.encode()).texts == ["ü"]


def test_what_decides_how_an_answer_is_drawn_is_kept_and_nothing_else() -> None:
    said = Said(b'{"temperature":0.5,"max_tokens":7,"stream":true,"seed":"text","user":"secret","stop":["secret"]}')
    assert said.sampling == {"temperature": 0.5, "max_tokens": 7, "stream": True}


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b"\xff", b'"a"'])
def test_of_what_is_no_object_nothing_is_said(body: bytes) -> None:
    assert (Said(body).texts, Said(body).sampling, of_answer(body)) == ([], {}, [])


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, ["a", "b"]),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"x": 1}]}}]}, ['{"x":1}']),
        ({"choices": [{"text": "a"}]}, ["a"]),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]}, ["a"]),
        ({"content": [{"type": "text", "text": "a"}], "type": "message"}, ["a"]),
        ({"data": [{"embedding": [0.1]}]}, []),
        ({"error": {"message": "a"}}, []),
    ],
)
def test_each_choice_or_output_is_a_text(answer: dict[str, Any], texts: list[str]) -> None:
    assert of_answer(json.dumps(answer).encode()) == texts


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
    assert of_stream(b"".join(framed)) == ["ab", "x"]


def test_the_streams_of_other_apis_are_read_too() -> None:
    responses = [{"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in ("a", "b")]
    anthropic = [{"type": "content_block_delta", "index": 0, "delta": {"text": piece}} for piece in ("c", "d")]
    assert of_stream(b"".join(map(event, responses))) == ["ab"]
    assert of_stream(b"".join(map(event, anthropic))) == ["cd"]
