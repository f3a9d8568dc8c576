from typing import Any

import pytest

from catalog.amounts import ASLEEP_BYTES, Declared, declared, sleep_levels_of
from catalog.spec import GIB, Gib, ModelSpec


def spec_of(memory: float = 10, **more: Any) -> ModelSpec:
    fixed = {"name": "a", "weights": "/w", "port": 8101, "max_model_len": 8}
    return ModelSpec(**{**fixed, "memory_bytes": Gib(memory * GIB), **more})


def test_what_the_file_says_is_taken_as_it_is() -> None:
    said = {"startup_peak_bytes": Gib(12), "asleep_bytes": Gib(3), "sleep_host_bytes": Gib(4)}
    assert declared(spec_of(**said)) == Declared(12, 10 * GIB, 3, 4)


def test_what_it_does_not_say_is_estimated() -> None:
    assert declared(spec_of(kv_cache_bytes=Gib(2 * GIB))) == Declared(10 * GIB, 10 * GIB, ASLEEP_BYTES, 12 * GIB)


def test_a_small_model_keeps_no_more_asleep_than_it_takes_awake() -> None:
    assert declared(spec_of(memory=1)).asleep_bytes == GIB


def test_the_weights_on_all_devices_are_pinned() -> None:
    assert declared(spec_of(device_count=2)).sleep_host_bytes == 2 * declared(spec_of()).sleep_host_bytes


@pytest.mark.parametrize(
    ("more", "is_gpu", "levels"),
    [
        ({}, True, (1, 2)),
        ({}, False, ()),
        ({"embedder": True}, True, ()),
        ({"embedder": True, "sleep_levels": (2,)}, True, (2,)),
        ({"sleep_levels": (2, 1)}, False, (1, 2)),
        ({"sleep_levels": ()}, True, ()),
    ],
)
def test_who_may_sleep_and_how_deep(more: dict[str, Any], is_gpu: bool, levels: tuple[int, ...]) -> None:
    assert sleep_levels_of(spec_of(**more), is_gpu) == levels
