"""What is said in one message, part or field."""

from typing import Any

import pytest

from proxy.core.texts import aside, of_dict, text_of

CALL = {"id": "1", "function": {"name": "f"}}
CALLED = '{"id":"1","function":{"name":"f"}}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (None, ""),
        (1.5, "1.5"),
        (["a", {"text": "b"}], "ab"),
        ([], "[]"),
        ([1, "a"], '[1,"a"]'),
        ({"type": "text", "text": "a"}, "a"),
        ({"type": "image_url", "image_url": "u"}, '{"type":"image_url","image_url":"u"}'),
    ],
)
def test_a_text_stands_for_itself_and_all_else_for_its_json(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_of_a_message_its_role_is_not_said_and_what_is_not_known_is() -> None:
    assert of_dict({"role": "user", "content": "a"}) == "a"
    assert of_dict({"role": "assistant", "content": None, "tool_calls": [CALL]}) == CALLED
    assert of_dict({"role": "user", "content": "a", "name": "n", "x": {"y": "b"}}) == 'a{"y":"b"}'
    assert of_dict({"type": "output_text", "text": "a", "annotations": [], "logprobs": None, "x": {}, "y": ""}) == "a"
    assert of_dict({"text": "a", "x": 0, "y": False}) == "a0false"


def test_what_may_be_anything_is_told_aside_and_what_is_known_is_not() -> None:
    assert aside({"role": "user", "content": "a"}) == aside({"role": None, "content": "a", "name": None}) == []
    assert aside({"role": "x", "content": "a"}) == ["x"]
    assert aside({"role": "tool", "tool_call_id": "c", "id": 7, "name": {"text": "n"}}) == ["n", "7", "c"]
