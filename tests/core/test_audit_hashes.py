import hmac

import pytest

from proxy.core.audit_hashes import Hasher


def test_a_text_has_one_hash_under_one_key_and_another_under_another() -> None:
    one, other = Hasher(b"a" * 32), Hasher(b"b" * 32)
    assert one.of("x") == one.of("x") != other.of("x")
    assert len(one.of("x")) == 64
    assert one.of("\ud800"), "half a character that a client has escaped"


@pytest.mark.parametrize("text", ["", "x", "ü" * 1000])
def test_the_hash_is_the_hmac_of_the_standard_library(text: str) -> None:
    key = hmac.digest(b"a" * 32, b"texts", "sha256")
    assert Hasher(b"a" * 32).of(text) == hmac.new(key, text.encode(), "sha256").hexdigest()


def test_several_texts_have_a_hash_together_and_one_each() -> None:
    hasher = Hasher(b"a" * 32)
    assert hasher.of_all([]) == ("", [])
    assert hasher.of_all(["ab"]) == (hasher.of("ab"), [])
    assert hasher.of_all(["a", "b"]) == (hasher.of("ab"), [hasher.of("a"), hasher.of("b")])
