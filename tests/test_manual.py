"""The manual page: every verb and option, in roff that renders without a word of warning."""

import argparse
import re
import shutil
import subprocess

import pytest

from proxy.cli import command_line
from proxy.manual import man_page
from proxy.settings import layout


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    found = [option for action in parser._actions for option in action.option_strings]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [option for sub in action.choices.values() for option in options_of(sub)]
    return found


def test_every_verb_and_every_option_is_in_it() -> None:
    verbs = command_line(layout())
    page = man_page(verbs.parser).replace("\\-", "-")
    for name in verbs.names:
        assert f"\\fB{name}" in page, name
    for act in ("keys make", "keys rotate", "audit verify", "audit find"):
        assert f".SS \\fB{act}\\fR" in page
    for option in set(options_of(verbs.parser)) - {"-h"}:
        assert option in page, option


def test_texts_of_any_kind_stay_texts() -> None:
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers().add_parser("do", description=".begins with a dot - and has a \\ in it")
    sub.add_argument("--level", choices=(1, 2), default=1, help="%(default)s is usual")
    sub.add_argument("--needed", required=True)
    sub.add_argument("what", nargs="*")
    page = man_page(parser)
    assert "\\&.begins with a dot \\- and has a \\e in it" in page
    assert ".SS \\fBdo\\fR [\\fB\\-\\-level\\fR 1|2] \\fB\\-\\-needed\\fR \\fINEEDED\\fR [\\fIWHAT\\fR]..." in page
    assert "1 is usual." in page


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here (apt install groff)")
def test_it_renders_without_a_warning() -> None:
    page = man_page(command_line(layout()).parser)
    argv = ["groff", "-man", "-ww", "-Tutf8"]
    done = subprocess.run(argv, input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in re.sub(".\x08", "", done.stdout)
