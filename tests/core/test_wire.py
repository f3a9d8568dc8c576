import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from proxy.core.errors import InvalidRequest
from proxy.core.wire import OWN_FIELDS, JsonBody

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(texts | st.sampled_from(["model", "agent_type", "keep_alive", "messages"]), values, max_size=6)
styles = st.fixed_dictionaries(
    {"indent": st.none() | st.integers(0, 4), "ensure_ascii": st.booleans(), "sort_keys": st.booleans()}
)


@given(bodies, styles, texts)
def test_whatever_the_body_only_the_model_is_set_and_what_is_said_to_rota_is_gone(
    body: dict[str, Any], style: dict[str, Any], served: str
) -> None:
    sent = json.loads(JsonBody(json.dumps(body, **style).encode()).for_engine(served))
    rest = {name: value for name, value in body.items() if name not in OWN_FIELDS}
    assert sent == {**rest, "model": served}
    assert list(sent) == list({**(dict(sorted(rest.items())) if style["sort_keys"] else rest), "model": served})


@given(
    st.dictionaries(texts.filter(lambda name: name not in ("model", "agent_type", "keep_alive")), values, max_size=4),
    styles,
)
def test_every_other_field_keeps_its_bytes(body: dict[str, Any], style: dict[str, Any]) -> None:
    parts = {name: json.dumps(value, **style).encode() for name, value in body.items()}
    whole = b", ".join(json.dumps(name).encode() + b" :  " + part + b"\n" for name, part in parts.items())
    kept = b"".join(msgspec.json.encode(name) + b":" + part + b"," for name, part in parts.items())
    assert JsonBody(b"{" + whole + b"}").for_engine("s") == b"{" + kept + b'"model":"s"}'


@pytest.mark.parametrize(
    "value", [b"1.0", b"1e999", b"-0", b"1234567890123456789.10", b"[1,  2]", rb'"\u00e9\/"', b'{"b":1,"a":2,"b":3}']
)
def test_a_value_is_not_rewritten_on_its_way(value: bytes) -> None:
    assert JsonBody(b'{"x":' + value + b"}").for_engine("s") == b'{"x":' + value + b',"model":"s"}'


def test_the_model_keeps_its_place_and_is_written_as_json() -> None:
    body = JsonBody(b'{"model": "alias", "agent_type": "Chat", "n": 1}')
    assert body.for_engine('a "b"') == rb'{"model":"a \"b\"","n":1}'


def test_of_a_field_given_twice_the_last_counts_for_routing_and_is_what_the_engine_gets() -> None:
    body = JsonBody(b'{"model": "a", "n": 1, "model": "b", "n": 2}')
    assert body.text("model") == "b"
    assert body.for_engine("b") == b'{"model":"b","n":2}'


def test_a_field_spelled_with_escapes_is_the_same_field() -> None:
    body = JsonBody(rb'{"mod\u0065l": "a", "agent\u005ftype": "Chat"}')
    assert (body.text("model"), body.text("agent_type")) == ("a", "Chat")
    assert body.for_engine("s") == b'{"model":"s"}'


@pytest.mark.parametrize("body", [b"{}", b'{"model": null}', b'{"model": ""}', b' {"other": 3}\n'])
def test_a_string_that_is_absent_null_or_empty_is_none(body: bytes) -> None:
    assert JsonBody(body).text("model") is None


@pytest.mark.parametrize("value", [b"3", b"true", b"[]", b'{"a": 1}', b'["a"]', b'"\xff"'])
def test_a_field_that_is_no_string_is_refused_by_name_and_only_when_it_is_asked_for(value: bytes) -> None:
    body = JsonBody(b'{"model": ' + value + b', "agent_type": "Chat"}')
    assert body.text("agent_type") == "Chat"
    with pytest.raises(InvalidRequest, match="'model' must be a string") as caught:
        body.text("model")
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b'{"a": 1,}',
        b'{"a": 1} x',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 01}',
        b'{"a": "\x01"}',
        rb'{"a": "\q"}',
        rb'{"a": "\ud800"}',
        b'{"\xff": 1}',
        b"\xef\xbb\xbf{}",
        b"model=a",
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^the body is not JSON: ") as caught:
        JsonBody(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"[]", b'"model"', b"3", b"null", b'[{"model": "a"}]'])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^the body must be a JSON object"):
        JsonBody(body)


pieces = st.sampled_from(
    [b"{", b"}", b'"model"', b":", b",", b"[", b"]", b'"', b"\\", b"u12", b"1", b"-", b"e", b"\xff", b" "]
)


@given(st.lists(pieces, max_size=12).map(b"".join) | st.binary(max_size=30))
def test_any_bytes_are_either_read_or_refused(body: bytes) -> None:
    try:
        read = JsonBody(body)
        read.text("model")
    except InvalidRequest:
        return
    assert JsonBody(read.for_engine("s")).text("model") == "s"


def test_a_body_shows_its_fields_in_a_log_and_never_what_the_patient_said() -> None:
    assert repr(JsonBody(b'{"model": "a", "prompt": "private"}')) == "<JsonBody model, prompt>"


def test_fields_that_the_client_left_out_are_put_in_and_what_it_said_stays() -> None:
    defaults = {"stop": ["Patient:"], "temperature": 0.5}
    body = JsonBody(b'{"temperature":0,"n":1}')
    assert body.for_engine("s", defaults) == b'{"temperature":0,"n":1,"stop":["Patient:"],"model":"s"}'
    assert b"stop" not in JsonBody(b'{"stop":null}').for_engine("s", {"stop": ["x"]}).replace(b'"stop":null', b"")
