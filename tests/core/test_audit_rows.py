import csv
import io
from typing import Any

import pytest

from proxy.core.audit_rows import COLUMNS, Wanted, WantedActs, acts_of, as_csv, rows_of

BEGIN = {"n": 1, "kind": "begin", "at": "2026-01-02T00", "id": "r", "key": "desk", "model": "a", "prompt": "h1"}
END = {"n": 3, "of": 1, "kind": "end", "at": "2026-01-02T01", "id": "r", "key": "desk", "model": "a", "status": 200}
LATER = {"n": 4, "kind": "end", "at": "2026-01-03T00", "id": "s", "status": 404, "outcome": "refused"}
ACT = {
    "n": 2,
    "prev": "m",
    "kind": "act",
    "at": "2026-01-02T00:30",
    "who": "by the key desk",
    "what": "/engines/a/stop",
    "model": "a",
}
LINES = [BEGIN, ACT, END | {"answers": ["h2", "h3"], "outcome": "answered"}, LATER]


def test_a_row_is_a_request_with_its_end() -> None:
    first, second = rows_of(LINES)
    assert (first["at"], first["ended_at"], first["prompt"], first["status"]) == (
        "2026-01-02T00",
        "2026-01-02T01",
        "h1",
        200,
    )
    assert (second["id"], second["at"], second["status"]) == ("s", "2026-01-03T00", 404)


def test_a_request_whose_proxy_was_killed_has_no_end_and_the_same_id_is_no_matter() -> None:
    again = BEGIN | {"n": 9}
    rows = list(rows_of([BEGIN, again, END]))
    assert [row.get("outcome", "answered") for row in rows] == ["answered", "unknown"]
    assert [(row["n"], row.get("end_n")) for row in rows] == [(1, 3), (9, None)]


def test_what_a_killed_proxy_left_comes_before_what_the_next_one_did() -> None:
    began = {"n": 2, "kind": "act", "at": "2026-01-02T02", "who": "the proxy", "what": "began, pid 7, with no keys"}
    later = [BEGIN | {"n": 5, "id": "t"}, END | {"n": 6, "of": 5, "id": "t"}, BEGIN | {"n": 7, "id": "u"}]
    rows = [(row["id"], row.get("outcome")) for row in rows_of([BEGIN, began, LATER, *later])]
    assert rows == [("r", "proxy_killed"), ("s", "refused"), ("t", None), ("u", "unknown")]


def test_of_what_is_cut_off_no_half_is_told() -> None:
    assert [row["id"] for row in rows_of([END, LATER], is_cut=True)] == ["s"]
    assert [row["id"] for row in rows_of([END, LATER])] == ["r", "s"], "what retention has left of it is told"


def test_it_is_told_in_which_column_a_text_is() -> None:
    [row, _] = rows_of(LINES)
    assert Wanted(hashes=frozenset({"h1", "h3"})).found_in(row) == ["prompt", "answers"]
    assert Wanted().found_in(row) == []


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, "rs"),
        ({"hashes": frozenset({"h3"})}, "r"),
        ({"hashes": frozenset({"h1"})}, "r"),
        ({"hashes": frozenset({"h9"})}, ""),
        ({"key": "desk"}, "r"),
        ({"model": "a", "key": "other"}, ""),
        ({"request_id": "s"}, "s"),
        ({"since": "2026-01-03"}, "s"),
        ({"until": "2026-01-03"}, "r"),
        ({"agent_type": "Chat"}, ""),
    ],
)
def test_rows_are_found_by_what_is_known_of_them(wanted: dict[str, Any], ids: str) -> None:
    assert "".join(row["id"] for row in rows_of(LINES) if Wanted(**wanted).has(row)) == ids


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [
        ({}, True),
        ({"who": "desk"}, True),
        ({"who": "Desk"}, False),
        ({"model": "a", "since": "2026-01-02", "until": "2026-01-03"}, True),
        ({"model": "b"}, False),
        ({"since": "2026-01-03"}, False),
        ({"until": "2026-01-02"}, False),
    ],
)
def test_acts_are_found_by_who_did_them_and_when(wanted: dict[str, Any], *, is_found: bool) -> None:
    acts = [act for act in acts_of(LINES) if WantedActs(**wanted).has(act)]
    shown = {name: ACT[name] for name in ("at", "who", "what", "model")}
    assert acts == ([shown] if is_found else [])


def test_the_table_is_csv_and_no_cell_is_a_formula() -> None:
    lines = list(as_csv(rows_of([LATER | {"id": "=1+1", "error": 'a "quoted", one\n'}])))
    head, row = csv.reader(io.StringIO("".join(lines), newline=""))
    assert tuple(head) == COLUMNS
    told = dict(zip(head, row, strict=True))
    assert (told["id"], told["error"], told["status"]) == ("'=1+1", 'a "quoted", one\n', "404")
