import hashlib
import subprocess
from pathlib import Path

from proxy.adapters.weights import hash_of, stamp_of


def write(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "b.safetensors").write_bytes(b"b" * 1000)
    (folder / "a.json").write_text("{}")
    (folder / "deep" / "c").write_text("c")
    (folder / "rota-source.json").write_text("ours")
    return folder


def test_the_hash_is_what_sha256sum_says_of_all_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    argv = ["sha256sum", "a.json", "b.safetensors", "deep/c"]
    listed = subprocess.run(argv, cwd=folder, capture_output=True, check=True)  # found by PATH: a test
    assert hash_of(folder) == hashlib.sha256(listed.stdout).hexdigest()


def test_another_byte_or_name_is_another_hash_and_our_own_notes_are_not_looked_at(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    before = hash_of(folder), stamp_of(folder)
    (folder / "rota-source.json").write_text("other")
    assert (hash_of(folder), stamp_of(folder)) == before
    (folder / "a.json").write_text("[]")
    assert hash_of(folder) != before[0]
    assert stamp_of(folder) != before[1]
    (folder / "a.json").write_text("{}")
    (folder / "a.json").rename(folder / "z.json")
    assert hash_of(folder) != before[0]


def test_one_file_is_a_model_too_and_what_is_not_there_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "model") / "b.safetensors"
    digest = hashlib.sha256(b"b" * 1000).hexdigest()
    assert hash_of(path) == hashlib.sha256(f"{digest}  b.safetensors\n".encode()).hexdigest()
    assert stamp_of(tmp_path / "nothing") == []
