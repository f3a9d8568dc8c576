from typing import get_args

from proxy.core import messages


def test_every_event_and_command_is_frozen_so_that_no_one_changes_what_was_said() -> None:
    for kind in (*get_args(messages.Event), *get_args(messages.Command)):
        assert kind.__dataclass_params__.frozen, kind


def test_no_message_is_both_an_event_and_a_command() -> None:
    assert not set(get_args(messages.Event)) & set(get_args(messages.Command))
