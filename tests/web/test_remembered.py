from proxy.web.remembered import LOOKED_AT_BYTES, Finder, Made, Remembered


def test_the_id_is_found_in_a_body_and_in_a_stream_however_it_is_cut() -> None:
    for body in (
        b'{"id":"resp_1-a", "object":"response"}',
        b'event: response.created\ndata: {"response":{"id": "resp_1-a"',
    ):
        for cut in range(len(body)):
            remembered = Remembered()
            finder = Finder(remembered, Made("a", "desk"))
            assert not (finder(body[:cut]) and finder(body[cut:] + b"}")), "there is no more to look for"
            assert remembered.made("resp_1-a") == Made("a", "desk")


def test_what_has_no_id_is_looked_at_for_so_long_only() -> None:
    finder = Finder(Remembered(), Made("a", None))
    assert finder(b'{"id": "chatcmpl-1"}')
    assert not finder(b"x" * LOOKED_AT_BYTES)


def test_the_oldest_is_forgotten() -> None:
    remembered = Remembered(most=2)
    for number in range(3):
        remembered.note(f"resp_{number}", Made("a", None))
    assert remembered.made("resp_0") is None
    assert remembered.made("resp_2") == Made("a", None)
