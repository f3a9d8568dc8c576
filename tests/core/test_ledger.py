import pytest
from hypothesis import given, strategies as st

from proxy.core.devices import Device, DeviceKind, Placing, Process, Strangers
from proxy.core.ledger import Ledger, Overdrawn


def ledger(*capacities: int, host: int = 0, reserve: int = 0) -> Ledger:
    cards = [
        Device(f"card{number}", f"gpu{number}", DeviceKind.NVIDIA, capacity + reserve, capacity)
        for number, capacity in enumerate(capacities)
    ]
    return Ledger(cards, host)


def on(amount: int, *devices: str) -> Placing:
    return Placing(devices or ("card0",), amount)


def test_what_is_reserved_is_not_free_until_it_is_released() -> None:
    books = ledger(100)
    books.reserve("a", on(60))
    assert (books.reserved_bytes("card0"), books.free_bytes("card0")) == (60, 40)
    books.reserve("b", on(40))
    assert books.free_bytes("card0") == 0
    books.release("a")
    assert (books.reservations("card0"), books.free_bytes("card0")) == ({"b": 40}, 60)


def test_an_engine_on_two_devices_holds_its_bytes_on_each_and_gets_all_or_nothing() -> None:
    books = ledger(100, 50)
    books.reserve("a", on(50, "card0", "card1"))
    assert (books.free_bytes("card0"), books.free_bytes("card1")) == (50, 0)
    with pytest.raises(Overdrawn, match="b needs 10 bytes on card1 and 0 are free"):
        books.reserve("b", on(10, "card0", "card1"))
    assert "b" not in books.placings


def test_one_byte_too_many_is_refused_and_changes_nothing() -> None:
    books = ledger(100)
    books.reserve("a", on(60))
    with pytest.raises(Overdrawn, match="b needs 41 bytes on card0 and 40 are free"):
        books.reserve("b", on(41))
    assert books.reservations("card0") == {"a": 60}


def test_what_runs_already_is_recorded_even_if_it_does_not_fit_and_then_nothing_else_does() -> None:
    books = ledger(100)
    books.adopt("a", on(130))
    assert books.free_bytes("card0") == -30
    with pytest.raises(Overdrawn):
        books.reserve("b", on(1))
    books.release("a")
    books.reserve("b", on(100))


def test_a_model_holds_one_reservation_only() -> None:
    books = ledger(100)
    books.reserve("a", on(10))
    for again in (books.reserve, books.adopt):
        with pytest.raises(KeyError, match="a has a reservation"):
            again("a", on(5))
    assert books.reserved_bytes("card0") == 10


def test_what_is_not_reserved_cannot_be_released() -> None:
    books = ledger(100)
    books.reserve("a", on(10))
    books.release("a")
    with pytest.raises(KeyError):
        books.release("a")
    assert books.free_bytes("card0") == 100


def test_a_waking_engine_grows_only_into_what_is_free_and_a_sleeping_one_gives_back() -> None:
    books = ledger(100)
    books.reserve("a", on(60))
    books.correct("a", 10)
    books.reserve("b", on(50))
    with pytest.raises(Overdrawn):
        books.grow("a", 60)
    assert books.reservations("card0") == {"a": 10, "b": 50}
    books.release("b")
    books.grow("a", 60)
    assert books.free_bytes("card0") == 40


def test_strangers_first_take_what_is_left_beside_the_capacity_and_then_room() -> None:
    books = ledger(100, reserve=20)
    books.note_strangers({"card0": Strangers(15), "unknown": Strangers(99)})
    assert books.free_bytes("card0") == 100
    books.note_strangers({"card0": Strangers(50, (Process(7, 50, "python train.py"),))})
    assert (books.room_bytes("card0"), books.free_bytes("card0")) == (70, 70)
    with pytest.raises(Overdrawn):
        books.reserve("a", on(71))
    assert str(books.strangers("card0")) == "pid 7 (python train.py)"


def test_what_sleepers_pin_is_an_account_of_its_own_and_is_kept_until_the_release() -> None:
    books = ledger(100, host=30)
    books.reserve("a", on(50))
    books.pin("a", 20)
    books.reserve("b", on(50))
    with pytest.raises(Overdrawn, match="b pins 11 more bytes and the host has 10 left"):
        books.pin("b", 11)
    books.pin("a", 20)
    assert books.host_free_bytes == 10
    books.release("a")
    assert books.host_free_bytes == 30


def test_readers_cannot_write_and_see_what_is_true_now() -> None:
    books = ledger(100)
    seen = books.placings
    with pytest.raises(TypeError):
        seen["a"] = on(1)  # type: ignore[index]
    books.reserve("a", on(1))
    assert dict(seen) == {"a": on(1)}


acts = st.tuples(
    st.sampled_from(["reserve", "adopt", "release", "grow", "correct"]),
    st.sampled_from("abc"),
    st.integers(0, 50),
    st.sampled_from([("card0",), ("card1",), ("card0", "card1")]),
)


@given(st.lists(acts))
def test_whatever_is_done_the_books_balance_and_a_refusal_changes_nothing(
    steps: list[tuple[str, str, int, tuple[str, ...]]],
) -> None:
    books, held = ledger(100, 60), {}
    for act, model, amount, devices in steps:
        free = {device: books.free_bytes(device) for device in books.devices}
        old = held.get(model)
        expected = dict(held)
        if act == "release":
            refused = expected.pop(model, None) is None
        elif act in ("reserve", "adopt"):
            fits = all(amount <= max(0, free[device]) for device in devices)
            refused = old is not None or (act == "reserve" and not fits)
            expected[model] = Placing(devices, amount)
        else:
            fits = old is not None and all(amount - old.bytes <= max(0, free[device]) for device in old.devices)
            refused = old is None or (act == "grow" and not fits)
            expected[model] = Placing(old.devices if old else (), amount)
        argument = [] if act == "release" else [Placing(devices, amount)] if act in ("reserve", "adopt") else [amount]
        try:
            getattr(books, act)(model, *argument)
        except (KeyError, Overdrawn):
            assert refused
        else:
            assert not refused
            held = expected
        assert dict(books.placings) == held
        for device, capacity in (("card0", 100), ("card1", 60)):
            assert books.free_bytes(device) == capacity - sum(p.bytes for p in held.values() if device in p.devices)


def test_a_ledger_shows_itself_in_a_log() -> None:
    books = ledger(100, 100)
    books.reserve("a", on(10, "card0", "card1"))
    assert repr(books) == "<Ledger a=10@card0+card1>"
