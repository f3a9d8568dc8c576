from catalog.suggest import nearest


def test_a_slip_is_answered_with_the_name_that_was_meant() -> None:
    assert nearest("memry_gib", ["memory_gib", "port"]) == " Did you mean 'memory_gib'?"


def test_a_name_that_is_near_nothing_is_answered_with_nothing() -> None:
    assert nearest("zzz", ["memory_gib", "port"]) == ""
    assert nearest("x", []) == ""
