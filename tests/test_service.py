import os
import stat
from pathlib import Path

import msgspec
import pytest

from catalog.load import load
from proxy import service
from proxy.settings import Layout
from tests.installation import CHECKOUT, Installation, eventually, fake_model, running


def test_the_program_files_are_those_of_the_catalog_no_more_and_no_fewer(tmp_path: Path) -> None:
    here = Layout(tmp_path)
    here.programs.mkdir()
    for name in ("engine-old.conf", "supervisord.conf"):
        (here.programs / name).write_text("x")
    catalog = load(CHECKOUT / "catalog" / "demo", CHECKOUT)
    written = service.write_programs(here, catalog)
    assert [path.name for path in written] == [f"engine-{name}.conf" for name in sorted(catalog.models)]
    assert set(here.programs.iterdir()) == {*written, here.supervisord_conf}


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    here = Layout(tmp_path)
    here.programs.mkdir()
    catalog = load(CHECKOUT / "catalog" / "demo", CHECKOUT)
    before = {path: path.stat().st_mtime_ns for path in service.write_programs(here, catalog)}
    fewer = msgspec.structs.replace(catalog, models={"demo-chat": catalog.models["demo-chat"]})
    assert {path: path.stat().st_mtime_ns for path in service.write_programs(here, catalog)} == before
    assert [path.name for path in service.write_programs(here, fewer)] == ["engine-demo-chat.conf"]


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


def test_engines_that_outlive_a_killed_supervisord_are_ended_by_stop_service(installation: Installation) -> None:
    with running(installation):
        installation.chat(model="a")
        engine = installation.engine("a")["pid"]
        os.kill(int((installation.root / "var/run/supervisord.pid").read_text()), 9)
        eventually(lambda: "refused" in installation.supervisorctl("pid"))
        assert engine in installation.left_over()
        done = installation.manage("stop-service")
        assert done.returncode == 0, done.stderr
        eventually(lambda: engine not in installation.left_over())


def test_stopping_what_does_not_run_is_done_already(installation: Installation) -> None:
    done = installation.manage("stop-service")
    assert (done.returncode, done.stdout) == (0, "supervisord does not run\nstopped\n")


def test_restart_service_stops_and_starts(installation: Installation) -> None:
    with running(installation):
        before = installation.status()["proxy"]["pid"]
        done = installation.manage("restart-service")
        assert done.returncode == 0, done.stderr
        assert installation.status()["proxy"]["pid"] != before
