import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from proxy.core import stream_texts
from proxy.core.answered import answered
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


ARGUMENTS = '{"bed": 14, "ward": "\u00fc"}'
"""As a model writes them."""


def called(kind: str, **more: Any) -> dict[str, Any]:
    """An item of the Responses API."""
    return {"type": kind, "id": "1", "call_id": "2", "name": "book", "status": "completed"} | more


def of_responses(n: int, item: dict[str, Any], kind: str, *deltas: str) -> list[dict[str, Any]]:
    """The events of one, in vLLM's order."""
    begun = {key: "" if key in ("arguments", "input") else value for key, value in item.items()}
    return [
        {"type": "response.output_item.added", "output_index": n, "item": begun},
        *({"type": f"response.{kind}.delta", "output_index": n, "delta": delta} for delta in deltas),
        {"type": f"response.{kind}.done", "output_index": n, "arguments": "".join(deltas)},
        {"type": "response.output_item.done", "output_index": n, "item": item},
    ]


SAYS = {"type": "message", "content": [{"type": "output_text", "text": "ab", "annotations": [], "logprobs": None}]}
REFUSES = {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}
THINKS = {"type": "reasoning", "id": "1", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]}
FUNCTION = {"name": "book", "arguments": ARGUMENTS}
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "x", "signature": "y"},
    {"type": "text", "text": "ab"},
    {"type": "tool_use", "id": "1", "name": "book", "input": json.loads(ARGUMENTS)},
    {"type": "tool_use", "id": "2", "name": "list", "input": {}},
]


@pytest.mark.parametrize(
    ("whole", "events", "texts"),
    [
        (
            {
                "choices": [
                    {"index": 0, "message": {"content": "ab", "tool_calls": [{"id": "1", "function": FUNCTION}] * 2}},
                    {"index": 1, "message": {"content": None, "tool_calls": [{"id": "3", "function": FUNCTION}]}},
                ]
            },
            [
                {"choices": [{"index": n, "delta": delta}]}
                for n, delta in (
                    (0, {"role": "assistant", "content": ""}),
                    (1, {"tool_calls": [{"index": 0, "id": "3", "function": {"name": "book", "arguments": ""}}]}),
                    (0, {"content": "a"}),
                    (0, {"tool_calls": [{"index": 1, "function": FUNCTION}]}),
                    (0, {"content": "b"}),
                    (0, {"tool_calls": [{"index": 0, "function": FUNCTION}]}),
                    (1, {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS[:5]}}]}),
                    (1, {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS[5:]}}]}),
                )
            ],
            ["ab", "book", ARGUMENTS, "book", ARGUMENTS, "", "book", ARGUMENTS],
        ),
        (
            {
                "output": [
                    THINKS,
                    SAYS,
                    called("function_call", arguments=ARGUMENTS),
                    called("custom_tool_call", input="c d"),
                    REFUSES,
                    called("mcp_call", arguments="{}", output="e"),
                ]
            },
            [
                *of_responses(0, THINKS, "reasoning_text", "x"),
                *of_responses(1, SAYS, "output_text", "a", "b"),
                *of_responses(2, called("function_call", arguments=ARGUMENTS), "function_call_arguments", ARGUMENTS),
                *of_responses(3, called("custom_tool_call", input="c d"), "custom_tool_call_input", "c", "c d"),
                *of_responses(4, REFUSES, "refusal", "no"),
                *of_responses(5, called("mcp_call", arguments="{}", output="e"), "mcp_call_arguments", "{}"),
            ],
            ["ab", "book", ARGUMENTS, "book", "c d", "no", "book", "{}", "e"],
        ),
        (
            {"content": BLOCKS},
            [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}},
                {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
                {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "b"}},
                {"type": "content_block_start", "index": 2, "content_block": BLOCKS[2] | {"input": {}}},
                *(
                    {"type": "content_block_delta", "index": 2, "delta": {"partial_json": piece}}
                    for piece in (ARGUMENTS[:7], ARGUMENTS[7:])
                ),
                {"type": "content_block_start", "index": 3, "content_block": BLOCKS[3]},
                {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
            ],
            ["ab", "book", '{"bed":14,"ward":"\u00fc"}', "list", "{}"],
        ),
    ],
    ids=["chat", "responses", "messages"],
)
def test_a_stream_says_the_same_as_the_whole_answer(
    whole: dict[str, Any], events: list[dict[str, Any]], texts: list[str]
) -> None:
    assert read(b"".join(map(event, events))) == texts
    assert answered(json.dumps(whole).encode())[0] == texts


def test_what_came_of_a_call_that_broke_off_is_said() -> None:
    item = called("function_call", arguments="")
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"b'}
    assert read(event({"type": "response.output_item.added", "output_index": 0, "item": item}) + event(delta)) == [
        "book",
        '{"b',
    ]
    delta = {"type": "content_block_delta", "index": 0, "delta": {"partial_json": '{"b'}}
    assert read(event(delta)) == ['{"b']


def test_what_says_not_where_it_stands_is_told_once() -> None:
    delta = {"type": "response.output_text.delta", "delta": "ab"}
    assert read(event(delta) + event({"type": "response.output_item.done", "item": SAYS})) == ["ab"]


def test_a_call_of_a_kind_that_is_not_known_is_all_said() -> None:
    call = {"index": 0, "odd": {"arguments": "{"}}
    assert read(event({"choices": [{"index": 0, "delta": {"tool_calls": [call, 3]}}]})) == [
        "",
        json.dumps(call, separators=(",", ":")),
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
