"""Completion, in real shells: verbs, options, the names of models, and that it starts no Python."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.cli import command_line, main
from proxy.settings import Layout
from proxy.verbs.completion import SHELLS, script


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    """An installation with two models, in a folder that has a blank in its name."""
    here = Layout(tmp_path / "a folder")
    here.programs.mkdir(parents=True)
    for name in ("demo-chat", "qwen2.5"):
        (here.programs / f"engine-{name}.conf").touch()
    return here


def offered(here: Layout, *words: str) -> set[str]:
    """What bash offers for the last of the words."""
    given = " ".join(map(shlex.quote, ("bin/manage_vllm.sh", *words)))
    lines = (
        script(command_line(here).parser, "bash", here),
        f"COMP_WORDS=({given}) COMP_CWORD={len(words)} COMP_LINE={shlex.quote(given)}",
        "_shtab_manage_vllm_sh",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    done = subprocess.run(
        [shutil.which("bash") or "", "--norc"], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_verbs_options_and_second_words_are_offered(here: Layout) -> None:
    assert offered(here, "st") == {"start", "start-service", "status", "stop", "stop-service"}
    assert offered(here, "keys", "") >= {"make", "list", "rotate", "revoke"}
    assert offered(here, "stop", "--") == {"--help", "--force"}
    assert offered(here, "completion", "") == set(SHELLS)


def test_models_are_offered_where_one_is_taken(here: Layout) -> None:
    assert offered(here, "start", "") == {"demo-chat", "qwen2.5", "proxy", "supervisord"}
    assert offered(here, "why", "q") == {"qwen2.5"}
    for path in here.programs.iterdir():
        path.unlink()
    assert offered(here, "start", "") == {"proxy", "supervisord"}


def test_the_command_is_completed_by_whatever_path_it_is_called(here: Layout) -> None:
    made = script(command_line(here).parser, "bash", here)
    assert made.rstrip().splitlines()[-1].endswith(" manage_vllm.sh")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_takes_it(here: Layout) -> None:
    made = script(command_line(here).parser, "zsh", here)
    lines = ("autoload -Uz compinit; compinit -u -D", f"eval {shlex.quote(made)}", "print ${_comps[manage_vllm.sh]}")
    done = subprocess.run(
        [shutil.which("zsh") or "", "-f"], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("_shtab_manage_vllm_sh", "")


def test_the_verb_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        assert "_rota_models" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["completion", "fish"])
