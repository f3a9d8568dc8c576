"""A trace of one's own: what may stand in its files, and what is said about a wrong one."""

from pathlib import Path

import pytest

from tests.bench.scheduler.trace_file import TraceError, read
from tests.installation import CHECKOUT

WORLD = "devices_gib: {gpu0: 24}\nmodels:\n  a: {gib: 20, start_s: 50}\n  b: {gib: 20, start_s: 50}\n"
HEAD = "t_s,model,service_s\n"


def written(folder: Path, rows: str, world: str = WORLD, name: str = "mine") -> Path:
    path = folder / f"{name}.csv"
    path.write_text(rows)
    path.with_suffix(".yaml").write_text(world)
    return path


def test_the_example_is_read() -> None:
    trace = read(CHECKOUT / "tests/bench/scheduler/example.csv")
    assert (trace.name, len(trace.requests)) == ("example", 12)
    assert trace.world.models["chat"].sleep_levels == (1, 2)
    assert trace.world.models["claims"].prepare_s == 7.0


def test_lines_may_stand_in_any_order_and_have_blanks(tmp_path: Path) -> None:
    trace = read(written(tmp_path, f"{HEAD}9, b, 1\n\n2.5 ,a,4\n", name="my trace"))
    assert trace.name == "my-trace", "a row of the report has no blank in a name"
    assert [(one.number, one.at_s, one.model, one.service_s) for one in trace.requests] == [
        (0, 2.5, "a", 4.0),
        (1, 9.0, "b", 1.0),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f"{HEAD}1,a,2\n2,c,2\n", "mine.csv:3: model: 'c' is not in"),
        (f"{HEAD}1,c,2\n", "Allowed: a, b"),
        (f"{HEAD}-1,a,2\n", "mine.csv:2: t_s: must be a number of seconds from 0 to 10000000000, and is '-1'"),
        (f"{HEAD}1,a,-2\n", "mine.csv:2: service_s: must be a number"),
        (
            f"{HEAD}1,a,soon\n",
            "mine.csv:2: service_s: must be a number of seconds from 0 to 10000000000, and is 'soon'",
        ),
        (f"{HEAD}nan,a,1\n", "mine.csv:2: t_s: must be"),
        (f"{HEAD}1,a,inf\n", "mine.csv:2: service_s: must be"),
        (f"{HEAD}1,a\n", "mine.csv:2: 2 values, and must be 3: t_s,model,service_s"),
        (f"{HEAD}1,a,2,3\n", "mine.csv:2: 4 values"),
        (f'{HEAD}1,"a,2\n', "mine.csv:2: is not CSV"),
        (
            "t,model,service\n1,a,2\n",
            "mine.csv:1: the first line must be t_s,model,service_s, and is 't,model,service'",
        ),
        ("", "mine.csv:1: the first line must be"),
        (HEAD, "mine.csv: no request follows the first line"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_allowed(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(TraceError) as caught:
        read(written(tmp_path, rows))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (WORLD.replace("gib: 20", "gib: -1", 1), "mine.yaml:3: models.a.gib: Expected `float` > 0.0"),
        (WORLD.replace("start_s", "starts", 1), "Did you mean 'start_s'?"),
        (
            WORLD.replace("gib: 20", "gib: 30", 1),
            "mine.yaml:3: models.a.gib: 30 GiB fit on no device; the largest has 24",
        ),
        (WORLD.replace("50", "5", 1), "prepare_s (here 7) is a part of start_s (here 5)"),
        (WORLD.replace("50", "50, sleep_levels: [3]", 1), "mine.yaml:3: models.a.sleep_levels"),
        (WORLD.replace("50", "50, asleep_gib: 21", 1), "asleep_gib (here 21) is a part of gib (here 20)"),
        ("models: {a: {gib: 20, start_s: 50}}\n", "the required key 'devices_gib' is missing"),
        ("devices_gib: {gpu0: 24}\nmodels: {}\n", "mine.yaml:2: models"),
        ("devices_gib: [\n", "mine.yaml:2: is not YAML"),
    ],
)
def test_a_wrong_world_is_named_with_line_and_key(tmp_path: Path, world: str, said: str) -> None:
    with pytest.raises(TraceError) as caught:
        read(written(tmp_path, f"{HEAD}1,a,2\n", world))
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"mine\.yaml: cannot be read: No such file"):
        read(tmp_path / "mine.csv")
    (tmp_path / "mine.yaml").write_text(WORLD)
    with pytest.raises(TraceError, match=r"mine\.csv: cannot be read: No such file"):
        read(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(TraceError, match=r"mine\.csv: is not UTF-8 text"):
        read(tmp_path / "mine.csv")
