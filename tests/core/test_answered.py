"""What is said in answers, and how many tokens they took."""

import json
from typing import Any

import pytest
from hypothesis import event, given, settings, strategies as st

from proxy.core.answered import _PLAIN_ANSWER, answered, field_by_field
from proxy.core.texts import UNREADABLE
from proxy.core.usage import Tokens

USED = {"prompt_tokens": 7, "completion_tokens": 5}


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, ["a", "b"]),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"x": 1}]}}]}, ["", '{"x":1}']),
        ({"choices": [{"text": "a"}]}, ["a"]),
        ({"choices": [{"message": {"content": "a", "tool_calls": [{}, "no call"]}}, {"text": "b"}]}, ["a", "{}", "b"]),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}, "no item"]}, ["a"]),
        ({"output": [{"type": "x_call", "y": "a"}]}, ['{"type":"x_call","y":"a"}']),
        ({"content": [{"type": "text", "text": "a"}], "type": "message"}, ["a"]),
        ({"text": "a", "usage": {"type": "duration", "seconds": 1}}, ["a"]),
        ({"text": "a b", "segments": [{"text": "a"}, {"text": "b"}], "duration": 1.5}, ["a b"]),
        ({"prompt": "a"}, ["a"]),
        ({"answers": {"q": {"label": "a"}, "r": {"label": "b"}}}, ['{"label":"a"}', '{"label":"b"}']),
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


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'"a"', b'{"choices": "a"}'])
def test_of_what_is_no_answer_nothing_is_said(body: bytes) -> None:
    assert answered(body) == ([], None)


@pytest.mark.parametrize("text", ["1\n00:00:00,000 --> 00:00:01,000\ngr\u00fc\u00dfe\n", '{"choices": [{"text": "a'])
def test_what_is_no_json_is_one_text(text: str) -> None:
    assert answered(text.encode()) == ([text], None)


COUNT = st.integers(0, 2**40)
PLAIN = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": st.text()})}), max_size=2
        ),
        "usage": st.fixed_dictionaries({"prompt_tokens": COUNT, "completion_tokens": COUNT}),
    }
)
ODD = (
    st.none()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(st.fixed_dictionaries({"text": st.just("a")}), max_size=2)
)
PLACES = ("choices", "usage", "output", "content", "message", "text", "tool_calls", "prompt_tokens", "input_tokens")


@settings(max_examples=1000)
@given(PLAIN, st.lists(st.tuples(st.sampled_from(PLACES), ODD), max_size=2))
def test_a_plain_answer_is_read_as_all_others_are(answer: dict[str, Any], odd: list[tuple[str, Any]]) -> None:
    """As it is, and with something odd in it."""
    for name, value in odd:
        choices, usage = answer["choices"], answer["usage"]
        where = answer
        if name in ("message", "text") and isinstance(choices, list) and choices:
            where = choices[0]
        elif name == "tool_calls" and isinstance(choices, list) and choices and isinstance(choices[0], dict):
            where = choices[0].get("message") or answer
        elif name.endswith("_tokens") and isinstance(usage, dict):
            where = usage
        if isinstance(where, dict):
            where[name] = value
    body = json.dumps(answer).encode()
    event("plain" if _is_plain(body) else "odd")
    assert answered(body) == field_by_field(body)


def _is_plain(body: bytes) -> bool:
    try:
        _PLAIN_ANSWER.decode(body)
    except UNREADABLE:
        return False
    return True


def test_a_plain_answer_is_known_as_one() -> None:
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a", "tool_calls": []}}],
        "usage": USED,
    }
    assert _is_plain(json.dumps(body).encode())
    assert answered(json.dumps(body).encode()) == (["a"], Tokens(7, 5))


@pytest.mark.parametrize("usage", [{"prompt_tokens": "7"}, {"prompt_tokens": 7.5}, "7", [7]])
def test_odd_usage_hides_no_text(usage: Any) -> None:
    assert answered(json.dumps({"choices": [{"text": "a"}], "usage": usage}).encode()) == (["a"], None)


@pytest.mark.parametrize("levels", [500, 1200])
def test_no_depth_hides_what_is_said(levels: int) -> None:
    deep = '{"content":' * levels + '"s"' + "}" * levels
    assert "s" in answered(f'{{"choices":[{{"message":{deep}}}]}}'.encode())[0][-1]
