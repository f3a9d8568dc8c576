"""What vLLM is asked about models of the catalog and what it answers, as both environments read it. Pure."""

from typing import Any

import msgspec

from catalog.check.check import Aspect

LONGEST_LINE = 300


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One model: `argv` as its engine would get it, from "serve" on; `config` stands in where no weights are there.

    `env` are the model's own variables; `capability` is the lowest compute capability of the GPUs that it may run on,
    None where there is none.
    """

    model: str
    argv: list[str]
    env: dict[str, str] = {}
    config: dict[str, Any] | None = None
    embedder: bool = False
    capability: tuple[int, int] | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All models that are asked about."""

    cases: list[Case]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What vLLM says is wrong, in one line, and the remedy where there is one."""

    model: str
    aspect: Aspect
    what: str
    remedy: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and by which vLLM."""

    vllm: str
    faults: list[Fault]


def one_line(error: Exception) -> str:
    """The first thing that an error says, without the frame that pydantic puts around it."""
    errors = getattr(error, "errors", None)
    if callable(errors) and (told := errors()):
        where = ".".join(str(step) for step in told[0].get("loc", ()))
        said = str(told[0]["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return short(f"{where}: {said}" if where else said)
    return short(str(error) or type(error).__name__)


def short(text: str) -> str:
    """`text` as one line that is not too long to read."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "..."
