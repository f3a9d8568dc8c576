"""What is said in one message, part or field; what stands where in requests is in test_said."""

from typing import Any

import pytest

from proxy.core.texts import of_call, text_of, texts_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("", ""),
        (None, ""),
        (1.5, "1.5"),
        (False, "false"),
        ([1, "a"], '[1,"a"]'),
        ({"x": "ü"}, '{"x":"ü"}'),
    ],
)
def test_a_text_stands_for_itself_and_all_else_for_its_json(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("one", "texts"),
    [
        ({"role": "user", "content": "a"}, ["a"]),
        ({"role": "nurse", "content": "a"}, ["a", "nurse"]),
        ({"role": ["user"], "content": ""}, ["", "user"]),
        ({"type": "output_text", "text": "a", "annotations": [], "logprobs": None, "x": {}, "y": ""}, ["a"]),
        ({"text": "a", "x": 0, "y": False, "z": ["b", 1]}, ["a", "0", "false", "b", "1"]),
        ({"type": "image_url", "image_url": "u"}, ['{"type":"image_url","image_url":"u"}']),
        ({"content": [1, 2]}, ["[1,2]"]),
        ({"content": []}, []),
        ({"content": {"text": "a", "status": "ill"}}, ["a", "ill"]),
        ({"content": "a", "index": 0}, ["a"]),
        ({"content": "a", "index": "b"}, ["a", "b"]),
        ({"content": "a", "tool_calls": "b"}, ["a", "b"]),
        ({"content": None, "tool_calls": ["b", {"name": "f", "arguments": "c"}]}, ["b", "f", "c"]),
        ({"content": "a", "cache_control": {"type": "ephemeral", "ttl": "b"}}, ["a", '{"type":"ephemeral","ttl":"b"}']),
    ],
)
def test_words_stand_by_themselves_and_what_is_not_known_beside_them(one: dict[str, Any], texts: list[str]) -> None:
    assert texts_of(one) == texts


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        ({"type": "function_call", "name": "f", "arguments": "a", "input": "b"}, ["f", "a", "b"]),
        (
            {"type": "tool_use", "name": "f", "function": {"name": "g", "arguments": "a"}},
            ["f", "", '{"name":"g","arguments":"a"}'],
        ),
        ({"type": "tool_use", "x": "f"}, ['{"type":"tool_use","x":"f"}']),
        ({"type": "mcp_call", "name": "f", "input": {"a": 1}, "output": "b", "id": "c"}, ["f", '{"a":1}', "b", "c"]),
    ],
)
def test_of_a_call_all_is_said(call: dict[str, Any], texts: list[str]) -> None:
    assert texts_of(call) == texts
    assert of_call(call) == texts[:2]
