from proxy.core.journal import Cause, Move
from proxy.core.states import EngineState as S
from proxy.core.tally import Tally


def test_acts_are_counted_by_how_they_ended_and_timed_where_they_went_well() -> None:
    tally = Tally()
    tally.note([Move(0.0, "a", S.STOPPED, S.STARTING, ""), Move(20.0, "a", S.STARTING, S.READY, "")])
    tally.note([Move(30.0, "a", S.READY, S.DRAINING, "", Cause.ROOM), Move(31.0, "a", S.DRAINING, S.STOPPING, "")])
    tally.note([Move(33.0, "a", S.STOPPING, S.STOPPED, "")])
    tally.note([Move(40.0, "b", S.STOPPED, S.STARTING, ""), Move(41.0, "b", S.STARTING, S.STOPPING, "")])
    assert tally.acts == {("a", "start", "ok"): 1, ("a", "stop", "ok"): 1, ("b", "start", "failed"): 1}
    assert tally.took["a", "start"].sum_s == 20.0
    assert tally.took["a", "stop"].sum_s == 2.0
    assert tally.evictions == {("a", Cause.ROOM): 1}


def test_sleeps_and_wakes_are_acts_too() -> None:
    tally = Tally()
    tally.note([Move(0.0, "a", S.FALLING_ASLEEP, S.ASLEEP, ""), Move(1.0, "a", S.ASLEEP, S.WAKING, "")])
    tally.note([Move(2.0, "a", S.WAKING, S.STOPPING, "")])
    assert tally.acts == {("a", "sleep", "ok"): 1, ("a", "wake", "failed"): 1}
