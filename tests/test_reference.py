"""What docs/ has from the code: all errors once, cells that stay cells, and files where they belong."""

from pathlib import Path

import pytest

from proxy import reference
from proxy.core.errors import RotaError


def test_errors_are_listed_once_by_status_and_code() -> None:
    errors = reference.all_errors()
    assert len(errors) == len(set(errors))
    assert RotaError in errors
    assert [one.status for one in errors] == sorted(one.status for one in errors)
    assert len({one.code for one in errors}) == len(errors)


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    for page in (reference.catalog_page(), reference.errors_page()):
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        assert rows
        for row in rows:
            assert row.replace("\\|", "").count("|") == 5, row


def test_main_writes_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(reference, "__file__", str(tmp_path / "proxy" / "reference.py"))
    assert reference.main() == 0
    assert {path.name for path in (tmp_path / "docs").iterdir()} == set(reference.files())
    assert capsys.readouterr().out.count("\n") == len(reference.files())
