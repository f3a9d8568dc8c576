import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Ledger, Overdrawn

steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "adopt", "release"]), st.sampled_from("abc"), st.integers(0, 50))
)


def test_what_is_reserved_is_not_free_until_it_is_released() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 60)
    assert (ledger.reserved_bytes, ledger.free_bytes) == (60, 40)
    ledger.reserve("b", 40)
    assert ledger.free_bytes == 0
    ledger.release("a")
    assert (dict(ledger.reservations), ledger.free_bytes) == ({"b": 40}, 60)


def test_one_byte_too_many_is_refused_and_changes_nothing() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 60)
    with pytest.raises(Overdrawn, match="b needs 41 bytes and 40 are free"):
        ledger.reserve("b", 41)
    assert dict(ledger.reservations) == {"a": 60}


def test_what_runs_already_is_recorded_even_if_it_does_not_fit_and_then_nothing_else_does() -> None:
    ledger = Ledger(100)
    ledger.adopt("a", 130)
    assert ledger.free_bytes == -30
    with pytest.raises(Overdrawn):
        ledger.reserve("b", 1)
    ledger.release("a")
    ledger.reserve("b", 100)


def test_a_model_holds_one_reservation_only() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 10)
    for again in (ledger.reserve, ledger.adopt):
        with pytest.raises(KeyError, match="a has a reservation"):
            again("a", 5)
    assert ledger.reserved_bytes == 10


def test_what_is_not_reserved_cannot_be_released() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 10)
    ledger.release("a")
    with pytest.raises(KeyError):
        ledger.release("a")
    assert ledger.free_bytes == 100


def test_readers_cannot_write_and_see_what_is_true_now() -> None:
    ledger = Ledger(100)
    seen = ledger.reservations
    with pytest.raises(TypeError):
        seen["a"] = 1  # type: ignore[index]
    ledger.reserve("a", 1)
    assert dict(seen) == {"a": 1}


@given(steps)
def test_whatever_is_done_the_books_balance_and_a_refusal_changes_nothing(steps: list[tuple[str, str, int]]) -> None:
    ledger, held = Ledger(100), {}
    for act, model, amount in steps:
        expected = dict(held)
        match act:
            case "release":
                expected.pop(model, None)
                refused = model not in held
            case _:
                refused = model in held or (act == "reserve" and sum(held.values()) + amount > 100)
                expected[model] = amount
        try:
            ledger.release(model) if act == "release" else getattr(ledger, act)(model, amount)
        except (KeyError, Overdrawn):
            assert refused
        else:
            assert not refused
            held = expected
        assert dict(ledger.reservations) == held
        assert ledger.free_bytes == 100 - sum(held.values())


def test_a_ledger_shows_itself_in_a_log() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 10)
    assert repr(ledger) == "<Ledger 10/100 a=10>"
