"""What is said in requests."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from proxy.core.said import Sampling, _PlainChat, field_by_field, said

CALL = {"type": "tool_use", "id": "c1", "name": "create", "input": {"text": "", "name": "planted", "status": "s"}}
CALLED = ["create", '{"text":"","name":"planted","status":"s"}', "c1"]
TOOL_CALL = {"id": "c1", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{ }", "y": "x"}}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "patient record", "status": "completed"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "a"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:x"}}
PARTS = [{"type": "text", "text": "a"}, IMAGE]
ITEM = {"role": "user", "content": [{"type": "input_text", "text": "a"}]}


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}, ["a", "b"]),
        ({"messages": [{"content": PARTS}]}, ["a", json.dumps(IMAGE, separators=(",", ":"))]),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, [json.dumps(IMAGE, separators=(",", ":"))]),
        ({"messages": [[{"role": "x", "content": "a"}], [{"content": "b"}, {"content": "c"}]]}, ["a", "x", "b", "c"]),
        ({"prompt": [[1, 2], [3]]}, ["[1,2]", "[3]"]),
        ({"messages": [{"role": "assistant", "content": [CALL]}]}, CALLED),
        ({"input": [CALL]}, CALLED),
        (
            {"messages": [{"role": "assistant", "content": "a", "tool_calls": [TOOL_CALL]}]},
            ["a", "f", "{ }", "x", "c1"],
        ),
        ({"input": [OUTPUT]}, ["patient record", "c1"]),
        ({"messages": [{"role": "user", "content": [RESULT, {"type": "text", "text": "b"}]}]}, ["a", "t1", "b"]),
        ({"query": "q", "documents": [{"text": "b", "status": "s", "type": "t"}]}, ["q", "b", "s", "t"]),
        (
            {"state": "a", "questions": {"title": {"type": "b"}, "status": 1}},
            ["a", '{"title":{"type":"b"},"status":1}'],
        ),
        ({"system": "s", "messages": [{"content": "a"}]}, ["s", "a"]),
        ({"prompt": "a"}, ["a"]),
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"prompt": [1, 2, 3]}, ["[1,2,3]"]),
        ({"instructions": "i", "input": [ITEM]}, ["i", "a"]),
        ({"input": "a"}, ["a"]),
        ({"query": "q", "documents": ["a", {"text": "b"}]}, ["q", "a", "b"]),
        ({"text_1": "a", "text_2": ["b", "c"]}, ["a", "b", "c"]),
        ({"messages": [{"role": "assistant", "content": None}]}, []),
        ({"messages": [{"role": "user", "content": ["a", {"type": "text", "text": "b"}]}]}, ["a", "b"]),
        ({"messages": [{"content": [{"type": "text", "text": "a", "content": "b"}]}]}, ["a", "b"]),
        ({"messages": [{"role": "user", "content": "a", "reasoning": "b", "x": 1}]}, ["a", "b", "1"]),
        ({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}, ["a"]),
        ({"query": "q", "documents": [{"title": "t", "text": "b"}]}, ["q", "t", "b"]),
        ({"prompt": "a", "suffix": "b", "previous_input_messages": [{"content": "c"}], "x": 1}, ["a", "b", "c"]),
        ({"messages": [{"content": "a"}], "chat_template_kwargs": {"x": "b"}}, ["a", '{"x":"b"}']),
        ({"messages": [{"content": "a", "tool_calls": [{"x": 1}]}], "tools": [{"y": 2}]}, ["a", '{"x":1}', '{"y":2}']),
        (
            {"messages": [{"role": "x y", "content": "a", "name": "n"}, {"role": "user", "content": "b"}]},
            ["a", "x y", "n", "b"],
        ),
        (
            {"messages": [{"role": ["x"], "content": "a"}, {"role": "tool", "content": "b", "tool_call_id": "c"}]},
            ["a", "x", "b", "c"],
        ),
        ({"query": "q", "documents": {"id": "i", "text": "b"}}, ["q", "b", "i"]),
        ({"messages": [{"content": "a", "name": {"name": ["b"]}}]}, ["a", '{"name":["b"]}']),
        ({"messages": [{"content": "a"}], "output_config": {"x": "b"}}, ["a", '{"x":"b"}']),
        ({}, []),
    ],
)
def test_each_message_prompt_or_document_is_a_text(body: dict[str, Any], texts: list[str]) -> None:
    assert said(json.dumps(body).encode())[0] == texts


@pytest.mark.parametrize("odd", ["1e999", "1" * 5000])
def test_what_cannot_be_decoded_hides_nothing_of_the_rest(odd: str) -> None:
    texts, sampling = said(f'{{"prompt":"a","max_tokens":7,"x":{odd}}}'.encode())
    assert (texts[0], sampling) == ("a", Sampling(max_tokens=7))
    assert said(f'{{"prompt":[{odd}]}}'.encode())[0] == [odd]
    message = f'{{"role":"user","content":[{{"type":"text","text":"b","x":{odd}}}],"y":{odd}}}'
    assert said(f'{{"messages":[{{"role":"user","content":"a"}},{message}],"x":{odd}}}'.encode())[0] == [
        *("a", "b", odd, odd, odd)
    ]
    deep = "[" * 50 + f'"s",{odd}' + "]" * 50
    assert "s" in said(f'{{"messages":[{{"role":"user","content":{deep}}}]}}'.encode())[0][-1]


def test_the_same_words_are_the_same_text_however_they_are_spelled() -> None:
    assert said(b'{"prompt":"\\u00fc"}')[0] == said('{ "prompt" : "ü" }'.encode())[0] == ["ü"]


def test_what_decides_how_an_answer_is_drawn_is_kept_and_nothing_else() -> None:
    _, sampling = said(
        b'{"temperature":0.5,"max_tokens":7,"stream":true,"seed":"text","user":"secret","stop":["secret"]}'
    )
    assert sampling == Sampling(temperature=0.5, max_tokens=7, stream=True)


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b"\xff", b'"a"'])
def test_of_what_is_no_object_nothing_is_said(body: bytes) -> None:
    assert said(body) == ([], None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner),
)
ROLES = st.sampled_from(["user", "assistant", "system", "tool"]) | st.text()
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": st.text()}), max_size=3)
FIELDS = st.sampled_from([*_PlainChat.__struct_fields__, "tools", "min_p", "x"])


@settings(max_examples=1000)
@given(st.dictionaries(FIELDS, JSON, max_size=4), JSON | MESSAGES)
def test_a_plain_chat_is_read_as_all_others_are(fields: dict[str, Any], messages: Any) -> None:
    body = json.dumps(fields | {"messages": messages}).encode()
    assert said(body) == field_by_field(body)


WORDS = "planted words"
SHOWN = st.recursive(
    st.text(max_size=3) | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "name", "text", "id", "type", "tool_calls", "function", "arguments", "input", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=1000)
@given(SHOWN, st.data())
def test_words_are_said_wherever_they_stand_in_a_message(message: Any, data: st.DataObject) -> None:
    places = [(at, key) for at in _within(message) for key in (at if isinstance(at, dict) else range(len(at)))]
    if not places:
        return
    at, key = data.draw(st.sampled_from(places))
    at[key] = WORDS
    assert any(WORDS in text for text in said(json.dumps({"messages": [message]}).encode())[0])


def _within(value: Any) -> list[Any]:
    """All lists and objects in it."""
    if not isinstance(value, list | dict):
        return []
    return [value, *(each for one in (value.values() if isinstance(value, dict) else value) for each in _within(one))]


@pytest.mark.parametrize("levels", [400, 500, 900])
def test_no_depth_hides_what_is_said(levels: int) -> None:
    deep = '{"content":' * levels + '"s"' + "}" * levels
    for body in (f'{{"messages":[{{"content":"a"}}],"x":{deep}}}', f'{{"messages":[{deep}]}}'):
        texts = said(body.encode())[0]
        assert texts, body[:40]
        assert "s" in texts[-1]


def test_a_name_that_stands_twice_counts_as_engines_read_it() -> None:
    assert said(b'{"messages":[{"role":"user","content":"a","content":"b"}],"messages":[]}')[0] == []
    assert said(b'{"messages":[],"messages":[{"role":"user","content":"a","content":"b"}]}')[0] == ["b"]
