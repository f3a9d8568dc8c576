"""What is said in answers, and how many tokens they took."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from proxy.core.answered import answered, field_by_field
from proxy.core.usage import Tokens


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
    assert answered(json.dumps(answer).encode())[0] == texts


@pytest.mark.parametrize("choice", [{"text": "a"}, {"message": {"role": "assistant", "content": "a"}}])
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
def test_what_it_took_is_what_it_says(
    usage: dict[str, int] | None, tokens: Tokens | None, choice: dict[str, Any]
) -> None:
    assert answered(json.dumps({"choices": [choice], "usage": usage}).encode())[1] == tokens


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b"\xff", b'"a"'])
def test_of_what_is_no_answer_nothing_is_said(body: bytes) -> None:
    assert answered(body) == ([], None)


SAID = st.none() | st.text() | st.lists(st.fixed_dictionaries({"type": st.text(), "text": st.text()}), max_size=2)
CALLS = st.none() | st.lists(st.dictionaries(st.text(), st.text(), max_size=1), max_size=2)
MESSAGE = st.fixed_dictionaries({"content": SAID}, optional={"tool_calls": CALLS, "reasoning": st.text()})
CHOICE = st.fixed_dictionaries({}, optional={"message": st.none() | MESSAGE, "text": SAID, "index": st.integers()})
COUNTS = st.integers(-1, 2**70) | st.none()
NAMES = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens")
USAGE = st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, COUNTS))
ANSWER = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(CHOICE, max_size=2), "usage": USAGE, "output": SAID, "content": SAID}
)


@settings(max_examples=2000)
@given(ANSWER)
def test_a_plain_answer_is_read_as_all_others_are(answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    assert answered(body) == field_by_field(body)
