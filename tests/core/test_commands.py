from typing import get_args

from proxy.core import commands, messages


def test_messages_has_every_command_so_that_one_name_is_enough_for_both_directions() -> None:
    for kind in get_args(commands.Command):
        assert getattr(messages, kind.__name__) is kind


def test_a_command_is_about_one_ticket_or_one_model() -> None:
    for kind in get_args(commands.Command):
        assert {"ticket", "model"} & set(kind.__dataclass_fields__), kind
