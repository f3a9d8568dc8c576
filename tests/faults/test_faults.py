"""Every injected fault, one after the other in one house: books true, nothing left over, the next request answered."""

from collections.abc import Callable

import pytest

from tests.faults.house import House
from tests.faults.injections import FAULTS, ON_REAL_VLLM, Fault
from tests.faults.parked import ON_PARKED


def survive(house: House, fault: Fault, record: Callable[[str, object], None]) -> None:
    model = fault.inject(house)
    if house.noticed_s is not None:
        record("noticed_s", house.noticed_s)
    house.check(model)
    record("requests", "; ".join(sorted({asked.outcome.partition(":")[0] for asked in house.asked})))


@pytest.mark.house("fake")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_survives(house: House, fault: Fault, record_property: Callable[[str, object], None]) -> None:
    survive(house, fault, record_property)


@pytest.mark.vllm
@pytest.mark.house("real")
@pytest.mark.xdist_group("real")
@pytest.mark.parametrize("fault", ON_REAL_VLLM, ids=lambda fault: fault.name)
def test_it_survives_with_real_vllm(house: House, fault: Fault, record_property: Callable[[str, object], None]) -> None:
    survive(house, fault, record_property)


@pytest.mark.vllm
@pytest.mark.house("parked")
@pytest.mark.xdist_group("parked")
@pytest.mark.parametrize("fault", ON_PARKED, ids=lambda fault: fault.name)
def test_it_survives_with_real_vllm_parked_ahead(
    house: House, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    survive(house, fault, record_property)
    assert len(house.told[house.main]) == 1, "forked, spawned or plain: it says the same, token for token"
