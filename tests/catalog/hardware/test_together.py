from catalog.hardware.fit import Fit, fit
from catalog.hardware.places import Place
from catalog.hardware.together import sets_of
from tests.catalog.hardware.plans import ALL, RESERVE_BYTES, RTX_3090, candidate, place


def declared(places: list[Place], counts: dict[str, int] | None = None, **gib: float) -> list[Fit]:
    """Models of which only what they declare is known."""
    models = [candidate(name, None, size, 64, device_count=(counts or {}).get(name, 1)) for name, size in gib.items()]
    return [fit(one, places, RESERVE_BYTES) for one in models]


def test_on_a_card_of_24_gb_there_is_one_large_model_at_a_time_and_small_ones_beside_it() -> None:
    told = sets_of([fit(one, RTX_3090, RESERVE_BYTES) for one in ALL], RTX_3090)
    assert [one.models for one in told.together] == [
        ("biomedlm", "pubmedbert", "qwen"),
        ("bimedix2", "pubmedbert"),
        ("biomedlm", "chatdoctor"),
        ("chatdoctor", "pubmedbert"),
    ]
    pairs = {one.models for one in told.apart}
    assert {("bimedix2", "chatdoctor"), ("bimedix2", "qwen"), ("chatdoctor", "qwen")} <= pairs
    assert told.is_all


def test_a_pair_that_does_not_fit_says_by_how_much() -> None:
    card = [place("card", 10)]
    [apart] = sets_of(declared(card, a=6, b=7), card).apart
    assert (apart.models, apart.short_bytes) == (("a", "b"), 3 * 2**30)


def test_everything_at_once_is_one_set() -> None:
    cards = [place("x", 10), place("y", 10)]
    told = sets_of(declared(cards, a=6, b=7, c=3), cards)
    assert [one.models for one in told.together] == [("a", "b", "c")]
    assert told.apart == ()
    [only] = told.together
    assert sum(only.free_bytes.values()) == 4 * 2**30
    assert only.placed["a"] != only.placed["b"]


def test_large_ones_are_seated_first_so_that_small_ones_find_room() -> None:
    cards = [place("small", 4), place("large", 8)]
    [only] = sets_of(declared(cards, a=4, z=8), cards).together
    assert only.placed == {"a": ("small",), "z": ("large",)}


def test_a_model_on_two_devices_takes_from_both() -> None:
    cards = [place("x", 10), place("y", 10)]
    [only] = sets_of(declared(cards, {"wide": 2}, wide=4, a=5, b=5), cards).together
    assert set(only.placed["wide"]) == {"x", "y"}
    assert only.free_bytes == {"x": 2**30, "y": 2**30}
    told = sets_of(declared(cards, {"wide": 2}, wide=6, a=5, b=5), cards)
    assert [one.models for one in told.together] == [("a", "b"), ("wide",)]
    assert [(one.models, one.short_bytes) for one in told.apart] == [(("a", "wide"), 2**30), (("b", "wide"), 2**30)]


def test_a_model_that_does_not_fit_alone_is_in_no_set() -> None:
    card = [place("card", 10)]
    told = sets_of(declared(card, a=6, huge=20), card)
    assert [one.models for one in told.together] == [("a",)]
    assert sets_of(declared(card, huge=20), card).together == ()


def test_the_search_ends_and_says_so() -> None:
    card = [place("card", 10)]
    told = sets_of(declared(card, **{f"m{index:02}": 1.0 for index in range(20)}), card)
    assert not told.is_all
    assert told.together
    assert all(len(one.models) == 10 for one in told.together)
