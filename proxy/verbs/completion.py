"""The verb `completion`: what a shell needs to complete verbs, options, models and programs.

Rule: completing a name asks nobody and starts no Python, so that it is there at once: models are the names of
supervisord's program files, which `render` writes.
"""

import argparse
import shlex
from typing import Any

import shtab

from proxy.settings import Layout
from proxy.verbs.verbs import EXIT_DONE, Verbs

SHELLS = ("bash", "zsh")

_BASH = """
_rota_models() {{
    local name names=""
    for name in {programs}/engine-*.conf; do
        name=${{name##*/engine-}}
        [ -e {programs}/engine-"$name" ] && names="$names ${{name%.conf}}"
    done
    compgen -W "$names{others}" -- "$1"
}}
"""
_ZSH = """
_rota_models() {{
    local -a names
    names=({programs}/engine-*.conf(N:t:r:s/engine-//){others})
    _describe model names
}}
"""


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = 'Print what a shell needs to complete this command: eval "$(bin/manage_vllm.sh completion bash)".'
    sub = verbs.add("completion", completion, what)
    sub.add_argument("shell", choices=SHELLS, help="which shell")
    sub.set_defaults(verbs=verbs)


def completion(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status, like all of them."""
    print(script(arguments.verbs.parser, arguments.shell, here))
    return EXIT_DONE


def script(parser: argparse.ArgumentParser, shell: str, here: Layout) -> str:
    """For `shell`, of the installation `here`."""
    _complete_models(parser)
    programs = shlex.quote(str(here.programs))
    functions = {"bash": _BASH, "zsh": _ZSH}[shell].format(programs=programs, others=" proxy supervisord")
    preamble: Any = {shell: functions}  # its type says text, and it is looked up by shell
    return str(shtab.complete(parser, shell, preamble=preamble))


def _complete_models(parser: argparse.ArgumentParser) -> None:
    """Have whatever takes a model complete by their names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _complete_models(sub)
        elif action.metavar == "MODEL":
            action.complete = dict.fromkeys(SHELLS, "_rota_models")  # type: ignore[attr-defined]
        elif action.metavar in ("FOLDER", "FILE"):
            action.complete = shtab.DIRECTORY if action.metavar == "FOLDER" else shtab.FILE  # type: ignore[attr-defined]
