from proxy.core.key_errors import KeyInvalid


def test_a_401_says_how_to_send_a_key() -> None:
    assert KeyInvalid.of("x").headers == {"WWW-Authenticate": "Bearer"}
