import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from proxy.core.texts import Answered, Said, Sampling, _PlainChat
from proxy.core.usage import Tokens

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
        ({"messages": [{"role": "assistant", "content": None}]}, [""]),
        ({"messages": [{"content": [{"type": "text", "text": "a", "content": "b"}]}]}, ["ab"]),
        ({"messages": [{"role": "user", "content": "a", "reasoning": "b"}]}, ['a"b"']),
        ({"query": "q", "documents": [{"title": "t", "text": "b"}]}, ["q", "tb"]),
        ({"prompt": "a", "suffix": "b", "previous_input_messages": [{"content": "c"}], "x": 1}, ["a", "b", "c"]),
        ({"messages": [{"content": "a"}], "chat_template_kwargs": {"x": "b"}}, ["a", '{"x":"b"}']),
        ({"messages": [{"content": "a", "tool_calls": [{"x": 1}]}], "tools": [{"y": 2}]}, ['a{"x":1}', '{"y":2}']),
        ({}, []),
    ],
)
def test_each_message_prompt_or_document_is_a_text(body: dict[str, Any], texts: list[str]) -> None:
    assert Said(json.dumps(body).encode()).texts == texts


@pytest.mark.parametrize("odd", ["1e999", "1" * 5000])
def test_what_cannot_be_decoded_hides_nothing_of_the_rest(odd: str) -> None:
    said = Said(f'{{"prompt":"a","max_tokens":7,"x":{odd}}}'.encode())
    assert (said.texts[0], said.sampling) == ("a", Sampling(max_tokens=7))
    assert Said(f'{{"prompt":[{odd}]}}'.encode()).texts == [f"[{odd}]"]


def test_the_same_words_are_the_same_text_however_they_are_spelled() -> None:
    assert Said(b'{"prompt":"\\u00fc"}').texts == Said('{ "prompt" : "ü" }'.encode()).texts == ["ü"]


def test_what_decides_how_an_answer_is_drawn_is_kept_and_nothing_else() -> None:
    said = Said(b'{"temperature":0.5,"max_tokens":7,"stream":true,"seed":"text","user":"secret","stop":["secret"]}')
    assert said.sampling == Sampling(temperature=0.5, max_tokens=7, stream=True)


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b"\xff", b'"a"'])
def test_of_what_is_no_object_nothing_is_said(body: bytes) -> None:
    assert (Said(body).texts, Said(body).sampling, Answered(body).texts) == ([], None, [])


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
    assert Answered(json.dumps(answer).encode()).texts == texts


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5}, Tokens(7, 5)),
        ({"input_tokens": 7, "output_tokens": 5}, Tokens(7, 5)),
        ({"prompt_tokens": 7, "total_tokens": 7}, Tokens(7, 0)),
        ({"total_tokens": 7}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_it_took_is_what_it_says(usage: dict[str, int] | None, tokens: Tokens | None) -> None:
    assert Answered(json.dumps({"choices": [{"text": "a"}], "usage": usage}).encode()).tokens == tokens


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner),
)
MESSAGES = st.lists(st.fixed_dictionaries({"role": st.text(), "content": st.text()}), max_size=3)
FIELDS = st.sampled_from([*_PlainChat.__struct_fields__, "tools", "min_p", "x"])


@settings(max_examples=2000)
@given(st.dictionaries(FIELDS, JSON, max_size=4), JSON | MESSAGES)
def test_a_plain_chat_is_read_as_all_others_are(fields: dict[str, Any], messages: Any) -> None:
    body = json.dumps(fields | {"messages": messages}).encode()
    one, other = Said(body), Said(b"")
    other._look(body)
    assert (one.texts, one.sampling) == (other.texts, other.sampling)


@pytest.mark.parametrize("levels", [400, 500, 900])
def test_no_depth_hides_what_is_said(levels: int) -> None:
    deep = '{"content":' * levels + '"s"' + "}" * levels
    for body in (f'{{"messages":[{{"content":"a"}}],"x":{deep}}}', f'{{"messages":[{deep}]}}'):
        texts = Said(body.encode()).texts
        assert texts, body[:40]
        assert "s" in texts[-1]


def test_a_name_that_stands_twice_counts_as_engines_read_it() -> None:
    assert Said(b'{"messages":[{"role":"u","content":"a","content":"b"}],"messages":[]}').texts == []
    assert Said(b'{"messages":[],"messages":[{"role":"u","content":"a","content":"b"}]}').texts == ["b"]
