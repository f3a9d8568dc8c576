import pytest

from catalog.hardware.places import card_for, named_places
from catalog.spec import GIB

RESERVE_BYTES = GIB // 2


def test_a_named_card_shows_less_than_it_is_sold_as() -> None:
    [place] = named_places(["RTX 3090:24"], RESERVE_BYTES)
    assert (place.name, place.sold_gib) == ("RTX 3090", 24)
    assert place.total_bytes / GIB == pytest.approx(23.69)
    assert place.capacity_bytes == place.total_bytes - RESERVE_BYTES


def test_several_cards_are_told_apart() -> None:
    names = [place.name for place in named_places(["2x RTX 3090:24", "A100:80", "RTX 3090 : 24 GB"], 0)]
    assert names == ["RTX 3090 #1", "RTX 3090 #2", "A100", "RTX 3090 #3"]


def test_a_budget_of_the_catalog_limits_a_card() -> None:
    [place] = named_places(["L4:24"], RESERVE_BYTES, 4 * GIB)
    assert place.capacity_bytes == 4 * GIB
    assert named_places(["tiny:0.1"], RESERVE_BYTES)[0].capacity_bytes == 0


@pytest.mark.parametrize("text", ["24", ":24", "RTX 3090:", "RTX 3090:many", "RTX 3090:0", "2x", ""])
def test_what_names_no_card_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'is no GPU.*: write NAME:GIB, as in "RTX 3090:24"'):
        named_places([text], 0)


def test_more_cards_than_a_plan_is_made_for_are_refused() -> None:
    with pytest.raises(ValueError, match="are 20 GPUs: a plan is made for 1 to 16"):
        named_places(["20x L4:24"], 0)
    with pytest.raises(ValueError, match="17 GPUs are more than a plan is made for: at most 16"):
        named_places(["16x L4:24", "A:4"], 0)
    with pytest.raises(ValueError, match="'0x A:4' are 0 GPUs"):
        named_places(["0x A:4"], 0)


@pytest.mark.parametrize(
    "text", ["2x RTX 3090:24", "2 x RTX 3090:24", "2*RTX 3090:24", "2 * RTX 3090", "2xRTX 3090:24"]
)
def test_two_cards_are_two_however_it_is_written(text: str) -> None:
    assert [place.name for place in named_places([text], 0)] == ["RTX 3090 #1", "RTX 3090 #2"]


def test_a_card_that_is_known_needs_no_size_unless_there_are_several() -> None:
    assert [place.sold_gib for place in named_places(["rtx 3090", "L4", "A100 80GB"], 0)] == [24, 24, 80]
    with pytest.raises(ValueError, match=r"'A100' comes in several sizes \(40 and 80\): write NAME:GIB"):
        named_places(["A100"], 0)
    with pytest.raises(ValueError, match="'Rocket 9' is no GPU that is known by its name alone: write NAME:GIB"):
        named_places(["Rocket 9"], 0)


def test_a_size_beyond_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no GPU of 99999999 GiB; at most 1024 are allowed"):
        named_places(["RTX 3090:99999999"], 0)


def test_what_a_driver_shows_is_known_of_an_rtx_3090_and_reckoned_of_others() -> None:
    told = named_places(["2x NVIDIA GeForce RTX 3090:24", "RTX 3090 Ti:24", "A100:80"], 0)
    assert [place.is_reckoned for place in told] == [False, False, True, True]
    assert [place.capability for place in told] == [(8, 6), (8, 6), (8, 6), (8, 0)]


def test_the_smallest_known_card_that_would_do_is_found() -> None:
    assert card_for(round(25.4 * GIB), RESERVE_BYTES) == ("RTX 5090", 32)
    assert card_for(GIB, RESERVE_BYTES) == ("RTX 3060", 12)
    assert card_for(500 * GIB, RESERVE_BYTES) is None
