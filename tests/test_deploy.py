"""`make install` into a prefix, an upgrade under running engines, `make uninstall`; systemd, Docker."""

import fcntl
import getpass
import os
import re
import shutil
import subprocess
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from proxy.settings import load_settings
from tests.installation import CHECKOUT, eventually, fake_model, free_port

DOCS = CHECKOUT / "docs"


class Deployed:
    """A copy of the checkout's code, and a prefix that it is installed into."""

    def __init__(self, folder: Path) -> None:
        self.source, self.prefix, self.etc = folder / "source", folder / "opt" / "rota", folder / "etc" / "rota"
        self.state, self.units = folder / "var" / "rota", folder / "units"
        for name in ("bin", "catalog", "proxy", "docs"):
            shutil.copytree(CHECKOUT / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.source / "supervisor.d").mkdir()
        for name in ("setup.cfg", "pyproject.toml", "README.md", "Makefile", "supervisor.d/supervisord.conf"):
            shutil.copy(CHECKOUT / name, self.source / name)
        self.port = free_port()
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
        self.environ |= {"FAKE_CONTROL": str(folder), "FAKE_LOG": str(folder / "fake.log")}

    def make(self, target: str, *more: str) -> subprocess.CompletedProcess[str]:
        places = (f"PREFIX={self.prefix}", f"SYSCONFDIR={self.etc}", f"STATEDIR={self.state}", f"UNITDIR={self.units}")
        options = ("DEPLOY_OPTIONS=--no-environments", f"SERVICE_USER={getpass.getuser()}")
        argv = [shutil.which("make") or "make", "-s", target, *places, *options, *more]
        return subprocess.run(argv, cwd=self.source, capture_output=True, text=True, check=False, env=self.environ)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [self.prefix / "bin" / "manage_vllm.sh", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=self.environ, timeout=120)

    def serve(self, *models: str) -> None:
        """Its own catalog and settings, as a sysadmin writes them; the environment is the checkout's."""
        self._make_environment()
        shutil.rmtree(self.etc / "catalog")
        (self.etc / "catalog").mkdir()
        (self.state / "models" / "fake").mkdir(parents=True)
        (self.state / "models" / "fake" / "config.json").write_text("{}")
        for name in models:
            model = fake_model(name) | {"weights": "var/models/fake"}
            (self.etc / "catalog" / f"{name}.yaml").write_text(yaml.safe_dump(model))
        routes = {"agent_types": {"Chat": {"model": models[0]}}}
        (self.etc / "catalog" / "agents.yaml").write_text(yaml.safe_dump(routes))
        with (self.etc / "settings.yaml").open("a") as settings:
            settings.write(f"listen_port: {self.port}\ndevice_memory_gib: 6\n")

    def _make_environment(self) -> None:
        """One whose code is the prefix's, with the packages of the checkout's: those take a minute to install."""
        own = self.prefix / ".venv"
        venv.create(own, symlinks=True)
        packages = next((CHECKOUT / ".venv" / "lib").glob("python*/site-packages"))
        site = next((own / "lib").glob("python*/site-packages"))
        (site / "rota.pth").write_text(f"{self.prefix}\n{packages}\n")
        for name in ("supervisord", "supervisorctl"):
            _, _, code = (CHECKOUT / ".venv" / "bin" / name).read_text().partition("\n")
            (own / "bin" / name).write_text(f"#!{own}/bin/python\n{code}")
            (own / "bin" / name).chmod(0o755)

    def status(self) -> dict[str, object]:
        answer: dict[str, object] = httpx.get(f"http://127.0.0.1:{self.port}/status", trust_env=False).json()
        return answer

    def files(self) -> set[str]:
        return {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if path.is_file()}


@pytest.fixture
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    it = Deployed(Path(tmp_path_factory.mktemp("d")))  # a short path: sockets must fit below it
    yield it
    if (it.prefix / ".venv").exists():
        it.manage("stop-service")


def pids_of(status: dict[str, object]) -> dict[str, int]:
    return {one["model"]: one["pid"] for one in status["engines"] if one["pid"]}  # type: ignore[attr-defined]


