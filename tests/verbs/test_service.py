import argparse
import signal
import subprocess
from pathlib import Path

import pytest

from proxy.settings import Layout
from proxy.verbs import service as verbs
from tests.installation import Installation, eventually


def test_logs_show_the_end_of_a_programs_log(service: Installation) -> None:
    service.manage("start", "b")
    eventually(lambda: "startup complete" in service.manage("logs", "b", "-n", "1").stdout)
    assert "serving http" in service.manage("logs", "proxy").stdout


@pytest.mark.parametrize(("ended", "status"), [(0, 0), (1, 1), (-signal.SIGPIPE, 141), (-signal.SIGTERM, 143)])
def test_a_signal_that_ends_it_is_told_as_a_shell_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int, status: int
) -> None:
    here = Layout(tmp_path)
    here.logs.mkdir(parents=True)
    here.log_of("a").touch()
    done = subprocess.CompletedProcess([], ended)
    monkeypatch.setattr(verbs.subprocess, "run", lambda *_, **__: done)
    assert verbs.logs(here, argparse.Namespace(program="a", lines=1, follow=False)) == status


def test_a_program_that_has_not_run_has_no_log(idle: Installation) -> None:
    done = idle.manage("logs", "a")
    assert (done.returncode, "has not run yet" in done.stderr) == (1, True)


def test_a_wrong_setting_is_named(idle: Installation) -> None:
    environ = {**idle.environ, "ROTA_LISTEN_PORTS": "1"}
    argv = [str(idle.root / "bin" / "manage_vllm.sh"), "start-service"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ROTA_LISTEN_PORTS: is no setting. Did you mean 'ROTA_LISTEN_PORT'?" in done.stderr
