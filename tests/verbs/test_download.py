"""The verb and the script, as they are called, in a project of their own that downloads from the fake hub."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proxy import cli, owner
from proxy.settings import Layout
from proxy.verbs import download as verb
from proxy.verbs.download import EXIT_TERMINATED
from tests.catalog.download.hub_stage import WANTED, files_below, repository
from tests.fake_hub import FakeHub
from tests.installation import CHECKOUT

MIB = 2**20


class Project:
    """A project folder with two models: `m` from the hub, `mine` from nowhere."""

    def __init__(self, root: Path, hub: FakeHub) -> None:
        self.root = root
        self.hub = hub
        for name, source, port in (("m", {"repo": "o/m"}, 8201), ("mine", None, 8202)):
            self.write("catalog/demo", name, source, port)
        self.write("catalog/models", "production", {"repo": "o/m"}, 8203)
        for name in (".venv", "bin", "proxy"):
            (root / name).symlink_to(CHECKOUT / name)
        self.environ = {name: text for name, text in os.environ.items() if not name.startswith(("ROTA_", "HF_"))}
        self.environ |= {"ROTA_ROOT": str(root), "ROTA_HUB_ENDPOINT": hub.url}

    def write(self, folder: str, name: str, source: dict[str, str] | None, port: int) -> None:
        model = {"name": name, "weights": f"var/models/{name}", "port": port, "memory_gib": 2, "max_model_len": 9}
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        told = model if source is None else {**model, "source": source}
        (self.root / folder / f"{name}.yaml").write_text(yaml.safe_dump(told))
        (self.root / folder / "agents.yaml").write_text(yaml.safe_dump({"agent_types": {"Chat": {"model": name}}}))

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "proxy.cli", "download", *arguments]

    def download(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call(self.argv(*arguments))

    def call(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=self.environ, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60
        )

    def lies(self, name: str) -> set[str]:
        return set(files_below(self.root / "var" / "models" / name))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "root").mkdir()
    with FakeHub({"o/m": repository(tmp_path / "hub")}) as hub:
        yield Project(tmp_path / "root", hub)


def test_all_of_a_catalog_is_brought_and_what_has_no_source_is_the_users(project: Project) -> None:
    done = project.download("--all")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("m: ready: 0.0 MiB from o/m at ")
    assert "mine: missing: the catalog names no source" in done.stderr
    assert project.lies("m") > WANTED
    named = project.download("mine")
    assert (named.returncode, named.stdout) == (1, "")


def test_the_script_is_the_same(project: Project) -> None:
    script = [sys.executable, str(CHECKOUT / "bin" / "download_models.py")]
    done = project.call([*script, "--all", "--sequential"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("m: ready: ")
    there = project.call([*script, "m"])
    assert (there.returncode, there.stdout.startswith("m: there: ")) == (0, True)
    assert project.call(script).returncode == 2


def test_the_script_acts_as_the_owner_of_the_state(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.spec_from_file_location("download_models", CHECKOUT / "bin" / "download_models.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    steps: list[object] = []

    def fetched(_: Layout, arguments: argparse.Namespace) -> int:
        steps.append(arguments.models)
        return 0

    monkeypatch.setenv("ROTA_ROOT", str(project.root))
    monkeypatch.setattr(sys, "argv", ["download_models.py", "m"])
    monkeypatch.setattr(owner, "become", steps.append)
    monkeypatch.setattr(verb, "download", fetched)
    assert script.main() == 0
    assert steps == [project.root / "var", ["m"]]


def test_a_model_of_the_production_catalog_needs_no_setting(project: Project) -> None:
    done = project.download("production", "--dry-run")
    assert (done.returncode, done.stdout.startswith("production: planned: ")) == (0, True)
    assert project.download("--catalog", "catalog/models", "--all", "--parallel", "2").returncode == 0
    assert project.lies("production") > WANTED


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "name models, or say --all"),
        (["m", "--all"], 2, "not both"),
        (["--all", "--parallel", "0"], 2, "'0' is no number from 1 to 32"),
        (["--all", "--parallel", "2", "--sequential"], 2, "not allowed with argument"),
        (["mm"], 2, "there is no model 'mm'. Did you mean 'm'?"),
        (["--all", "--catalog", "nowhere"], 1, "there is no such folder"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_allowed(
    project: Project,
    arguments: list[str],
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in {**project.environ, "ROTA_CATALOG": "catalog/demo"}.items():
        monkeypatch.setenv(name, text)
    try:
        exits = cli.main(["download", *arguments])
    except SystemExit as end:
        exits = int(str(end.code))
    said = capsys.readouterr().err
    assert (exits, says in said) == (status, True), said


def test_a_download_that_fails_exits_1_with_one_message(project: Project) -> None:
    project.hub.gate("o/m")
    done = project.download("m")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("m: failed: o/m at ")
    assert "is gated: accept its licence on" in line


def test_a_folder_of_copies_is_a_setting_and_needs_no_hub(project: Project, tmp_path: Path) -> None:
    repository(tmp_path / "root" / "copies" / "o" / "m")
    project.environ |= {"ROTA_HUB_FOLDER": "copies", "ROTA_HUB_ENDPOINT": "http://127.0.0.1:9"}
    done = project.download("m")
    assert (done.returncode, project.hub.requests) == (0, []), done.stderr
    assert project.lies("m") > WANTED


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, EXIT_TERMINATED)])
def test_an_interrupt_keeps_what_is_there_and_the_next_run_goes_on(
    project: Project, sent: signal.Signals, status: int
) -> None:
    repository(project.hub.repositories["o/m"], shard_bytes=2 * MIB)
    project.hub.stall_at(3 * MIB)
    argv = project.argv("m")
    child = subprocess.Popen(argv, env=project.environ, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
    assert project.hub.stalled.wait(60)
    child.send_signal(sent)
    project.hub.behave()
    _, said = child.communicate(timeout=60)
    assert (child.returncode, "the same command goes on from there" in said) == (status, True), said
    assert project.lies("m") == set()
    before = project.hub.sent_bytes()
    done = project.download("m")
    assert done.returncode == 0, done.stderr
    assert project.lies("m") > WANTED
    assert project.hub.sent_bytes() < before + 6 * MIB


def test_what_check_says_of_a_damaged_model_is_the_command_that_mends_it(project: Project) -> None:
    assert project.download("m").returncode == 0
    shard = project.root / "var" / "models" / "m" / "model-00002-of-00003.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    checked = project.call([sys.executable, "-m", "proxy.cli", "check", "--quick", "--hashes", "m"])
    assert checked.returncode == 1
    [line] = [line for line in checked.stdout.splitlines() if "has another content" in line]
    command = line.rpartition("; ")[2].split()
    assert command[:2] == ["bin/manage_vllm.sh", "download"]
    done = project.download(*command[2:])
    assert (done.returncode, shard.read_bytes()) == (0, whole), done.stderr


def test_after_a_dry_run_check_knows_that_there_is_no_chat_template(project: Project) -> None:
    check = [sys.executable, "-m", "proxy.cli", "check", "--quick", "m"]
    assert "chat template" not in project.call(check).stdout
    assert project.download("m", "--dry-run").returncode == 0
    assert "m: its tokenizer has no chat template" in project.call(check).stdout
    (project.hub.repositories["o/m"] / "chat_template.jinja").write_text("{{ messages }}")
    assert project.download("m", "--dry-run").returncode == 0
    assert "chat template" not in project.call(check).stdout
