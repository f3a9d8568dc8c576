from dataclasses import FrozenInstanceError

import pytest

from proxy.core.devices import Placing
from proxy.core.offers import NOTHING, Candidate, Covered, Demand, Eviction, HeldOff, Loss, Plan, Rung, Way

DEMAND = Demand("a", 10, (("x",),))
VALUES = (
    Way(Rung.STOP),
    Candidate("a", Placing(("x",), 10), (Way(Rung.STOP),)),
    DEMAND,
    Loss(),
    Eviction({}),
    Covered(DEMAND, ("x",), Eviction({})),
    HeldOff(DEMAND, Eviction({}), 1.0),
    Plan(),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_offered_is_not_changed_afterwards(value: object) -> None:
    name = next(iter(type(value).__dataclass_fields__))  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)


def test_what_says_nothing_costs_nothing_and_a_plan_that_says_nothing_moves_nobody() -> None:
    assert Loss(0.0, 0.0, 0.0, 0.0) == NOTHING
    assert (dict(Plan().victims), Plan().covered, Plan().held_off) == ({}, (), ())


def test_rungs_read_as_people_say_them() -> None:
    assert [str(rung) for rung in Rung] == ["sleep at level 1", "sleep at level 2", "stop"]
