import pytest

from proxy.core.states import HOLDS_VRAM, MOVES, EngineState, IllegalMove, check_move


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(EngineState)


def test_every_state_can_be_reached_and_left() -> None:
    assert {new for moves in MOVES.values() for new in moves} == set(EngineState)
    assert all(MOVES.values())


@pytest.mark.parametrize("old", list(EngineState))
@pytest.mark.parametrize("new", list(EngineState))
def test_a_move_that_the_table_does_not_have_raises(old: EngineState, new: EngineState) -> None:
    if new in MOVES[old]:
        check_move("m", old, new)
    else:
        with pytest.raises(IllegalMove, match=f"m: {old} -> {new}"):
            check_move("m", old, new)


def test_memory_is_only_given_up_by_leaving_stopping() -> None:
    for old, news in MOVES.items():
        for new in news:
            if old in HOLDS_VRAM and new not in HOLDS_VRAM:
                assert old is EngineState.STOPPING
