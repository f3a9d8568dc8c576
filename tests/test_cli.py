import os
import signal
import subprocess
from pathlib import Path

import pytest

from proxy.cli import MODULES, command_line
from proxy.settings import Layout
from tests.installation import CHECKOUT, Installation

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


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(idle: Installation, verb: str) -> None:
    done = idle.manage(verb, "--help")
    assert done.returncode == 0
    assert f"usage: manage_vllm.sh {verb}" in done.stdout


def test_help_lists_all_verbs(idle: Installation) -> None:
    text = idle.manage("--help").stdout
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("module", MODULES)
def test_what_is_asked_for_is_found_in_its_module_alone(module: str, tmp_path: Path) -> None:
    verbs = list(MODULES[module])
    assert all(command_line(Layout(tmp_path), verb).names == verbs for verb in verbs)
    assert set(verbs) < set(command_line(Layout(tmp_path)).names)


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


def test_who_reads_only_the_first_lines_is_no_error_of_python(service: Installation) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [str(service.root / "bin" / "manage_vllm.sh"), "status"]
    done = subprocess.run(argv, env=service.environ, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


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
    assert (
        done.returncode,
        "'make setup' in" in done.stderr and "or 'make install' of an installation" in done.stderr,
    ) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["nonsense"],
        ["status"],
        ["status", "-m"],
        ["start", "a"],
        ["start", "broken"],
        ["why", "a"],
        ["events"],
        ["plan", "a", "b"],
        ["plan", "--gpu", "RTX 3090:24"],
        ["check", "--quick"],
        ["download", "--all", "--dry-run"],
        ["reload", "-n"],
        ["keys", "list"],
        ["audit", "verify"],
        ["completion", "bash"],
        ["logs", "proxy"],
    ],
    ids=" ".join,
)
def test_into_a_pipe_verbs_print_plainly(service: Installation, arguments: list[str]) -> None:
    argv = [str(service.root / "bin" / "manage_vllm.sh"), *arguments]
    environ = {**service.environ, "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout + done.stderr
    assert not [letter for letter in done.stdout + done.stderr if not letter.isprintable() and letter not in "\n\t"]


def test_into_a_pipe_the_status_is_said_again_in_plain_lines(service: Installation) -> None:
    argv = [str(service.root / "bin" / "manage_vllm.sh"), "status", "--watch"]
    environ = {**service.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watch:
        assert watch.stdout is not None
        told = list[str]()
        while len(told) < 500 and sum(line.startswith("proxy ") for line in told) < 2:
            told.append(watch.stdout.readline())
        watch.terminate()
    assert len(told) < 500
    assert all(letter.isprintable() or letter == "\n" for line in told for letter in line)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["status"], 0),
        (["plan", "a", "b", "--json"], 1),
        (["start", "broken"], 1),
        (["start", "nobody"], 2),
        (["sleep", "a", "--level", "3"], 2),
        (["logs", "b"], 1),
        (["keys", "revoke", "nobody"], 1),
        (["audit", "find", "--id", "nobody"], 1),
        (["download"], 2),
        (["check", "nobody"], 2),
        (["completion", "fish"], 2),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_script_can_tell_by_the_exit_status_how_it_went(
    service: Installation, arguments: list[str], status: int
) -> None:
    assert service.manage(*arguments).returncode == status


def test_who_is_interrupted_exits_130(service: Installation) -> None:
    assert service.manage("start", "a").returncode == 0  # so that there is something to tell
    argv = [str(service.root / "bin" / "manage_vllm.sh"), "events", "--follow"]
    with subprocess.Popen(argv, env=service.environ, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        events.stdout.readline()
        events.send_signal(signal.SIGINT)
        assert events.wait(timeout=30) == 130
