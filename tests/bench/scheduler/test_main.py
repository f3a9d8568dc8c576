"""The benchmark's command line."""

import re
from pathlib import Path

import pytest

from tests.bench.scheduler.__main__ import main
from tests.installation import CHECKOUT

EXAMPLE = CHECKOUT / "tests/bench/scheduler/example.csv"
ROW = re.compile(r"\S+ (rota|fifo-lru|ready-first|one-active|cost-aware|optimum) [\d.]+ [\d.]+ [\d.]+ [\d.]+")


def test_a_trace_of_ones_own_is_played_under_all_policies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", str(EXAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-6] == "trace policy swaps p95_wait_s worst_wait_s lost_s"
    assert all(ROW.fullmatch(line) for line in lines[-5:])


def test_one_trace_is_played_with_its_checks(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--only", "small-alternation-slow", "--seeds", "1"])
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line for line in lines if line.startswith(("pass  ", "MISS  "))]
    assert len(verdicts) == 6
    assert status == int(any(line.startswith("MISS") for line in verdicts))
    assert all(ROW.fullmatch(line) for line in lines[-6:])


def test_a_wrong_trace_is_refused_with_where(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("t_s,model,service_s\n1,chat,x\n")
    (tmp_path / "mine.yaml").write_text(EXAMPLE.with_suffix(".yaml").read_text())
    assert main(["--trace", str(tmp_path / "mine.csv")]) == 2
    assert "mine.csv:2: service_s: must be a number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--only", "nothing"], ["--seeds", "0"], ["--seeds", "many"], ["--trace"]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
