from proxy.core.devices import NOBODY, Placing, Process, Strangers


def test_a_process_is_named_with_its_pid_and_command_as_far_as_they_can_be_seen() -> None:
    assert str(Process(7, 5, "python train.py")) == "pid 7 (python train.py)"
    assert str(Process(7, None)) == "pid 7 (not visible from here)"


def test_strangers_are_named_all_of_them_or_said_to_have_no_name() -> None:
    assert str(Strangers(9, (Process(7, 5, "a"), Process(8, 4, "b")))) == "pid 7 (a), pid 8 (b)"
    assert str(NOBODY) == "processes that cannot be named"


def test_a_placing_holds_its_bytes_on_each_of_its_devices() -> None:
    assert Placing(("x", "y"), 3).as_mapping() == {"x": 3, "y": 3}
