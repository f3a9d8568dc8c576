import pytest

from proxy.core.states import (
    ABSENT,
    AWAKE,
    CHANGING,
    HOLDS_VRAM,
    IN_TRANSITION,
    MOVES,
    RUNS,
    EngineState,
    IllegalMove,
    Swap,
    check_move,
    swap_from,
)


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


def test_a_start_begins_where_no_memory_is_held_whether_or_not_a_process_prepares() -> None:
    assert {old for old, news in MOVES.items() if EngineState.STARTING in news} == ABSENT
    assert not ABSENT & HOLDS_VRAM
    assert {EngineState.PARKED} == ABSENT & RUNS


def test_one_that_prepares_serves_only_after_a_start_and_may_be_ended_before() -> None:
    assert MOVES[EngineState.PARKED] == {EngineState.STARTING, EngineState.STOPPING}


def test_what_holds_memory_and_does_not_last_is_a_transition() -> None:
    assert CHANGING & HOLDS_VRAM == IN_TRANSITION
    assert not CHANGING & AWAKE
    assert IN_TRANSITION | AWAKE | {EngineState.ASLEEP} == HOLDS_VRAM


def test_every_state_says_what_an_engine_has_to_do_for_a_request() -> None:
    assert {state for state in EngineState if swap_from(state) is Swap.NONE} == AWAKE
    assert swap_from(EngineState.ASLEEP) is Swap.WAKE
    assert swap_from(EngineState.STARTING) is swap_from(EngineState.FAILED) is swap_from(None) is Swap.START
