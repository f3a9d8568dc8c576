from proxy.core.methods import Method


def test_the_gates_words_are_those_of_bin_engine() -> None:
    assert list(Method) == ["fork", "spawn", "plain"]
