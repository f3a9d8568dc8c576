from collections.abc import Sequence
from pathlib import Path

import pytest

from catalog.load import load
from proxy.adapters import programs
from proxy.adapters.programs import Programs
from proxy.adapters.supervisord import Program, SupervisorError
from tests.fleet_stage import spec
from tests.installation import CHECKOUT


def test_the_program_files_are_those_of_the_catalog_no_more_and_no_fewer(tmp_path: Path) -> None:
    for name in ("engine-old.conf", "supervisord.conf"):
        (tmp_path / name).write_text("x")
    catalog = load(CHECKOUT / "catalog" / "demo", CHECKOUT)
    written = programs.write(tmp_path, catalog.models.values())
    assert [path.name for path in written] == [f"engine-{name}.conf" for name in sorted(catalog.models)]
    assert set(tmp_path.iterdir()) == {*written, tmp_path / "supervisord.conf"}


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    catalog = load(CHECKOUT / "catalog" / "demo", CHECKOUT)
    before = {path: path.stat().st_mtime_ns for path in programs.write(tmp_path, catalog.models.values())}
    assert {path: path.stat().st_mtime_ns for path in programs.write(tmp_path, catalog.models.values())} == before
    assert [path.name for path in programs.write(tmp_path, [catalog.models["demo-chat"]])] == ["engine-demo-chat.conf"]


class FakeSupervisor:
    """Knows `a` and the proxy, and reads nothing."""

    def __init__(self) -> None:
        self.known = ["a", "proxy"]
        self.error: SupervisorError | None = None

    async def programs(self) -> dict[str, Program]:
        return {name: Program(name, "STOPPED", None, False, True, 0) for name in self.known}

    async def add(self, names: Sequence[str]) -> None:
        if self.error:
            raise self.error
        self.known += names

    async def remove(self, name: str) -> None:
        if self.error:
            raise self.error
        self.known.remove(name)


async def test_supervisord_is_told_of_new_models_only(tmp_path: Path) -> None:
    supervisor = FakeSupervisor()
    known = Programs(tmp_path, supervisor, ["a"])
    await known.use([spec("a"), spec("b")])
    assert supervisor.known == ["a", "proxy", "b"]
    assert programs.names(tmp_path) == ["b"]


async def test_a_program_goes_when_its_engine_is_gone_and_not_if_its_model_has_come_back(tmp_path: Path) -> None:
    supervisor = FakeSupervisor()
    programs.write(tmp_path, [spec("a")])
    known = Programs(tmp_path, supervisor, ["a"])
    await known.remove("a")
    assert (supervisor.known, programs.names(tmp_path)) == (["a", "proxy"], ["a"])
    await known.use([])
    assert supervisor.known == ["a", "proxy"], "its engine may run"
    await known.remove("a")
    assert (supervisor.known, programs.names(tmp_path)) == (["proxy"], [])


async def test_a_supervisord_that_refuses_a_new_program_is_told_and_what_it_keeps_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "RETRY_S", 0)
    supervisor = FakeSupervisor()
    supervisor.error = SupervisorError("no")
    known = Programs(tmp_path, supervisor, [])
    with pytest.raises(SupervisorError):
        await known.use([spec("b")])
    await known.remove("b")
    assert "supervisord keeps its program: no" in caplog.text


async def test_what_the_catalog_has_not_any_more_when_the_proxy_comes_is_forgotten(tmp_path: Path) -> None:
    supervisor = FakeSupervisor()
    programs.write(tmp_path, [spec("a")])
    await Programs(tmp_path, supervisor, ["c"]).remove_strangers()
    assert supervisor.known == ["proxy"]


async def test_a_process_that_has_not_ended_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "RETRY_S", 0)
    supervisor = FakeSupervisor()
    programs.write(tmp_path, [spec("a")])
    refusals = [SupervisorError("STILL_RUNNING"), SupervisorError("STILL_RUNNING"), None]
    remove = supervisor.remove

    async def refuse_twice(name: str) -> None:
        supervisor.error = refusals.pop(0)
        await remove(name)

    monkeypatch.setattr(supervisor, "remove", refuse_twice)
    await Programs(tmp_path, supervisor, []).remove("a")
    assert (refusals, supervisor.known, programs.names(tmp_path)) == ([], ["proxy"], [])
