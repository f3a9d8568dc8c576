import logging
from pathlib import Path

import pytest

from proxy.adapters.state_files import StateFile
from proxy.core.figures import Figures, Learned, figures_key
from proxy.core.probe import Answer

LEARNED: Learned = {figures_key("a", "0.32.0", "gpu0"): Figures(peak_bytes=7, kv_cache_bytes=3)}


def learned(path: Path) -> StateFile[Learned]:
    return StateFile(path, Learned, {})


def test_what_was_written_is_read_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "var" / "state" / "figures.json"
    assert learned(path).write(LEARNED)
    assert learned(path).read() == LEARNED
    assert [one.name for one in path.parent.iterdir()] == ["figures.json"]


def test_stops_and_probes_are_kept_the_same_way(tmp_path: Path) -> None:
    stops = StateFile(tmp_path / "stops.json", dict[str, str], {})
    assert stops.write({"a": "a person"})
    assert stops.read() == {"a": "a person"}
    probes = StateFile(tmp_path / "probes.json", dict[str, Answer], {})
    answers = {"a": Answer(text=" Rome"), "b": Answer(vector=(0.5, -1.0))}
    assert probes.write(answers)
    assert probes.read() == answers


def test_a_missing_file_is_the_default_and_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert learned(tmp_path / "figures.json").read() == {}
    assert caplog.messages == []


def test_the_default_is_not_shared_with_those_who_read_it(tmp_path: Path) -> None:
    file = learned(tmp_path / "figures.json")
    file.read().update(LEARNED)
    assert file.read() == {}


def test_a_file_cut_at_any_byte_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "figures.json"
    file = learned(path)
    file.write(LEARNED)
    whole = path.read_bytes()
    for length in range(len(whole.rstrip())):
        caplog.clear()
        path.write_bytes(whole[:length])
        assert file.read() == {}
        assert (tmp_path / "figures.json.corrupt").read_bytes() == whole[:length]
        assert not path.exists()
        assert len(caplog.messages) == 1
        assert "set aside as figures.json.corrupt" in caplog.text
    path.write_bytes(whole)
    assert file.read() == LEARNED


@pytest.mark.parametrize("content", [b"[]", b'{"a": 1}', b'{"a": {"peak_bytes": "7"}}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_of_another_form_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(content)
    assert learned(path).read() == {}
    assert (tmp_path / "figures.json.corrupt").read_bytes() == content


def test_a_corrupt_file_that_cannot_be_set_aside_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(b"{")
    (tmp_path / "figures.json.corrupt").mkdir()
    assert learned(path).read() == {}
    assert "cannot be set aside" in caplog.text


def test_a_folder_that_is_a_file_can_be_neither_read_nor_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("")
    file = learned(tmp_path / "state" / "figures.json")
    assert file.read() == {}
    assert "cannot be read" in caplog.text
    assert not file.write(LEARNED)
    assert "cannot be written" in caplog.text


def test_a_full_disk_leaves_the_old_file_and_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "figures.json"
    file = learned(path)
    file.write(LEARNED)
    tmp = tmp_path / "figures.json.tmp"
    for _ in range(3):
        tmp.symlink_to("/dev/full")
        assert not file.write({})
        assert not tmp.is_symlink()
    assert learned(path).read() == LEARNED
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "No space left" in caplog.text


def test_it_says_once_that_it_works_again_and_warns_anew_after_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "figures.json"
    file = learned(path)
    tmp = tmp_path / "figures.json.tmp"
    tmp.symlink_to("/dev/full")
    assert [file.write(LEARNED) for _ in range(3)] == [False, True, True]
    assert [("again" in message) for message in caplog.messages] == [False, True]
    tmp.symlink_to("/dev/full")
    assert not file.write(LEARNED)
    assert len(caplog.messages) == 3
