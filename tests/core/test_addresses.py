"""Whom to believe who has asked."""

import pytest

from proxy.core.addresses import Trusted

TRUSTED = Trusted(["10.0.0.0/8", "192.168.1.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("8.8.8.8", "1.2.3.4", "8.8.8.8"),  # a client that makes it up
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),  # the first was made up
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 192.168.1.1,10.9.9.9", "1.2.3.4"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4, unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, _hidden, 10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("10.0.0.1", "[2001:db8::1]:5678", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("fd00::1", "1.2.3.4", "1.2.3.4"),
        ("", "1.2.3.4", ""),
    ],
)
def test_who_asks(peer: str, forwarded_for: str | None, client: str) -> None:
    assert TRUSTED.client(peer, forwarded_for) == client


def test_nobody_is_trusted_by_default() -> None:
    assert Trusted().client("127.0.0.1", "1.2.3.4") == "127.0.0.1"


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_what_is_no_address_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match=repr(wrong)):
        Trusted([wrong])
