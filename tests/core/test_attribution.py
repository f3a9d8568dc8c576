from hypothesis import given, strategies as st

from proxy.core.attribution import attribute
from proxy.core.devices import DeviceUse, Process

OURS = {10: "a", 11: "a", 20: "b"}


def use(used: int, *processes: Process) -> DeviceUse:
    return DeviceUse("card", used, processes)


def test_what_is_listed_under_an_engines_pids_is_that_engines() -> None:
    told = attribute(use(30, Process(10, 8), Process(11, 2), Process(20, 20)), OURS, {"a": 12, "b": 20})
    assert told.measured == {"a": 10, "b": 20}
    assert told.strangers.bytes == 0


def test_a_stranger_is_named_with_pid_command_and_bytes_the_largest_first() -> None:
    told = attribute(use(30, Process(10, 8), Process(7, 5, "small"), Process(8, 15, "train.py")), OURS, {"a": 12})
    assert told.strangers.bytes == 22, "two bytes are held that nobody is listed for"
    assert str(told.strangers) == "pid 8 (train.py), pid 7 (small)"


def test_what_cannot_be_seen_is_taken_for_the_engine_that_should_be_there() -> None:
    """In a container NVML lists the host's pids."""
    told = attribute(use(15, Process(99010, 12)), OURS, {"a": 12})
    assert (told.measured, told.assumed) == ({}, {"a": 12})
    assert told.strangers.bytes == 3
    assert told.strangers.processes == ()


def test_an_engine_that_is_to_start_does_not_hide_a_visible_stranger() -> None:
    told = attribute(use(12, Process(7, 12, "train.py")), OURS, {"a": 12})
    assert told.strangers.bytes == 12
    assert told.held_bytes("a") == 0


def test_where_the_driver_gives_no_figures_the_reservations_stand_for_them() -> None:
    told = attribute(use(15, Process(10, None), Process(7, None, "other")), OURS, {"a": 12})
    assert told.assumed == {"a": 12}
    assert (told.strangers.bytes, str(told.strangers)) == (3, "pid 7 (other)")


def test_memory_that_was_not_given_back_is_a_strangers_once_its_engine_is_released() -> None:
    assert attribute(use(12), OURS, {"a": 12}).strangers.bytes == 0
    gone = attribute(use(12), OURS, {}).strangers
    assert (gone.bytes, str(gone)) == (12, "processes that cannot be named")


@given(
    st.integers(0, 100),
    st.lists(st.builds(Process, st.integers(1, 30), st.none() | st.integers(0, 40), st.sampled_from(["", "x"]))),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 30)),
)
def test_every_byte_is_somebodys_and_nobody_is_given_more_than_is_used(
    used: int, processes: list[Process], reserved: dict[str, int]
) -> None:
    told = attribute(use(used, *processes), OURS, reserved)
    parts = sum(told.measured.values()) + sum(told.assumed.values()) + told.strangers.bytes
    listed = sum(process.bytes or 0 for process in processes if process.pid in OURS or process.command)
    assert parts == max(used, listed)
