"""The verbs that read the audit: is it whole, what was asked, what was done, a table. They need no service."""

import argparse
import codecs
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from proxy import daemon
from proxy.adapters.audit_folder import AuditError, read_deleted, read_head, read_key, segments_in
from proxy.core.audit_check import Fault, check
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_rows import Wanted, WantedActs, acts_of, as_csv, lines_of, rows_of
from proxy.core.moments import beginning
from proxy.settings import Layout
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, Verbs

TRIES = 3


def add_to(verbs: Verbs) -> None:
    """Add them."""
    acts = verbs.add_group("audit", "What was asked and done, by whom; and whether all of it is still there.")
    verify_ = acts.add("verify", verify, "Find any line that was changed, removed, inserted, swapped or cut off.")
    verify_.add_argument(
        "--head", metavar="N:HASH", type=_noted, help="what an earlier verify has said: it must be there"
    )
    find_ = acts.add("find", find, "Show requests, one JSON object a line; of texts only hashes are kept.")
    text = find_.add_mutually_exclusive_group()
    text.add_argument("--text", help="was exactly this said, by a client or to one")
    text.add_argument(
        "--text-file", metavar="FILE", type=Path, help="the same of what is in FILE (- is stdin), as a recording"
    )
    text.add_argument("--hash", help="the hash of a text, as a line has it")
    for name, of in (("key", "key"), ("agent-type", "agent type"), ("model", "model"), ("id", "request id")):
        find_.add_argument(f"--{name}", metavar=name.upper(), help=f"of this {of}")
    _add_last(find_)
    _add_times(find_)
    acts_ = acts.add("acts", show_acts, "Show starts, stops, keys, reloads and their like, one JSON object a line.")
    acts_.add_argument("--who", metavar="TEXT", help="by whom, or a part of that: a key's name, a user's")
    acts_.add_argument("--model", metavar="MODEL", help="to this model")
    _add_last(acts_)
    _add_times(acts_)
    export_ = acts.add("export", export, "Write all requests as CSV.")
    _add_times(export_)


def verify(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status, like all of them: 1 where it is not whole."""
    key = _key(here)
    for _ in range(TRIES):
        head, before = read_head(here.audit), read_deleted(here.audit)  # before the lines: the proxy may be writing
        try:
            told = check(segments_in(here.audit), head, key, before, arguments.head)
        except AuditError:
            if read_deleted(here.audit) == before:
                raise
        if read_deleted(here.audit) == before:  # else the proxy has deleted some meanwhile
            break
    if isinstance(told, Fault):
        print(f"NOT WHOLE: {told}")
        return EXIT_FAILED
    print(f"whole: {told.lines} lines in {told.segments} segments")
    if before is not None:
        print(f"lines up to {before.n} have been deleted, as the setting audit_keep_days says")
    if told.is_noted_deleted:
        print(f"line {arguments.head[0]}, which was noted, has been deleted as well: nothing can be compared with it")
    if told.unsigned:
        print(f"the last {told.unsigned} were written since it was signed (every 0.2 s while the proxy runs)")
    if told.torn:
        print(f"{told.torn} bytes at its end are no lines: what was being written when the proxy, or the power, went")
    if head is not None:
        print(f"head {head.n}:{head.hash}")
    return EXIT_DONE


def find(here: Layout, arguments: argparse.Namespace) -> int:
    """Prints what was found; 1 where nothing was."""
    wanted = Wanted(
        hashes=_hashes(here, arguments),
        key=arguments.key,
        agent_type=arguments.agent_type,
        model=arguments.model,
        request_id=arguments.id,
        since=arguments.since,
        until=arguments.until,
    )
    rows = (row for row in _rows(here, arguments.since) if wanted.has(row))
    if wanted.hashes is not None:
        rows = (row | {"found_in": wanted.found_in(row)} for row in rows)
    return _show(rows, arguments.last)


def show_acts(here: Layout, arguments: argparse.Namespace) -> int:
    """Prints what was found; 1 where nothing was."""
    wanted = WantedActs(arguments.who, arguments.model, arguments.since, arguments.until)
    return _show((act for act in acts_of(_lines(here, arguments.since)) if wanted.has(act)), arguments.last)


def export(here: Layout, arguments: argparse.Namespace) -> int:
    """All of a time, or simply all."""
    wanted = Wanted(since=arguments.since, until=arguments.until)
    for line in as_csv(row for row in _rows(here, arguments.since) if wanted.has(row)):
        sys.stdout.write(line)
    return EXIT_DONE


def _show(told: Iterable[dict[str, Any]], last: int | None) -> int:
    found = deque(told, maxlen=last)
    for one in found:
        print(json.dumps(one))
    return EXIT_DONE if found else EXIT_FAILED


def _rows(here: Layout, since: str | None) -> Iterator[dict[str, Any]]:
    return rows_of(_lines(here, since), is_cut=since is not None)


def _lines(here: Layout, since: str | None) -> Iterator[dict[str, Any]]:
    """Of segments that end before `since`, none is read. Raises: AuditError, where there is no audit."""
    _key(here)
    yield from lines_of(segments_in(here.audit, since=since, may_go=True))


def _hashes(here: Layout, arguments: argparse.Namespace) -> frozenset[str] | None:
    if arguments.hash is not None:
        return frozenset({arguments.hash.lower()})
    if arguments.text is not None:
        said = arguments.text.encode(errors="surrogateescape")
    elif (file := arguments.text_file) is not None:
        try:
            said = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        except OSError as error:
            raise daemon.DaemonError(str(error)) from error
    else:
        return None
    return frozenset(map(Hasher(_key(here)).of_bytes, _spellings(said)))


def _spellings(said: bytes) -> set[bytes]:
    """As it is; with the ends of its lines as on Unix and as on Windows, and without the last one; without a BOM."""
    text = said.removeprefix(codecs.BOM_UTF8)
    unix = text.replace(b"\r\n", b"\n")
    each = {said, text, unix, unix.replace(b"\n", b"\r\n")}
    return each | {one.removesuffix(b"\n").removesuffix(b"\r") for one in each}


def _key(here: Layout) -> bytes:
    """Raises: AuditError, where there is no audit."""
    if not (here.audit / "audit.key").exists():
        raise AuditError(f"there is no audit in {here.audit}: the proxy has not run yet, or with audit: false")
    return read_key(here.audit)


def _noted(text: str) -> tuple[int, str]:
    """A head as verify prints it. Raises: ArgumentTypeError."""
    number, colon, told = text.partition(":")
    if not (colon and number.isascii() and number.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is no head: it is printed as NUMBER:HASH")
    return int(number), told


def _add_last(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--last", metavar="N", type=_count, help="only the last so many of them")


def _add_times(sub: argparse.ArgumentParser) -> None:
    since = "then or later, as 2026-11-26 or 2026-11-26T14:30 (UTC)"
    sub.add_argument("--since", metavar="TIME", type=_moment, help=since)
    sub.add_argument("--until", metavar="TIME", type=_moment, help="before then")


def _moment(text: str) -> str:
    try:
        return beginning(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)
