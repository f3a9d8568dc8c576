import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import CHECKOUT, Installation, eventually, fake_model, running

VERBS = [
    "status",
    "install-vllm",
    "start-service",
    "stop-service",
    "restart-service",
    "logs",
    "start",
    "stop",
    "render",
]
GIB = 2**30


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    models = [fake_model("a"), fake_model("b"), fake_model("broken", env={"FAKE_FAIL": "start"})]
    root = Path(tmp_path_factory.mktemp("c"))
    with running(Installation(root, models, {"Chat": "a"}, 4.5)) as installation:
        yield installation


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(Path(tmp_path_factory.mktemp("i")), [fake_model("a")], {"Chat": "a"}, 4.5)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(idle: Installation, verb: str) -> None:
    done = idle.manage(verb, "--help")
    assert done.returncode == 0
    assert f"usage: manage_vllm.sh {verb}" in done.stdout


def test_help_lists_all_verbs(idle: Installation) -> None:
    text = idle.manage("--help").stdout
    assert all(verb in text for verb in VERBS)


def test_an_unknown_verb_exits_2_with_the_list(idle: Installation) -> None:
    done = idle.manage("strat")
    assert done.returncode == 2
    assert all(f"'{verb}'" in done.stderr for verb in VERBS)
    assert idle.manage().returncode == 2


@pytest.mark.parametrize("verb", ["start", "stop", "logs"])
def test_an_unknown_model_exits_2_with_the_list(idle: Installation, verb: str) -> None:
    done = idle.manage(verb, "aa")
    assert done.returncode == 2
    assert "Did you mean 'a'? (choose from 'a'" in done.stderr


@pytest.mark.parametrize("arguments", [["status"], ["start", "a"], ["stop", "a"]])
def test_without_a_service_it_says_so_and_exits_3(idle: Installation, arguments: list[str]) -> None:
    done = idle.manage(*arguments)
    assert done.returncode == 3
    assert "the service does not run: bin/manage_vllm.sh start-service" in done.stderr


def test_a_program_that_has_not_run_has_no_log(idle: Installation) -> None:
    done = idle.manage("logs", "a")
    assert (done.returncode, "has not run yet" in done.stderr) == (1, True)


def test_a_wrong_setting_is_named(idle: Installation) -> None:
    environ = {**idle.environ, "ROTA_LISTEN_PORTS": "1"}
    argv = [str(idle.root / "bin" / "manage_vllm.sh"), "start-service"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ROTA_LISTEN_PORTS: is no setting. Did you mean 'ROTA_LISTEN_PORT'?" in done.stderr


def test_start_and_stop_say_what_became_of_it(service: Installation) -> None:
    done = service.manage("start", "a")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a: ready after ")
    assert "a                        ready" in service.manage("status").stdout
    done = service.manage("stop", "a")
    assert (done.returncode, done.stdout) == (0, "a: stopped\n")


def test_who_reads_only_the_first_lines_is_no_error_of_python(service: Installation) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [str(service.root / "bin" / "manage_vllm.sh"), "status"]
    done = subprocess.run(argv, env=service.environ, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_start_that_fails_says_why_and_exits_1(service: Installation) -> None:
    done = service.manage("start", "broken")
    assert done.returncode == 1
    assert "Engine core initialization failed" in done.stderr


def test_logs_show_the_end_of_a_programs_log(service: Installation) -> None:
    service.manage("start", "b")
    eventually(lambda: "startup complete" in service.manage("logs", "b", "-n", "1").stdout)
    assert "serving http" in service.manage("logs", "proxy").stdout


def test_the_script_works_from_any_folder_and_through_a_link(service: Installation, tmp_path: Path) -> None:
    (tmp_path / "m").symlink_to(CHECKOUT / "bin" / "manage_vllm.sh")
    for argv in ([str(CHECKOUT / "bin/manage_vllm.sh")], [str(tmp_path / "m")]):
        done = subprocess.run(
            [*argv, "status"], env=service.environ, cwd="/", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_a_checkout_without_its_environment_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "manage_vllm.sh"
    script.write_text((CHECKOUT / "bin" / "manage_vllm.sh").read_text())
    script.chmod(0o755)
    done = subprocess.run([script, "status"], env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "make setup" in done.stderr) == (1, True)
