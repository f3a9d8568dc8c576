from proxy.web.passing import both


def test_each_looks_for_as_long_as_it_wants_to() -> None:
    seen: dict[str, list[bytes]] = {"one": [], "other": []}

    def one(data: bytes) -> bool:
        seen["one"].append(data)
        return True

    def other(data: bytes) -> bool:
        seen["other"].append(data)
        return len(seen["other"]) < 2

    tap = both(one, other)
    assert all(tap(data) for data in (b"1", b"2", b"3"))
    assert seen == {"one": [b"1", b"2", b"3"], "other": [b"1", b"2"]}
    assert both(one, None)(b"4")
