import pytest

from proxy.adapters.scrypt import hashed, is_hash_of


def test_a_hash_is_of_its_secret_and_of_no_other() -> None:
    kept = hashed("secret")
    assert is_hash_of(kept, "secret")
    assert not is_hash_of(kept, "secreT")
    assert not is_hash_of(kept, "")


def test_the_same_secret_has_another_hash_each_time() -> None:
    assert hashed("secret") != hashed("secret")


def test_a_hash_says_by_what_it_was_made_and_not_of_what() -> None:
    kept = hashed("secret")
    assert kept.startswith("scrypt:14:8:1:")
    assert "secret" not in kept


def test_the_parameters_are_those_that_were_kept() -> None:
    """The last vector of RFC 7914, section 12, that needs little memory."""
    salt_and_hash = "TmFDbA==:/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA=="
    salt, whole = salt_and_hash.split(":")
    first_half = "/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWI="
    assert whole.startswith(first_half[:40])
    assert is_hash_of(f"scrypt:10:8:16:{salt}:{first_half}", "password")


@pytest.mark.parametrize("kept", ["", "x", "scrypt:14:8:1:AA==", "bcrypt:4:8:1:AA==:AA==", "scrypt:99:8:1:AA==:AA=="])
def test_what_is_no_hash_is_an_error_and_never_equal(kept: str) -> None:
    with pytest.raises(ValueError, match="hash"):
        is_hash_of(kept, "secret")
