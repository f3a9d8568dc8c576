import json

import pytest

from proxy.core.usage import Tokens, UsageFinder

OPENAI = {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}
ANTHROPIC = (
    b'event: message_start\ndata: {"message":{"usage":{"input_tokens":7,"output_tokens":0}}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":5}}\n\n'
)
ANSWERS = {
    "chat": json.dumps(
        {"choices": [{"message": {"content": "x" * 5000}}], "usage": OPENAI, "more": "y" * 5000}
    ).encode(),
    "compact": json.dumps({"usage": OPENAI}, separators=(",", ":")).encode(),
    "responses": b'data: {"usage":null}\n\ndata: {"response":{"usage":{"input_tokens":7,"output_tokens":5}}}',
    "details between": b'{"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":3},"output_tokens":5}}',
    "anthropic": ANTHROPIC,
    "every event": b"".join(
        b'data: {"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n' % tokens for tokens in range(6)
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("size", [1, 3, 7, 50, 10**6])
def test_the_usage_is_found_however_the_answer_comes(answer: bytes, size: int) -> None:
    finder = UsageFinder()
    for at in range(0, len(answer), size):
        assert finder(answer[at : at + size])
    assert finder.tokens() == Tokens(7, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        json.dumps({"content": 'they say "usage": {"prompt_tokens": 9}'}).encode(),
        b'{"usage":null}',
        b'{"usage":{"prompt_tokens":"many"}}',
        b'{"usage":{"prompt_tokens":3',
        b'{"usage":[{}]}',
    ],
)
def test_what_is_not_said_is_not_made_up(answer: bytes) -> None:
    finder = UsageFinder()
    finder(answer)
    assert finder.tokens() is None
