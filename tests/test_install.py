"""bin/install.py: what it decides; that it installs is shown by every fresh checkout."""

import fcntl
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.installation import CHECKOUT


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, working on a folder of its own."""
    found = importlib.util.spec_from_file_location("install", CHECKOUT / "bin" / "install.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def test_pytorchs_own_index_is_asked_for_nothing_but_pytorch_and_only_where_pip_finds_none(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, ...]] = []

    def step(title: str, folder: Path, *arguments: str) -> None:
        steps.append(arguments)
        if install.TORCH_INDEX not in arguments:
            raise install.InstallError("ERROR: No matching distribution found for torch==2.13.0+cpu")

    monkeypatch.setattr(install, "_step", step)
    install._install_torch(Path("x"))
    assert [install.TORCH_INDEX in arguments for arguments in steps] == [False, True]
    assert all(arguments[-1] == install.TORCH for arguments in steps)
    assert "--no-deps" in steps[1]


def test_a_patch_of_python_makes_no_environment_stale_and_another_python_does(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in install.VLLM_PINS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a==1")
    folder = tmp_path / "opt" / ".venv-vllm"
    assert not install.replaces_vllm(folder.parent, "cpu"), "there is none to be replaced"
    folder.mkdir(parents=True)
    assert install.replaces_vllm(folder.parent, "cpu")
    (folder / install.STAMP).write_text(install._vllm_stamp(folder.parent, "cpu"))
    monkeypatch.setattr(install.sys, "version", "3.11.99 (main, Jan 1 2030) [GCC 99]")
    assert not install.replaces_vllm(folder.parent, "cpu")
    assert install.replaces_vllm(folder.parent, "cuda")
    monkeypatch.setattr(install.sys.implementation, "cache_tag", "cpython-399")
    assert install.replaces_vllm(folder.parent, "cpu")


def test_another_failure_is_not_taken_for_a_missing_wheel(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(title: str, folder: Path, *arguments: str) -> None:
        raise install.InstallError("No space left on device")

    monkeypatch.setattr(install, "_step", step)
    with pytest.raises(install.InstallError, match="No space left"):
        install._install_torch(Path("x"))


def test_an_environment_is_done_only_for_the_pins_it_was_made_from(install: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pins").write_text("a==1")
    (tmp_path / ".venv").mkdir()
    stamp = install._stamp("pins")
    (tmp_path / ".venv" / install.STAMP).write_text(stamp)
    assert install._is_done(tmp_path / ".venv", stamp)
    (tmp_path / "pins").write_text("a==2")
    assert not install._is_done(tmp_path / ".venv", install._stamp("pins"))
    assert not install._is_done(tmp_path / ".venv-vllm", stamp)


def test_an_environment_in_use_is_not_made_anew(install: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / "var" / "run").mkdir(parents=True)
    with (tmp_path / "var" / "run" / "proxy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(install.InstallError, match=r"stop rota, or bin/manage_vllm\.sh stop-service"):
            install._make(tmp_path / ".venv")
    assert not install.is_running(tmp_path / "var")


def test_the_cpu_builds_torchvision_is_mended_so_that_it_can_be_imported(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = tmp_path / ".venv-vllm" / "lib" / "python3.11" / "site-packages"
    (site / "torchvision").mkdir(parents=True)
    (site / "torchvision" / "extension.py").write_text("def _has_ops():\n    return False\n")
    removed: list[str] = []

    def runs(folder: Path, code: str) -> bool:
        return "torch.library.define" in (site / "torchvision" / "extension.py").read_text()

    monkeypatch.setattr(install, "_runs", runs)
    monkeypatch.setattr(install, "_step", lambda title, folder, *arguments: removed.extend(arguments))
    install._mend_cpu_build(tmp_path / ".venv-vllm")
    assert removed == []
    compile((site / "torchvision" / "extension.py").read_text(), "extension.py", "exec")
    assert [path.name for path in site.glob("*.dist-info")] == [f"vllm-{install.VLLM_VERSION}+cpu.dist-info"]
