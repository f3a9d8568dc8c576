from proxy.upstream.answer import Lost


def test_what_was_lost_may_have_begun_unless_it_is_said_otherwise() -> None:
    assert not Lost("reset").was_never_read
