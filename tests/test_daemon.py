import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import daemon
from proxy.adapters import processes
from proxy.settings import Layout
from tests.installation import CHECKOUT, Installation, eventually, fake_model, free_port, running


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    root = Path(tmp_path_factory.mktemp("s"))
    return Installation(root, [fake_model("a"), fake_model("b")], {"Chat": "a", "Claims": "b"}, 6)


def test_a_second_start_changes_nothing_and_says_so(installation: Installation) -> None:
    with running(installation):
        installation.chat(model="a")
        before = installation.status()
        done = installation.manage("start-service")
        assert done.returncode == 0
        assert "supervisord runs already" in done.stdout
        assert installation.engine("a")["pid"] == before["engines"][0]["pid"]
        assert installation.status()["proxy"]["pid"] == before["proxy"]["pid"]
        assert stat.S_IMODE((installation.root / "var" / "run").stat().st_mode) == 0o700
        assert stat.S_IMODE(installation.gate_socket.stat().st_mode) == 0o600


def test_a_start_brings_back_a_proxy_that_was_stopped_by_hand(installation: Installation) -> None:
    with running(installation):
        installation.supervisorctl("stop", "proxy")
        assert installation.manage("start-service").returncode == 0
        assert installation.status()["proxy"]["pid"]


def test_after_supervisord_was_killed_another_one_comes_and_no_engine_is_left_over(installation: Installation) -> None:
    with running(installation):
        installation.chat(model="a")
        engine, old = installation.engine("a")["pid"], installation.status()["proxy"]["pid"]
        os.kill(int((installation.root / "var/run/supervisord.pid").read_text()), 9)
        eventually(lambda: "refused" in installation.supervisorctl("pid"))
        done = installation.manage("start-service")
        assert done.returncode == 0, done.stdout + done.stderr
        eventually(lambda: installation.status()["proxy"]["pid"] != old)
        assert engine not in installation.left_over()
        assert installation.chat(model="a").status_code == 200
        done = installation.manage("stop-service")
        assert done.returncode == 0, done.stderr
        assert installation.left_over() == []


def test_another_catalog_is_refused_while_the_service_runs_and_nothing_is_touched(
    installation: Installation,
) -> None:
    with running(installation):
        installation.chat(model="a")
        engine = installation.engine("a")["pid"]
        other = installation.catalog.parent / "other"
        shutil.copytree(installation.catalog, other)
        (other / "b.yaml").unlink()
        (other / "agents.yaml").write_text("agent_types: {Chat: {model: a}}")
        environ = installation.environ
        installation.environ = {**environ, "ROTA_CATALOG": "catalog/other"}
        done = installation.manage("start-service")
        installation.environ = environ
        assert done.returncode == 1
        assert "bin/manage_vllm.sh stop-service first" in done.stderr
        assert (installation.root / "supervisor.d" / "engine-b.conf").exists()
        assert installation.engine("a")["pid"] == engine
        assert installation.chat(model="b").status_code == 200


def test_a_catalog_that_has_become_wrong_does_not_hinder_looking_and_stopping(installation: Installation) -> None:
    with running(installation):
        path = installation.catalog / "b.yaml"
        good = path.read_text()
        path.write_text(good + "memry_gib: 3\n")
        try:
            assert installation.manage("status").returncode == 0
            assert installation.manage("logs", "proxy").returncode == 0
            assert installation.manage("restart-service").returncode == 1
            assert installation.chat(model="a").status_code == 200
            assert installation.manage("stop-service").returncode == 0
            assert installation.manage("start-service").returncode == 1
        finally:
            path.write_text(good)


def test_a_proxy_that_comes_back_to_a_grown_catalog_serves_the_new_model_too(installation: Installation) -> None:
    path = installation.catalog / "c.yaml"
    with running(installation):
        text = (installation.catalog / "a.yaml").read_text().replace("name: a", "name: c")
        path.write_text(re.sub(r"port: \d+", f"port: {free_port()}", text))
        try:
            installation.supervisorctl("restart", "proxy")
            eventually(lambda: installation.manage("status").returncode == 0)
            assert installation.chat(model="c").status_code == 200
            path.unlink()
            installation.supervisorctl("restart", "proxy")
            eventually(lambda: installation.manage("status").returncode == 0)
            assert installation.chat(model="c").status_code == 404
            assert "c " not in installation.supervisorctl("status")
            assert not (installation.root / "supervisor.d" / "engine-c.conf").exists()
            assert installation.chat(model="b").status_code == 200
        finally:
            path.unlink(missing_ok=True)


def test_stopping_what_does_not_run_is_done_already(installation: Installation) -> None:
    done = installation.manage("stop-service")
    assert (done.returncode, done.stdout) == (0, "supervisord does not run\nstopped\n")


