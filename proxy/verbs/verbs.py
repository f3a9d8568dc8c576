"""What all verbs share: how one is added to the command line, how the running proxy is asked, the exit statuses."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx

from catalog.suggest import nearest
from catalog.yaml_file import CatalogError
from proxy import daemon
from proxy.adapters import programs
from proxy.settings import Layout
from proxy.verbs.catalogs import catalog_of

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3
EXIT_SIGNALLED = 128
"""As of a shell, and the signal's number more."""
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

Verb = Callable[[Layout, argparse.Namespace], int]


class Verbs:
    """The command line as it is put together. `models` are the names that may be given where a model is asked for."""

    def __init__(self, here: Layout) -> None:
        self.models = _models(here)
        self.parser = argparse.ArgumentParser(
            prog="manage_vllm.sh", description="Looks after Rota: models, engines, service."
        )
        self._verbs = self.parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="name")

    def __repr__(self) -> str:
        return f"<Verbs {', '.join(self.names)}>"

    @property
    def names(self) -> list[str]:
        """All verbs so far."""
        return list(self._verbs.choices)

    def add(self, name: str, verb: Verb, what: str) -> argparse.ArgumentParser:
        """Add one; returns its parser, for its arguments."""
        sub = self._verbs.add_parser(name, help=what, description=what)
        sub.set_defaults(verb=verb)
        return sub

    def add_group(self, name: str, what: str) -> "Group":
        """Add a verb that is a word before several others; returns them."""
        sub = self._verbs.add_parser(name, help=what, description=what)
        return Group(sub.add_subparsers(title="acts", metavar="ACT", required=True, dest="act"))

    def takes_model(self, sub: argparse.ArgumentParser, *, nargs: str | None = None) -> None:
        """Let `sub` take a model's name as `model`; with `nargs` several, as `models`."""
        self.takes(sub, "model" if nargs is None else "models", self.models, nargs=nargs)

    def takes(self, sub: argparse.ArgumentParser, name: str, names: Sequence[str], *, nargs: str | None = None) -> None:
        """Let `sub` take one of `names`, or several."""
        sub.add_argument(
            name,
            metavar="MODEL",
            nargs=nargs,
            type=_one_of(names),
            help=f"one of {', '.join(names)}" if names else "a model of the catalog",
        )


class Group:
    """The second words of one verb."""

    def __init__(self, acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        self._acts = acts

    def __repr__(self) -> str:
        return f"<Group {', '.join(self._acts.choices)}>"

    def add(self, name: str, verb: Verb, what: str) -> argparse.ArgumentParser:
        """As `Verbs.add`."""
        sub = self._acts.add_parser(name, help=what, description=what)
        sub.set_defaults(verb=verb)
        return sub


def ask(here: Layout, path: str, **query: str | list[str]) -> dict[str, Any]:
    """What the proxy says at `path`. Raises: DaemonError."""
    with daemon.client(here) as proxy:
        return answer(proxy.get(path, params=query))


def answer(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON. Raises: DaemonError, with the proxy's own message, if it is an error."""
    told: dict[str, Any] = response.json()
    if response.is_error:
        raise daemon.DaemonError(told["error"]["message"])
    return told


def _models(here: Layout) -> list[str]:
    """The models there are programs for; before the first start those of the catalog, if it can be read."""
    if names := programs.names(here.programs):
        return names
    with suppress(CatalogError):
        return list(catalog_of(here).models)
    return []


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    """What takes an argument that must be one of `names`, and suggests the nearest where it is not."""

    def take(name: str) -> str:
        if name not in names:
            known = ", ".join(map(repr, names)) or "nothing: there is no catalog"
            raise argparse.ArgumentTypeError(f"there is no '{name}'.{nearest(name, list(names))} (choose from {known})")
        return name

    return take
