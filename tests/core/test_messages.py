from typing import get_args

from proxy.core import messages


def test_every_event_and_command_is_frozen_so_that_no_one_changes_what_was_said() -> None:
    for kind in (*get_args(messages.Event), *get_args(messages.Command)):
        assert kind.__dataclass_params__.frozen, kind


def test_no_message_is_both_an_event_and_a_command() -> None:
    assert not set(get_args(messages.Event)) & set(get_args(messages.Command))


def test_a_request_counts_once_and_its_client_waits_as_long_as_anybody_unless_it_says_otherwise() -> None:
    event = messages.RequestArrived(1, "a")
    assert (event.by_hand, event.priority, event.deadline_s) == (None, 1.0, None)


def test_an_engine_is_asked_to_end_before_it_is_made_to() -> None:
    assert messages.StopEngine("a") == messages.StopEngine("a", at_once=False)
