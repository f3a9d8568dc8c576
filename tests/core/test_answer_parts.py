"""The texts of the parts of an answer; that a stream has the same is in test_stream_texts."""

from typing import Any

import pytest

from proxy.core.answer_parts import of_calls, of_part, respelled
from proxy.core.texts import of_call


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        ({"name": "f", "arguments": '{ "a": 1}'}, ["f", '{ "a": 1}']),
        ({"name": "f", "input": {"a": "ü"}}, ["f", '{"a":"ü"}']),
        ({"name": "f", "input": ""}, ["f", ""]),
        ({"name": "f", "input": {}}, ["f", "{}"]),
        ({"function": {"name": "f", "arguments": None}}, ["f", ""]),
        ({"custom": {"name": "f", "input": "a"}, "type": "custom"}, ["f", "a"]),
        ({"function": {"name": 3}}, ['{"function":{"name":3}}']),
    ],
)
def test_a_call_is_its_name_and_its_arguments(call: dict[str, Any], texts: list[str]) -> None:
    assert of_call(call) == texts


def test_only_a_list_has_calls() -> None:
    assert of_calls(None) == of_calls("f") == of_calls(["f"]) == []
    assert of_calls([{"name": "f"}, {"name": "g"}]) == ["f", "", "g", ""]


@pytest.mark.parametrize(
    ("part", "texts"),
    [
        ({"type": "reasoning", "content": [{"text": "a"}]}, []),
        ({"type": "thinking", "thinking": "a"}, []),
        ({"type": "text", "text": "a", "citations": None}, ["a"]),
        ({"type": "text", "text": "a", "citations": [{"b": "c"}]}, ["a", '{"b":"c"}']),
        ({"type": "output_text", "text": "a", "logprobs": [{"token": "a"}]}, ["a"]),
        ({"type": "message", "content": [{"text": "a"}, {"refusal": "b"}, "c"]}, ["a", "b", "c"]),
        ({"type": "message", "content": []}, []),
        ({"type": ["text"], "text": "a"}, ["a", "text"]),
        ({"type": "mcp_call", "name": "f", "arguments": "a", "output": "b"}, ["f", "a", "b"]),
    ],
)
def test_a_part_says_its_words(part: dict[str, Any], texts: list[str]) -> None:
    assert of_part(part) == texts


def test_json_in_pieces_is_spelled_as_when_it_comes_whole() -> None:
    assert respelled('{ "a" : "\\u00fc" }') == '{"a":"ü"}'
    assert respelled("") == "{}"
    assert respelled('{"a') == '{"a'
    assert respelled("[" * 100_000) == "[" * 100_000