def test_it_is_installed_used_upgraded_under_running_engines_and_removed(deployed: Deployed) -> None:
    done = deployed.make("install")
    assert done.returncode == 0, done.stderr
    assert f"installed in {deployed.prefix}; configuration in {deployed.etc}, state in {deployed.state}" in done.stdout
    deployed.serve("a", "b")
    started = deployed.manage("start-service")
    assert started.returncode == 0, started.stderr
    url = f"http://127.0.0.1:{deployed.port}"
    body = {"agent_type": "Chat", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3}
    assert httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60, trust_env=False).status_code == 200
    assert deployed.manage("start", "b").returncode == 0
    engines, proxy = pids_of(deployed.status()), deployed.status()["proxy"]["pid"]  # type: ignore[index]
    assert set(engines) == {"a", "b"}
    refused = deployed.make("uninstall")
    assert (
        refused.returncode,
        "it runs: systemctl stop rota, or bin/manage_vllm.sh stop-service, first" in refused.stderr,
    ) == (2, True)

    # The next release: a file is new, one is gone, the proxy says something else.
    about = deployed.source / "proxy" / "web" / "page.py"
    about.write_text(about.read_text().replace('"no-referrer"', '"same-origin"'))
    (deployed.source / "docs" / "security.md").unlink()
    (deployed.source / "docs" / "new.md").write_text("new\n")
    outcomes: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            got = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60, trust_env=False)
            outcomes.append(got.status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert deployed.make("install").returncode == 0
        assert "same-origin" not in httpx.get(f"{url}/ui", trust_env=False).headers["Referrer-Policy"]
        restarted = deployed.manage("restart-proxy")
    finally:
        is_over.set()
        asking.join(60)
    assert restarted.returncode == 0, restarted.stderr
    assert httpx.get(f"{url}/ui", trust_env=False).headers["Referrer-Policy"] == "same-origin"
    assert pids_of(deployed.status()) == engines, "they have not noticed"
    assert deployed.status()["proxy"]["pid"] != proxy  # type: ignore[index]
    assert set(outcomes) <= {200, 503}, "each was answered, or told to come back"
    assert outcomes.count(200) > 0
    assert (deployed.prefix / "docs" / "new.md").exists()
    assert not (deployed.prefix / "docs" / "security.md").exists()
    assert "listen_port" in (deployed.etc / "settings.yaml").read_text(), "the configuration is as it was"

    assert deployed.manage("stop-service").returncode == 0
    removed = deployed.make("uninstall")
    assert removed.returncode == 0, removed.stderr
    assert not deployed.prefix.exists()
    assert not (deployed.units / "rota.service").exists()
    assert (deployed.etc / "catalog" / "a.yaml").exists()
    assert (deployed.state / "audit").is_dir()
    assert str(deployed.state) in removed.stdout
    assert (deployed.make("uninstall").returncode, deployed.source.exists()) == (2, True)


def test_what_is_not_its_own_is_neither_overwritten_nor_removed(deployed: Deployed) -> None:
    own = {"mine", "tools/__pycache__/mine.pyc", "bin/mine.py", "mine.egg-info/PKG-INFO"}
    for name in own:
        (deployed.prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (deployed.prefix / name).write_text("x")
    (deployed.prefix / "empty").mkdir()
    assert deployed.make("install").returncode == 0
    (deployed.prefix / "rota.egg-info").mkdir()
    removed = deployed.make("uninstall")
    assert removed.returncode == 0
    assert f"the user {getpass.getuser()}" in removed.stdout
    assert deployed.files() == own
    folders = {str(one.relative_to(deployed.prefix)) for one in deployed.prefix.rglob("*") if one.is_dir()}
    assert folders == {"bin", "empty", "tools", "tools/__pycache__", "mine.egg-info"}
    (deployed.prefix / "var").mkdir()
    wrong = deployed.make("install")
    assert (wrong.returncode, "is no link to" in wrong.stderr) == (2, True)


def test_a_folder_that_a_release_no_longer_has_goes_with_what_was_compiled_in_it(deployed: Deployed) -> None:
    assert deployed.make("install").returncode == 0
    assert (deployed.prefix / "proxy" / "verbs" / "__pycache__").exists()
    shutil.rmtree(deployed.source / "proxy" / "verbs")
    assert deployed.make("install").returncode == 0
    assert not (deployed.prefix / "proxy" / "verbs").exists()
    assert (deployed.prefix / "proxy" / "web" / "__pycache__").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_state_that_is_somebody_elses_is_not_taken_over(deployed: Deployed) -> None:
    deployed.state.mkdir(parents=True)
    refused = deployed.make("install", "SERVICE_USER=nobody")
    assert (refused.returncode, f"{deployed.state} must be owned by nobody" in refused.stderr) == (2, True)
    assert deployed.state.stat().st_uid == 0
    assert not deployed.prefix.exists(), "and nothing was put there"
    deployed.state.rmdir()
    assert deployed.make("install", "SERVICE_USER=nobody").returncode == 0
    made = [deployed.state, deployed.prefix / "supervisor.d"]
    assert [one.owner() for one in made] == ["nobody", "nobody"]
    assert deployed.make("install", "SERVICE_USER=nobody").returncode == 0


def test_another_vllm_under_running_engines_is_refused_before_anything_is_put(deployed: Deployed) -> None:
    (deployed.prefix / ".venv-vllm").mkdir(parents=True)
    (deployed.state / "run").mkdir(parents=True)
    with (deployed.state / "run" / "proxy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = deployed.make("install", "DEPLOY_OPTIONS=")
    assert (refused.returncode, "must be made anew" in refused.stderr) == (2, True)
    assert "systemctl stop rota, or bin/manage_vllm.sh stop-service, first" in refused.stderr
    assert deployed.files() == set()


def test_for_a_package_all_of_it_goes_below_another_folder(deployed: Deployed, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    done = deployed.make("install", f"DESTDIR={stage}", "SERVICE_USER=nobody-of-that-name")
    assert done.returncode == 0, done.stderr
    assert not deployed.prefix.exists()
    at = Path(f"{stage}{deployed.prefix}")
    assert (at / "var").readlink() == deployed.state
    unit = Path(f"{stage}{deployed.units}/rota.service").read_text()
    assert f"ExecStart={deployed.prefix}/bin/manage_vllm.sh start-service --foreground\n" in unit
    assert "User=nobody-of-that-name\n" in unit
    assert "@" not in re.sub(r"SystemCallFilter=@\S+", "", unit)


def test_the_unit_is_one_that_systemd_takes(deployed: Deployed) -> None:
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("there is no systemd-analyze here")
    assert deployed.make("install").returncode == 0
    argv = [analyze, "verify", str(deployed.units / "rota.service")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "rota.service" in line]
    assert (done.returncode, said) == (0, [])


def test_the_compose_file_and_the_dockerfile_name_what_there_is(tmp_path: Path) -> None:
    compose = yaml.safe_load((DOCS / "docker" / "compose.yaml").read_text())
    [(name, service)] = compose["services"].items()
    assert name == "rota"
    assert service["ports"] == ["127.0.0.1:8000:8000"], "who wants it elsewhere says so"
    build = service["build"]
    assert (DOCS / "docker" / build["context"]).resolve() == CHECKOUT
    dockerfile = (CHECKOUT / build["dockerfile"]).read_text()
    variables = {key: str(value) for key, value in service["environment"].items()}
    assert load_settings(tmp_path, variables).listen_host == "0.0.0.0"  # noqa: S104  # inside the container
    for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        for source in line.split():
            assert (CHECKOUT / source).exists(), source
    assert re.search(r"^FROM \S+:v\d+\.\d+\.\d+$", dockerfile, re.MULTILINE), "pinned"
    assert "\nUSER rota\n" in dockerfile
    [entry] = re.findall(
        r'^ENTRYPOINT \["/opt/rota/([^"]*)", "start-service", "--foreground"\]$', dockerfile, re.MULTILINE
    )
    assert os.access(CHECKOUT / entry, os.X_OK)
    [volumes] = re.findall(r"^VOLUME (.*)$", dockerfile, re.MULTILINE)
    assert {volume.split(":")[1] for volume in service["volumes"]} == set(re.findall(r'"(/[^"]*)"', volumes))


def test_in_the_foreground_it_is_supervisord_and_ends_with_it(deployed: Deployed) -> None:
    assert deployed.make("install").returncode == 0
    deployed.serve("a")
    argv = [deployed.prefix / "bin" / "manage_vllm.sh", "start-service", "--foreground"]
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, env=deployed.environ, **nowhere) as process:
        try:
            eventually(lambda: deployed.manage("status").returncode == 0, within_s=30, every_s=0.3)
            assert deployed.manage("start", "a").returncode == 0
        finally:
            process.terminate()
            status = process.wait(60)
    assert status == 0
    assert deployed.manage("status").returncode == 3
