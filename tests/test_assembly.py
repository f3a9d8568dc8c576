import logging
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from catalog.spec import GIB, AgentRoute, Agents, Catalog, Gib, ModelSpec
from proxy import assembly
from proxy.adapters.host import HostDevices
from proxy.assembly import assemble
from proxy.settings import Layout, Settings
from tests.fleet_stage import spec


def model(**more: object) -> ModelSpec:
    return msgspec.structs.replace(spec("a"), memory_bytes=Gib(2 * GIB), kv_cache_bytes=Gib(GIB), **more)


async def test_a_fleet_is_put_together_with_what_was_learned_and_the_devices_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(assembly, "open_devices", lambda **limits: HostDevices(lambda total: 4 * GIB))
    models = {"a": model(), "b": msgspec.structs.replace(spec("b"), devices=("gpu7",))}
    agents = Agents(agent_types={"Chat": AgentRoute(model="a")})
    catalog = Catalog(folder=tmp_path, models=models, agents=agents)
    with caplog.at_level(logging.WARNING):
        async with AsyncExitStack() as stack:
            settings = Settings(sleep_host_bytes=Gib(GIB))
            parts = await assemble(Layout(tmp_path), settings, catalog, stack)
            a, b = parts.fleet.view()
    assert (a.amounts.awake_bytes, parts.fleet.ledger.host_bytes) == (2 * GIB, GIB)
    assert list(parts.fleet.ledger.devices) == ["cpu0"]
    assert "b: there is no device 'gpu7'" in caplog.text
    assert "cpu0 (cpu0)" in caplog.text
    assert "b may run on no device of this machine" in caplog.text
    assert "a's weights are missing" in caplog.text
    assert b.devices == ()
