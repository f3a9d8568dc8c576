"""Writes the parts of docs/ that the code itself knows: the catalog's keys, the errors, the manual page.

`make docs` runs it, and a test holds the files to it.
"""

import sys
from pathlib import Path

from catalog.schema import Key, keys
from catalog.spec import AgentRoute, Agents, ModelSpec, Source
from proxy.cli import command_line
from proxy.core import diagnose
from proxy.core.errors import RotaError
from proxy.core.remedies import REMEDIES
from proxy.manual import man_page
from proxy.settings import Layout

_MADE = "<!-- Made by `make docs` from the code. -->"

_CATALOG = f"""{_MADE}
# The catalog

A catalog is a folder: one YAML file a model, and `agents.yaml`. Memory is in GiB, times in seconds, paths are
relative to the project folder. Every key that is not listed is an error, which names the file, the line and the
nearest key that there is. `manage_vllm.sh check` holds all of it against reality, `plan` says what fits,
`reload` has a change count.
"""

_ERRORS = f"""{_MADE}
# Errors and what to do about them

The proxy's own errors carry the header `X-Rota-Error` with their code; those of vLLM come through as they are,
without it. The body is in OpenAI's form (on Anthropic's paths in Anthropic's): `message` says what was wrong
this time and what is allowed. Where waiting helps, `Retry-After` says how long.

| code | status | when | what to do |
|---|---|---|---|
"""

_STARTS = """
## Why an engine did not start

vLLM ends with 1 for every failure of a start, so the proxy reads the log of that start. The message of
`engine_start_failed` says the cause and the remedy. What is *passing* may be gone the next time, and is tried
again after `cool_down_s`; what is *lasting* is in the catalog or in the files, and is tried again when somebody
starts the model; what is *unknown* is tried again after twice as long each time.

| cause | lasts | what happened | what to do |
|---|---|---|---|
"""


def catalog_page() -> str:
    """Every key of a model's file and of agents.yaml."""
    parts = [_CATALOG]
    for title, kind, what in (
        ("A model's file", ModelSpec, "`NAME.yaml`, one a model."),
        ("Source", Source, "The key `source` of a model's file."),
        ("agents.yaml", Agents, "Who asks, and how much of the devices is used."),
        ("AgentRoute", AgentRoute, "One agent type of `agents.yaml`."),
    ):
        parts.append(f"\n## {title}\n\n{what}\n\n| key | value | if absent | what |\n|---|---|---|---|\n")
        parts.extend(map(_row_of_key, keys(kind)))
    return "".join(parts)


def errors_page() -> str:
    """Every error and every cause of a failed start, each with its remedy."""
    rows = [_row(f"`{one.code}`", one.status, _said(one), REMEDIES[one]) for one in all_errors()]
    causes = [_row(f"`{one.code}`", one.lasts, one.cause, one.remedy) for one in diagnose.all_diagnoses()]
    return "".join([_ERRORS, *rows, _STARTS, *causes])


def all_errors() -> list[type[RotaError]]:
    """By status and code."""
    found: list[type[RotaError]] = []

    def look(kind: type[RotaError]) -> None:
        found.append(kind)
        for below in kind.__subclasses__():
            if below.__module__.startswith("proxy."):
                look(below)

    look(RotaError)
    return sorted(set(found), key=lambda one: (one.status, one.code))


def manual() -> str:
    """manage_vllm.sh(1); the models are those of no catalog."""
    return man_page(command_line(Layout(Path("/there/is/none"))).parser)


def files() -> dict[str, str]:
    """What each file in docs/ is to hold."""
    return {"catalog.md": catalog_page(), "errors.md": errors_page(), "manage_vllm.1": manual()}


def _row_of_key(key: Key) -> str:
    default = "must be given" if key.default is None else key.default
    return _row(f"`{key.name}`", key.type, default, key.what)


def _said(kind: type[RotaError]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def main() -> int:
    """Write them."""
    root = Path(__file__).parents[1]
    for name, text in files().items():
        (root / "docs" / name).write_text(text)
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
