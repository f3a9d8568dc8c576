"""What fits where, and who holds the memory, in words."""

from dataclasses import replace

from proxy.core.board import Board
from proxy.core.devices import Process, Strangers
from proxy.core.errors import ModelTooLarge
from proxy.core.fits import holders_of, too_large
from proxy.core.limits import Limits
from proxy.core.terms import Terms
from tests.core.test_board import board
from tests.core.world import amounts, device, gib, needs


def test_what_fits_nowhere_is_told_of_all_devices_and_of_those_it_may_not_have() -> None:
    it = board(a=25)
    error = too_large(it, it.engines["a"])
    assert isinstance(error, ModelTooLarge)
    assert "a needs 25.00 GiB, and it fits nowhere: x has 24.00 GiB for models, y has 12.00" in error.message
    it = Board([device("x", 24)], {"a": needs(amounts(1), {}, count=2)}, Limits())
    error = too_large(it, it.engines["a"])
    assert error is not None
    assert "a may run on no device of this machine, or on fewer than it needs" in error.message


def test_who_holds_the_memory_is_told_by_device_with_engines_and_strangers() -> None:
    it = board(a=20, b=20)
    it.start(it.engines["a"], ("x",), 1.0, "a request")
    it.ledger.note_strangers({"y": Strangers(gib(3), (Process(7, gib(3), "train.py"),))})
    told = holders_of(it, it.engines["b"])
    assert told.startswith("it needs 20.00 GiB; held on x (24.00 GiB for models): a 20.00; ")
    assert told.endswith("y (12.00 GiB for models): pid 7 (train.py) 3.00")


def test_a_pinned_engine_is_told_as_such_since_it_makes_no_room() -> None:
    it = board(a=20, b=20)
    it.engines["a"].needs = replace(it.engines["a"].needs, terms=Terms(is_pinned=True))
    it.start(it.engines["a"], ("x",), 1.0, "a request")
    assert "x (24.00 GiB for models): a (pinned) 20.00;" in holders_of(it, it.engines["b"])
