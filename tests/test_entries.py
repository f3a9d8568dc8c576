from pathlib import Path

import msgspec
import pytest

from catalog.spec import GIB, AgentRoute, Agents, Gib, ModelSpec
from proxy.adapters.host import HostDevices
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.entries import Entries, declared_on, entry_of
from tests.fleet_stage import spec

CPU = (Device("cpu0", "cpu0", DeviceKind.CPU, 8 * GIB, 4 * GIB),)
GPU = (Device("GPU-1", "gpu0", DeviceKind.NVIDIA, 24 * GIB, 23 * GIB),)
NO_VLLM = Path("nowhere/bin/vllm")


def model(**more: object) -> ModelSpec:
    return msgspec.structs.replace(spec("a"), memory_bytes=Gib(2 * GIB), kv_cache_bytes=Gib(GIB), **more)


def test_on_a_gpu_what_the_file_leaves_out_is_estimated() -> None:
    taken = declared_on(model(), GPU)
    assert taken == Amounts(2 * GIB, 2 * GIB, GIB + GIB // 4, GIB + GIB // 2)


def test_on_a_host_without_a_gpu_a_sleep_frees_and_pins_nothing_unless_the_file_says_so() -> None:
    assert declared_on(model(), CPU) == Amounts(2 * GIB, 2 * GIB, 2 * GIB, 0)
    assert declared_on(model(asleep_bytes=Gib(GIB)), CPU).asleep_bytes == GIB


def test_an_entry_says_what_the_scheduler_must_know(caplog: pytest.LogCaptureFixture) -> None:
    devices = HostDevices(lambda total: 4 * GIB)
    entry = entry_of(model(priority=2.0, devices=("gpu7", "cpu0")), devices, NO_VLLM)
    needs = entry.needs(entry.declared, Agents(agent_types={"Chat": AgentRoute(model="a", pinned=True)}))
    assert (needs.choices, needs.terms.priority, needs.terms.is_pinned) == ((("cpu0",),), 2.0, True)
    assert "there is no device 'gpu7'" in caplog.text


def test_a_changed_entry_counts_only_once_the_old_process_is_gone() -> None:
    devices = HostDevices(lambda total: 4 * GIB)
    old, new = (entry_of(model(max_model_len=length), devices, NO_VLLM) for length in (8, 16))
    entries = Entries([old])
    specs, keys = entries.specs, entries.keys
    entries.put_next(new)
    assert (specs["a"].max_model_len, keys["a"]) == (8, old.key)
    entries.use("a")
    assert (specs["a"].max_model_len, keys["a"]) == (16, new.key)
    assert old.key != new.key
    entries.use("a")
    assert specs["a"].max_model_len == 16


def test_what_decides_the_answers_is_told_of_it_also_where_it_takes_no_memory(tmp_path: Path) -> None:
    devices = HostDevices(lambda total: 4 * GIB)
    template = tmp_path / "chat.jinja"
    template.write_text("{{ messages }}")
    plain = model(chat_template=str(template))
    others = [
        plain,
        *(msgspec.structs.replace(plain, **more) for more in ({"system_prompt": "Be brief."}, {"vllm": "other/vllm"})),
        msgspec.structs.replace(plain, request_defaults={"max_tokens": 5}),
    ]
    each = [entry_of(one, devices, NO_VLLM) for one in others]
    told = {entry.tell() for entry in each}
    assert len(told) == len(each)
    assert len({entry.key for entry in each}) == 1
    entries = Entries(each[:1])
    before = dict(entries.told_as)
    assert before["a"] in told
    template.write_text("{{ messages[-1] }}")
    assert entries.told_as == before, "its engine has read the template as it was"
    entries.launched("a")
    now = entries.told_as["a"]
    assert now not in told
    template.unlink()
    entries.launched("a")
    assert entries.told_as["a"] not in {now, *told}


def test_what_is_put_counts_at_once_and_takes_the_place_of_what_was_to_come() -> None:
    devices = HostDevices(lambda total: 4 * GIB)
    old, new = (entry_of(model(description=text), devices, NO_VLLM) for text in ("old", "new"))
    entries = Entries([old])
    entries.put_next(entry_of(model(max_model_len=16), devices, NO_VLLM))
    entries.put(new)
    entries.use("a")
    assert (entries.specs["a"].description, entries.specs["a"].max_model_len) == ("new", 8)
