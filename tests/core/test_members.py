from proxy.core.members import anew, applied, edited, members


def joined(pieces: list[bytes | memoryview]) -> bytes:
    return b"".join(pieces)


def test_members_are_found_where_they_stand() -> None:
    import msgspec

    body = b'{ "a" : [1, "}"] , "b":{"a":2}}'
    values = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    found = members(body, values)
    assert found is not None
    assert [(name, body[begins:ends]) for name, _, begins, ends in found] == [("a", b'[1, "}"]'), ("b", b'{"a":2}')]


def test_what_is_set_keeps_its_place_or_comes_first() -> None:
    body = b'{"x":1,"model":"m"}'
    found = [("x", 0, 5, 6), ("model", 6, 15, 18)]
    assert joined(edited(body, found, {"model": b'"n"', "y": b"2"}, {"z": 3})) == b'{"z":3,"y":2,"x":1,"model":"n"}'


def test_bytes_are_exchanged_in_their_places() -> None:
    assert joined(applied(b"abcdef", [(1, 2, b"X"), (4, 4, b"Y")])) == b"aXcdYef"


def test_an_object_is_written_anew_with_each_name_once() -> None:
    assert anew({"agent_type": b"1"}, {"model": b'"n"'}, {"z": 3}) == b'{"z":3,"model":"n"}'  # type: ignore[dict-item]