def test_restart_service_stops_and_starts(installation: Installation) -> None:
    with running(installation):
        before = installation.status()["proxy"]["pid"]
        done = installation.manage("restart-service")
        assert done.returncode == 0, done.stderr
        assert installation.status()["proxy"]["pid"] != before


async def test_why_a_proxy_does_not_answer_is_what_supervisord_says_of_it(installation: Installation) -> None:
    here = Layout(installation.root)
    assert await daemon.why_silent(here) == "the service does not run: bin/manage_vllm.sh start-service"
    with running(installation):
        assert re.search(
            r"wait a moment \(supervisord says that it is (STARTING|RUNNING)", await daemon.why_silent(here)
        )
        installation.supervisorctl("stop", "proxy")
        told = await daemon.why_silent(here)
        assert told.startswith("bin/manage_vllm.sh start-service starts it (supervisord says that it is STOPPED")


@pytest.mark.parametrize(
    ("host", "says"), [("192.0.2.1", "Cannot assign requested address"), ("no-such-host.invalid", "not known")]
)
def test_an_address_that_cannot_be_listened_on_is_said_at_once_and_nothing_is_left_running(
    installation: Installation, host: str, says: str
) -> None:
    good = installation.environ
    installation.environ = {**good, "ROTA_LISTEN_HOST": host}
    done = installation.manage("start-service")
    installation.environ = good
    assert done.returncode == 1
    assert f"cannot listen on {host}:{installation.port} (settings listen_host and listen_port)" in done.stderr
    assert says in done.stderr or "name resolution" in done.stderr
    assert "last lines" not in done.stderr
    assert installation.left_over() == []


def test_a_proxy_that_cannot_run_is_given_up_at_once_with_its_own_words_and_the_next_start_has_its_own_settings(
    installation: Installation,
) -> None:
    log = installation.root / "var" / "log" / "proxy.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("old line\n")
    gate = installation.root / "var" / "run" / "gate.sock"
    gate.unlink(missing_ok=True)
    (installation.root / "supervisor.d" / "supervisord.conf").write_text(
        (CHECKOUT / "supervisor.d" / "supervisord.conf")
        .read_text()
        .replace('PYTHONUNBUFFERED="1"', 'PYTHONUNBUFFERED="1",ROTA_OPEN_TO_ALL="true",ROTA_LISTEN_HOST="192.0.2.1"')
    )
    try:
        done = installation.manage("start-service")
    finally:
        shutil.copy(CHECKOUT / "supervisor.d" / "supervisord.conf", installation.root / "supervisor.d")
    assert done.returncode == 1
    assert "cannot listen on 192.0.2.1" in done.stderr
    assert "old line" not in done.stderr
    assert not gate.exists(), "who asks there would be told that all is well"
    assert installation.left_over() == [], "a supervisord that was left would keep the settings"


def test_a_supervisord_that_runs_nothing_is_started_anew_with_the_settings_of_now(installation: Installation) -> None:
    with running(installation):
        installation.supervisorctl("stop", "proxy")
        installation.environ["ROTA_MAX_BODY_MIB"] = "1"
        try:
            assert installation.manage("start-service").returncode == 0
        finally:
            del installation.environ["ROTA_MAX_BODY_MIB"]
        answer = installation.chat(model="a", x="y" * 2**21)
        assert answer.status_code == 413


def test_a_pid_file_that_outlived_its_process_names_nobody(tmp_path: Path) -> None:
    left = tmp_path / "supervisord.pid"
    for pid in (os.getpid(), os.getppid(), 2**22 + 1):  # in a container each supervisord is number 1
        left.write_text(f"{pid}\n")
        assert daemon._pid_in(left) is None


def test_what_systemd_has_started_is_left_to_it(tmp_path: Path) -> None:
    here = Layout(tmp_path)
    daemon.check_not_of_systemd(here, "stop")  # nothing runs
    here.run.mkdir(parents=True)
    argv = [sys.executable, "-c", "import time; time.sleep(60)", "supervisord"]
    for unit, says in ((None, None), ("--user rota", "systemctl stop --user rota")):
        environ = os.environ | ({daemon.UNIT: unit} if unit else {})
        with subprocess.Popen(argv, env=environ) as running_:
            (here.run / "supervisord.pid").write_text(f"{running_.pid}\n")
            try:
                eventually(lambda pid=running_.pid: "supervisord" in processes.title(pid))
                if says is None:
                    daemon.check_not_of_systemd(here, "stop")
                else:
                    with pytest.raises(daemon.DaemonError, match=says):
                        daemon.check_not_of_systemd(here, "stop")
            finally:
                running_.kill()


def test_the_units_say_which_they_are() -> None:
    for name, says in (("rota.service", "ROTA_UNIT=rota\n"), ("rota-user.service", '"ROTA_UNIT=--user rota"\n')):
        assert says in (CHECKOUT / "docs" / "systemd" / name).read_text()
