"""The journal keeps the last decisions, and only so many."""

from proxy.core.journal import MOST_ANSWERS, MOST_MOVES, Granted, Journal, Move, Refused
from proxy.core.states import EngineState

UP = (EngineState.STOPPED, EngineState.STARTING)


def test_it_tells_of_one_engine_the_newest_first_with_the_time_since() -> None:
    journal = Journal()
    journal.note_move(Move(1.0, "a", *UP, "wanted"))
    journal.note_answer(Granted(3.0, "a", 7, 2.0, 0))
    journal.note_answer(Refused(4.0, "a", 8, "queue_full", "too many"))
    journal.note_move(Move(5.0, "c", *UP, "wanted"))
    told = journal.about("a", 10.0)
    assert [(one.ago_s, one.what) for one in told] == [
        (6.0, "refuse (queue_full)"),
        (7.0, "grant"),
        (9.0, "stopped -> starting"),
    ]
    assert told[1].why == "ticket 7 had waited 2.0 s; it is served alone"


def test_what_was_done_to_others_for_its_sake_is_told_too_and_similar_names_are_not() -> None:
    journal = Journal()
    journal.note_move(Move(1.0, "b", *UP, "idle 3 s, frees 2.00 GiB for a: its oldest request has waited 1.0 s"))
    journal.note_move(Move(2.0, "b", *UP, "idle 3 s, frees 2.00 GiB for aa: its oldest request has waited 1.0 s"))
    assert [one.ago_s for one in journal.about("a", 5.0)] == [4.0]


def test_it_is_bounded_and_many_answers_do_not_push_moves_out() -> None:
    journal = Journal()
    for number in range(MOST_MOVES + 5):
        journal.note_move(Move(float(number), "a", *UP, "x"))
    for number in range(MOST_ANSWERS + 5):
        journal.note_answer(Granted(float(number), "b", number, 0.0, 0))
    assert len(journal.about("a", 0.0, most=10**6)) == MOST_MOVES
    assert len(journal.about("b", 0.0, most=10**6)) == MOST_ANSWERS
    assert len(journal.about("b", 0.0)) == 25


def test_the_moves_of_the_last_decision_are_known() -> None:
    journal = Journal()
    journal.note_move(Move(1.0, "a", *UP, "x"))
    journal.begin()
    journal.note_move(Move(2.0, "b", *UP, "x"))
    assert [one.model for one in journal.new_moves] == ["b"]
