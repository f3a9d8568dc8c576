import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from proxy.core.errors import InvalidRequest
from proxy.core.members import OWN_FIELDS
from proxy.core.wire import JsonBody

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
NAMES = ["model", "agent_type", "keep_alive", "messages", "stream_options", "stream"]
bodies = st.dictionaries(texts | st.sampled_from(NAMES), values, max_size=6)
styles = st.fixed_dictionaries(
    {"indent": st.none() | st.integers(0, 4), "ensure_ascii": st.booleans(), "sort_keys": st.booleans()}
)


def sent(body: bytes, served: str, defaults: dict[str, Any] | None = None) -> bytes:
    return b"".join(JsonBody(body).for_engine(served, defaults or {}))


@given(bodies, styles, texts, st.dictionaries(st.sampled_from(["stop", "messages", "n"]), values, max_size=2))
def test_whatever_the_body_only_the_model_is_set_and_what_is_said_to_rota_is_gone(
    body: dict[str, Any], style: dict[str, Any], served: str, defaults: dict[str, Any]
) -> None:
    made = json.loads(sent(json.dumps(body, **style).encode(), served, defaults))
    rest = {name: value for name, value in body.items() if name not in OWN_FIELDS}
    assert made == {**defaults, **rest, "model": served}


spaces = st.text(" \t\r\n", max_size=2).map(str.encode)
names = st.sampled_from(["model", "agent_type", "keep_alive", "messages", "x"]) | texts


