"""Asks the installed vLLM itself about models of the catalog: its parser, its registry, its configuration.

It runs in vLLM's environment, `.venv-vllm/bin/python -m catalog.check.vllm_check`, for all models in one process, since
importing vLLM takes 5 to 10 s: a `Question` as JSON on standard input, an `Answer` on standard output. No model is
loaded.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from catalog.check.check import Aspect
from catalog.check.vllm_config_check import config_faults
from catalog.check.vllm_question import Answer, Case, Fault, Question, one_line, short
from catalog.suggest import nearest


class _Refused(Exception):
    """vLLM's parser refuses a command line."""


def answer(question: Question) -> Answer:
    """Ask vLLM about each model."""
    import vllm
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]  # vLLM's environment is not mypy's
        def error(self, message: str) -> NoReturn:
            raise _Refused(message)

    parser = make_arg_parser(Parser(prog="vllm serve"))
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]  # noqa: SLF001
    faults = [fault for case in question.cases for fault in _faults(case, parser.parse_args, flags)]
    return Answer(vllm=vllm.__version__, faults=faults)


def _faults(case: Case, parse: Callable[[list[str]], argparse.Namespace], flags: list[str]) -> list[Fault]:
    from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args

    with _folder_of(case) as folder, _environment(case.env):
        argv = case.argv[1:] if folder is None else [folder, *case.argv[2:]]
        try:
            arguments = parse(argv)
        except _Refused as error:
            return [_refused_flag(case, str(error), flags)]
        except SystemExit:
            what = "one of its flags makes vLLM end at once (--help, --version)"
            return [Fault(model=case.model, aspect=Aspect.FLAGS, what=what)]
        except Exception as error:  # whatever a flag's type raises, it is this flag that is wrong
            return [Fault(model=case.model, aspect=Aspect.FLAGS, what=one_line(error))]
        arguments.model, arguments.subparser = arguments.model_tag, "serve"
        try:
            validate_parsed_serve_args(arguments)
        except Exception as error:  # vLLM has error types of its own, of no common base
            aspect = Aspect.TEMPLATE if "template" in str(error) else Aspect.FLAGS
            return [Fault(model=case.model, aspect=aspect, what=one_line(error))]
        faults = [*_template_faults(case, arguments.chat_template)]
        if folder is not None:
            faults += config_faults(case, arguments)
        return faults


@contextlib.contextmanager
def _folder_of(case: Case) -> Iterator[str | None]:
    """The folder that vLLM reads the config from; one with nothing else in it where the weights are not there."""
    weights = Path(case.argv[1])
    if weights.is_file() or (weights / "config.json").is_file():
        yield str(weights)
    elif case.config is None:
        yield None
    else:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_bytes(msgspec.json.encode(case.config))
            yield folder


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The model's own variables, while it is asked about: vLLM reads most of its own when it needs them."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _refused_flag(case: Case, message: str, flags: list[str]) -> Fault:
    """argparse's message in one line, and the flag that may have been meant."""
    remedy = None
    if unknown := re.search(r"unrecognized arguments: (--[^\s=]+)", message):
        name = unknown[1].lstrip("-")
        meant = nearest(name, [flag.lstrip("-") for flag in flags])
        what, remedy = f"this vLLM has no flag '{name}'", meant.strip() or "take it out of 'vllm_args'"
        return Fault(model=case.model, aspect=Aspect.FLAGS, what=what, remedy=remedy)
    if extra := re.search(r"unrecognized arguments: (.*)", message):
        what = f"a flag has more values than it takes: {extra[1]}"
        return Fault(model=case.model, aspect=Aspect.FLAGS, what=what)
    what = re.sub(r"argument (--[a-z0-9-]+)\S*: ", r"\1: ", " ".join(message.split()))
    return Fault(model=case.model, aspect=Aspect.FLAGS, what=short(what))


def _template_faults(case: Case, template: str | None) -> list[Fault]:
    """Whether the template is one for Jinja, as Transformers compiles it."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import _compile_jinja_template
    from vllm.renderers.chat_utils import load_chat_template

    if template is None:
        return []
    try:
        _compile_jinja_template(load_chat_template(template))
    except (TemplateError, ValueError, OSError) as error:
        line = f", line {number}" if (number := getattr(error, "lineno", None)) else ""
        what = f"its chat_template {template}{line} does not parse: {one_line(error)}"
        return [Fault(model=case.model, aspect=Aspect.TEMPLATE, what=what)]
    return []


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Read the question, write the answer. vLLM's own lines go to standard error."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    out = os.dup(1)
    os.dup2(2, 1)
    os.environ.update({"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", **environment})
    with os.fdopen(out, "wb") as stdout:
        stdout.write(msgspec.json.encode(answer(question)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
