"""The verb that brings weights; `bin/download_models.py` is the same, from before anything else is there."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from proxy.settings import Layout, load_settings
from proxy.verbs.catalogs import NoSuchModel, add_catalog, catalog_of, picked
from proxy.verbs.hardware import Advice
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, Verbs

EXIT_TERMINATED = 143
WHAT = """\
Fetch the weights of models, in order of `priority`, 1 first; what is interrupted goes on the next time. What is there
already is compared with what was downloaded: where a size differs it is repaired, with --repair also where a hash does.
Exit status: 0 where all is there; 1 where something failed, of --all and --dry-run also where the disk has no room for
all; 2 for wrong arguments."""


class _Terminated(BaseException):
    """SIGTERM came."""


def add_to(verbs: Verbs) -> None:
    """Add it."""
    sub = verbs.add("download", download, "Fetch the weights of models, or repair them.")
    sub.description = WHAT
    add_arguments(sub)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Let `sub` take what `download` needs."""
    sub.add_argument("models", nargs="*", metavar="MODEL", help="a model of the catalog, or of catalog/models")
    what = "every model of the catalog; with a GPU here, without those that fit on none; without a GPU, all of them"
    sub.add_argument("--all", action="store_true", help=what)
    many = sub.add_mutually_exclusive_group()
    many.add_argument("--sequential", action="store_true", help="one at a time, as without it")
    many.add_argument("--parallel", type=_count, metavar="N", help="so many at a time", default=1)
    add_catalog(sub)
    what = "compare the hashes of what is there too, not only the sizes: reads all of it, and fetches what is damaged"
    sub.add_argument("--repair", action="store_true", help=what)
    sub.add_argument("--dry-run", action="store_true", help="fetch the small files only, and say what would be done")


def download(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status."""
    if arguments.all == bool(arguments.models):
        print("name models, or say --all for every model of the catalog; not both", file=sys.stderr)
        return EXIT_USAGE
    # Here, since huggingface_hub takes a third of a second to import, which no other verb shall wait for.
    from catalog.download.download import Downloads, origin_of
    from catalog.download.outcome import Came
    from catalog.download.progress import Progress
    from catalog.download.stop import Stop

    settings = load_settings(here.root, os.environ)
    catalog = catalog_of(here, arguments.catalog)
    try:
        specs = picked(here, catalog, arguments.models)
    except NoSuchModel as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    advice = Advice(here, settings, catalog)
    progress, stop = Progress(), Stop()
    folder = None if settings.hub_folder is None else here.root / Path(settings.hub_folder).expanduser()
    origin = origin_of(settings.hub_endpoint, folder, stop, progress.say)
    downloads = Downloads(here.root, origin, progress, stop, advice.why_not)
    try:
        with _ended_by_sigterm():
            outcomes = downloads.run(
                specs,
                are_named=not arguments.all,
                at_once=arguments.parallel,
                dry_run=arguments.dry_run,
                repair=arguments.repair,
            )
    except (KeyboardInterrupt, _Terminated) as end:
        progress.say("interrupted; what was downloaded stays, and the same command goes on from there")
        return EXIT_INTERRUPTED if isinstance(end, KeyboardInterrupt) else EXIT_TERMINATED
    wrong = {Came.FAILED} if arguments.all else {Came.FAILED, Came.MISSING}
    return EXIT_FAILED if any(outcome.came in wrong for outcome in outcomes) else EXIT_DONE


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end what is done here as Ctrl-C does."""

    def end(_: int, __: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _count(text: str) -> int:
    """A number of downloads. Raises: argparse.ArgumentTypeError."""
    if not text.isdecimal() or not 1 <= int(text) <= 32:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 to 32")
    return int(text)