@st.composite
def members(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Members of an object as they may be written, with spaces, escapes and repetitions."""
    made = []
    for name in draw(st.lists(names, max_size=6)):
        spelled = json.dumps(name, ensure_ascii=draw(st.booleans())).encode()
        if name and draw(st.booleans()):
            spelled = (
                b'"\\u%04x' % ord(name[0]) + json.dumps(name[1:]).encode()[1:] if ord(name[0]) < 2**16 else spelled
            )
        value = json.dumps(draw(values), indent=draw(st.none() | st.just(1))).encode()
        text = draw(spaces) + spelled + draw(spaces) + b":" + draw(spaces) + value + draw(spaces)
        made.append((name, text))
    return made


@given(members(), spaces, spaces)
def test_every_other_byte_is_the_clients(parts: list[tuple[str, bytes]], before: bytes, after: bytes) -> None:
    body = before + b"{" + b",".join(text for _, text in parts) + b"}" + after
    told = json.loads(body)
    expected = {name: value for name, value in told.items() if name not in OWN_FIELDS} | {"model": "served"}
    made = sent(body, "served")
    assert json.loads(made) == expected
    assert [value for name, value in json.loads(made, object_pairs_hook=list) if name == "model"].count("served") >= 1
    given_names = [name for name, _ in parts]
    if len(set(given_names)) == len(given_names):
        for name, text in parts:
            if name not in {*OWN_FIELDS, "model"}:
                assert text.strip() in made
        assert made.startswith(before + b"{")
        assert made.endswith(b"}" + after)


@given(
    st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | bodies.map(lambda body: json.dumps(body).encode())
)
def test_what_python_does_not_read_as_an_object_is_refused(body: bytes) -> None:
    try:
        is_object = isinstance(json.loads(body.decode()), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        with pytest.raises(InvalidRequest):
            JsonBody(body)


@pytest.mark.parametrize(
    "value", [b"1.0", b"1e999", b"-0", b"1234567890123456789.10", b"[1,  2]", rb'"\u00e9\/"', b'{"b":1,"a":2,"b":3}']
)
def test_a_value_is_not_rewritten_on_its_way(value: bytes) -> None:
    assert sent(b'{"x":' + value + b"}", "s") == b'{"model":"s","x":' + value + b"}"


def test_the_model_keeps_its_place_and_is_written_as_json() -> None:
    assert sent(b'{"model": "alias", "agent_type": "Chat", "n": 1}', 'a "b"') == rb'{"model": "a \"b\"", "n": 1}'


def test_what_stands_deeper_is_not_touched() -> None:
    body = b'{"messages": [{"model": "x", "agent_type": "y"}], "agent_type": "Chat"}'
    assert sent(body, "s") == b'{"model":"s","messages": [{"model": "x", "agent_type": "y"}]}'


def test_a_body_that_is_right_already_is_the_very_same_object() -> None:
    body = b'{"model": "s", "messages": []}'
    pieces = JsonBody(body).for_engine("s")
    assert len(pieces) == 1
    assert pieces[0] is body


def test_a_large_body_goes_on_in_slices_and_is_not_copied() -> None:
    body = b'{"agent_type": "Chat", "model": "alias", "image": "' + b"A" * 2**20 + b'"}'
    pieces = JsonBody(body).for_engine("s")
    assert max(len(piece) for piece in pieces if isinstance(piece, bytes)) < 100
    assert b"".join(pieces) == b'{ "model": "s", "image": "' + b"A" * 2**20 + b'"}'


def test_of_a_field_given_twice_the_last_counts_for_routing_and_is_what_the_engine_gets() -> None:
    body = JsonBody(b'{"model": "a", "n": 1, "model": "b", "n": 2}')
    assert body.told()[0] == "b"
    assert b"".join(body.for_engine("b", {"x": 1})) == b'{"model":"b","n":2,"x":1}'


def test_a_field_spelled_with_escapes_is_the_same_field() -> None:
    body = JsonBody(rb'{"mod\u0065l": "a", "agent\u005ftype": "Chat"}')
    assert body.told()[:2] == ("a", "Chat")
    assert json.loads(b"".join(body.for_engine("s"))) == {"model": "s"}


@pytest.mark.parametrize(
    ("stream", "is_stream"),
    [
        *((spelled, True) for spelled in (b"true", b"1", b"1.0", b'"true"', b'"ON"', b'"y"', b'"\\u0031"')),
        *((spelled, False) for spelled in (b"false", b"0", b"2", b"null", b'"x"', b'" true"', b"[1]")),
    ],
)
def test_what_vllm_takes_for_true_asks_for_events(stream: bytes, is_stream: bool) -> None:
    assert JsonBody(b'{"stream": ' + stream + b"}").is_stream is is_stream
    assert not JsonBody(b"{}").is_stream


@pytest.mark.parametrize("body", [b"{}", b'{"model": null}', b'{"model": ""}', b' {"other": 3}\n'])
def test_a_string_that_is_absent_null_or_empty_is_none(body: bytes) -> None:
    assert JsonBody(body).told()[0] is None


@pytest.mark.parametrize("value", [b"3", b"true", b"[]", b'{"a": 1}', b'["a"]'])
def test_a_field_that_is_no_string_is_refused_by_name(value: bytes) -> None:
    body = JsonBody(b'{"model": ' + value + b', "agent_type": "Chat"}')
    with pytest.raises(InvalidRequest, match="'model' must be a string") as caught:
        body.told()
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
        read.told()
    except InvalidRequest:
        return
    assert JsonBody(b"".join(read.for_engine("s"))).told()[0] == "s"


def test_a_body_shows_its_fields_in_a_log_and_never_what_the_patient_said() -> None:
    assert repr(JsonBody(b'{"model": "a", "prompt": "private"}')) == "<JsonBody of 35 bytes>"


def test_fields_that_the_client_left_out_are_put_in_and_what_it_said_stays() -> None:
    defaults = {"stop": ["Patient:"], "temperature": 0.5}
    assert sent(b'{"temperature":0,"n":1}', "s", defaults) == b'{"stop":["Patient:"],"model":"s","temperature":0,"n":1}'
    assert sent(b'{"stop":null}', "s", {"stop": ["x"]}) == b'{"model":"s","stop":null}'
