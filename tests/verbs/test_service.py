import subprocess

from tests.installation import Installation, eventually


def test_logs_show_the_end_of_a_programs_log(service: Installation) -> None:
    service.manage("start", "b")
    eventually(lambda: "startup complete" in service.manage("logs", "b", "-n", "1").stdout)
    assert "serving http" in service.manage("logs", "proxy").stdout


def test_a_program_that_has_not_run_has_no_log(idle: Installation) -> None:
    done = idle.manage("logs", "a")
    assert (done.returncode, "has not run yet" in done.stderr) == (1, True)


def test_a_wrong_setting_is_named(idle: Installation) -> None:
    environ = {**idle.environ, "ROTA_LISTEN_PORTS": "1"}
    argv = [str(idle.root / "bin" / "manage_vllm.sh"), "start-service"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ROTA_LISTEN_PORTS: is no setting. Did you mean 'ROTA_LISTEN_PORT'?" in done.stderr
