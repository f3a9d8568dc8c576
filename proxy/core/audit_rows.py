"""The lines of an audit as requests, what was asked beside what became of it; and as acts. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.core.audit_check import Segment
from proxy.core.audit_records import BEGAN, PROXY

COLUMNS = (
    *("at", "id", "key", "client", "endpoint", "agent_type", "model", "engine", "weights", "sampling"),
    *("outcome", "status", "error", "fallback", "waited_s", "first_byte_s", "total_s", "prompt_tokens"),
    *("answer_tokens", "prompt", "messages", "body", "answer", "answers", "ended_at", "n", "end_n"),
)
"""Of a row; `ended_at` is when its end was known, which is absent where the proxy was killed before; `n` and `end_n`
are the numbers of its lines.
"""
_HASHES = ("prompt", "messages", "body", "answer", "answers")


@dataclass(frozen=True, slots=True)
class WantedActs:
    """Which acts are looked for; None is any. `who` is a part of what stands there."""

    who: str | None = None
    model: str | None = None
    since: str | None = None
    until: str | None = None

    def has(self, act: dict[str, Any]) -> bool:
        """Whether it is one of them."""
        if self.who is not None and self.who not in act.get("who", ""):
            return False
        return (self.model is None or act.get("model", "") == self.model) and _is_within(act, self.since, self.until)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests are looked for; None is any. `hashes` are of texts, `since` and `until` beginnings of moments."""

    hashes: frozenset[str] | None = None
    key: str | None = None
    agent_type: str | None = None
    model: str | None = None
    request_id: str | None = None
    since: str | None = None
    until: str | None = None

    def has(self, row: dict[str, Any]) -> bool:
        """Whether it is one of them."""
        for name, value in (("key", self.key), ("agent_type", self.agent_type), ("model", self.model)):
            if value is not None and row.get(name, "") != value:
                return False
        if self.request_id is not None and row["id"] != self.request_id:
            return False
        if not _is_within(row, self.since, self.until):
            return False
        return self.hashes is None or bool(self.found_in(row))

    def found_in(self, row: dict[str, Any]) -> list[str]:
        """In which of its columns the text is."""
        hashes = self.hashes or ()
        return [name for name in _HASHES if any(one in hashes for one in _listed(row.get(name)))]


def lines_of(segments: Iterable[Segment]) -> Iterator[dict[str, Any]]:
    """All whole lines, decoded; what is no line is left out."""
    for segment in segments:
        for line in segment.content.split(b"\n")[:-1]:
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue


def rows_of(lines: Iterable[dict[str, Any]], *, is_cut: bool = False) -> Iterator[dict[str, Any]]:
    """One for each request, in the order of their ends: for those that were under way as a proxy was killed, that is
    where the next one began; those behind that which have none come last.

    Where the beginning `is_cut` off, what had begun before is left out.
    """
    begun: dict[int, dict[str, Any]] = {}
    for line in lines:
        match line.get("kind"):
            case "begin":
                begun[line["n"]] = line
            case "end":
                first = begun.pop(line.get("of", 0), {})
                if first or not is_cut or not line.get("of"):
                    more = {"at": first.get("at", line["at"]), "n": first.get("n"), "ended_at": line["at"]}
                    yield _row(first | line | more | {"end_n": line["n"]})
            case "act" if line.get("who") == PROXY and line.get("what", "").startswith(BEGAN):
                yield from _without_end(begun, "proxy_killed")
            case _:
                pass
    yield from _without_end(begun, "unknown")


def _without_end(begun: dict[int, dict[str, Any]], outcome: str) -> Iterator[dict[str, Any]]:
    for first in begun.values():
        yield _row(first | {"outcome": outcome})
    begun.clear()


def acts_of(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What was done, in its order: when, by whom, what, to which model, where it was to one."""
    for line in lines:
        if line.get("kind") == "act":
            yield {name: line[name] for name in ("at", "who", "what", "model") if name in line}


def as_csv(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """RFC 4180, with a head. What a spreadsheet would take for a formula is no formula any more."""
    yield _written(COLUMNS)
    for row in rows:
        yield _written(_cell(row.get(name, "")) for name in COLUMNS)


def _is_within(told: dict[str, Any], since: str | None, until: str | None) -> bool:
    return (since is None or told["at"] >= since) and (until is None or told["at"] <= until)


def _row(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in COLUMNS if line.get(name) is not None}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={one}" for name, one in value.items())
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _written(cells: Iterable[str]) -> str:
    into = io.StringIO()
    csv.writer(into).writerow(cells)
    return into.getvalue()
