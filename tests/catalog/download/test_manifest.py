import subprocess
from pathlib import Path

from catalog.download.manifest import (
    MANIFEST_FILE,
    FileRecord,
    Manifest,
    fault_of,
    hash_of,
    read_manifest,
    records_of,
    write_manifest,
    write_whole,
)
from tests.catalog.download.hub_stage import faults_of


def manifest(folder: Path) -> Manifest:
    return Manifest(source="o/m", revision="main", commit="c", downloaded_at="now", files=records_of(folder))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("a")
    written = manifest(tmp_path)
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path) == written
    assert [record.path for record in written.files] == ["sub/a"]
    assert records_of(tmp_path) == written.files


def test_a_folder_without_one_or_with_a_broken_one_has_none_and_no_known_faults(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    (tmp_path / MANIFEST_FILE).write_text("{")
    assert read_manifest(tmp_path) is None
    assert faults_of(tmp_path) == []


def test_each_fault_is_named(tmp_path: Path) -> None:
    for name in ("changed", "gone", "right", "short"):
        (tmp_path / name).write_text("content")
    write_manifest(tmp_path, manifest(tmp_path))
    assert faults_of(tmp_path) == []
    (tmp_path / "changed").write_text("CONTENT")
    (tmp_path / "gone").unlink()
    (tmp_path / "short").write_text("conten")
    assert faults_of(tmp_path) == [
        "changed has another content than was downloaded (its sha256 differs)",
        "gone is missing",
        "short has 6 bytes and should have 7",
    ]
    assert [fault.split()[0] for fault in faults_of(tmp_path, with_hashes=False)] == ["gone", "short"]


def test_the_hash_of_a_small_file_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello\n" * 1000)
    argv = ["git", "hash-object", str(path)]
    gits = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    assert hash_of(path, "git-sha1") == f"git-sha1:{gits}"
    assert fault_of(path, FileRecord(path="x", size_bytes=6000, hash=f"git-sha1:{gits}")) is None


def test_without_a_hash_the_size_must_do(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("abc")
    assert fault_of(tmp_path / "x", FileRecord(path="x", size_bytes=3)) is None
    assert fault_of(tmp_path / "x", FileRecord(path="x", size_bytes=4)) == "x has 3 bytes and should have 4"


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b", b"1")
    write_whole(tmp_path / "a" / "b", b"22")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b").read_bytes() == b"22"
