import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given, strategies as st

from proxy.core.audit_records import acted, begun, ended, moment
from proxy.core.chain import FIRST, Chain, Marks
from proxy.core.said import Sampling
from proxy.core.usage import Tokens


def test_a_record_is_a_line_with_its_kind_and_without_what_is_not_known() -> None:
    line = json.loads(Chain(Marks(b"key")).add(acted("now", "ann", "stopped")))
    assert line == {"n": 1, "prev": FIRST, "kind": "act", "at": "now", "who": "ann", "what": "stopped"}


def asked(**given: Any) -> Any:
    names = dict.fromkeys(("request_id", "key_name", "path", "agent_type", "model", "outcome", "error_code"), "")
    times = dict.fromkeys(("fallback", "waited_s", "first_byte_s"), None)
    return SimpleNamespace(**names | times | {"told_status": 200, "total_s": 0.0} | given)


@given(
    st.fixed_dictionaries({name: st.text() for name in ("request_id", "key_name", "path", "agent_type", "model")}),
    st.text(),
    st.none() | st.builds(Sampling, temperature=st.floats(allow_nan=False, allow_infinity=False), n=st.integers(0)),
    st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=3),
)
def test_what_a_client_says_of_itself_is_in_its_line_whatever_it_is(
    told: dict[str, str], other: str, sampling: Sampling | None, hashes: list[str]
) -> None:
    fields = begun("now", asked(**told), other, other, other, sampling, "p", hashes)
    line = json.loads(Chain(Marks(b"key")).add(fields))
    names = {"id": "request_id", "key": "key_name", "endpoint": "path", "agent_type": "agent_type", "model": "model"}
    assert {name: line.get(name, "") for name in names} == {name: told[field] for name, field in names.items()}
    assert [line.get(name, "") for name in ("client", "engine", "weights")] == [other] * 3
    assert line.get("sampling") == (
        None if sampling is None else {"temperature": sampling.temperature, "n": sampling.n}
    )
    assert (line["prompt"], line.get("messages", [])) == ("p", hashes)


def test_an_end_says_who_asked_where_no_other_line_does() -> None:
    who = {"request_id": "r", "key_name": "desk", "path": "/v1/x", "agent_type": "Chat", "model": "a"}
    more: dict[str, Any] = {"fallback": 'b; for="a"', "waited_s": 0.25, "first_byte_s": 0.1 + 0.2}
    one = asked(**who, outcome="answered", total_s=1.0, **more)
    told = json.loads(Chain(Marks(b"key")).add(ended("now", 3, one, Tokens(7, 5), "h", ["i", "j"])))
    del told["n"], told["prev"]
    assert told == {
        "kind": "end",
        "at": "now",
        "id": "r",
        "of": 3,
        "outcome": "answered",
        "status": 200,
        "total_s": 1.0,
        "fallback": 'b; for="a"',
        "waited_s": 0.25,
        "first_byte_s": 0.3,
        "prompt_tokens": 7,
        "answer_tokens": 5,
        "answer": "h",
        "answers": ["i", "j"],
    }
    one = asked(**who, outcome="refused", told_status=429, error_code="rate_limited")
    told = json.loads(Chain(Marks(b"key")).add(ended("now", 0, one)))
    del told["n"], told["prev"]
    assert told == {
        "kind": "end",
        "at": "now",
        "id": "r",
        "key": "desk",
        "endpoint": "/v1/x",
        "agent_type": "Chat",
        "model": "a",
        "outcome": "refused",
        "status": 429,
        "error": "rate_limited",
        "total_s": 0.0,
    }


def test_moments_are_utc_and_sort_as_text() -> None:
    assert moment(0.25) == "1970-01-01T00:00:00.250000Z"
    assert moment(5.0) < moment(10.0)
