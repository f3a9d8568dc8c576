import sys
from pathlib import Path

import pytest

from catalog.interpreter import package_folders, python_of


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "env" / "bin" / "vllm"
    path.parent.mkdir(parents=True)
    return path


def test_the_interpreter_is_the_one_that_the_script_names(executable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable.write_text(f"#!{sys.executable}\nimport vllm\n")
    assert python_of(executable) == Path(sys.executable)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    executable.write_text("#!/usr/bin/env python3\n")
    assert python_of(executable) == Path(sys.executable).parent / "python3"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"#!/bin/sh\n", b"#!/nowhere/python3\n", b"#!/usr/bin/env\n"])
def test_where_it_names_none_it_is_the_one_beside_it(executable: Path, content: bytes) -> None:
    assert python_of(executable) == executable.parent / "python", "it is not there"
    executable.write_bytes(content)
    assert python_of(executable) == executable.parent / "python"


def test_packages_are_where_pip_and_where_distributions_put_them(executable: Path, tmp_path: Path) -> None:
    assert package_folders(executable) == []
    names = ["site-packages", "dist-packages"]
    folders = [tmp_path / "env" / "lib" / "python3.12" / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
    assert package_folders(executable) == folders
    link = tmp_path / "elsewhere" / "bin" / "vllm"
    link.parent.mkdir(parents=True)
    executable.touch()
    link.symlink_to(executable)
    assert package_folders(link) == folders
