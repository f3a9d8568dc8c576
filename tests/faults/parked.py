"""The faults of starts that are prepared: real vLLM, whose process is parked ahead and forks its engine with leave."""

import itertools
import os
import signal
from collections.abc import Callable

import yaml

from tests.faults.house import House
from tests.faults.injections import Fault
from tests.installation import eventually

KILL = signal.SIGKILL
PARKED_WITHIN_S = 120.0
_numbers = itertools.count(1)


def parked(house: House) -> int:
    """Bring the main model there, whatever was learned of its starts before. Returns the pid of its process."""
    path = house.of.catalog / f"{house.main}.yaml"
    entry = yaml.safe_load(path.read_text())
    entry["env"] = entry.get("env", {}) | {"TOLD_APART": str(next(_numbers))}  # so that it is another start
    path.write_text(yaml.safe_dump(entry))
    assert house.of.manage("reload").returncode == 0
    house.warm(house.other)
    eventually(lambda: house.of.engine(house.main)["parked_bytes"], within_s=PARKED_WITHIN_S, every_s=0.1)
    return int(house.of.engine(house.main)["pid"])


def _killed_while_parked(house: House) -> str:
    os.kill(parked(house), KILL)
    house.wait_state(house.main, "stopped")
    assert "not parked again for" in house.of.engine(house.main)["why"]
    return house.main


def while_it_starts(who: str, when: Callable[[House], object]) -> Callable[[House], str]:
    """Kill `who` of its processes as soon as `when` holds: a plain start answers the same request."""

    def inject(house: House) -> str:
        parked(house)
        asked = house.ask(house.main)
        eventually(lambda: when(house), within_s=60, every_s=0.005)
        house.send(KILL, house.main, who)
        assert asked.done() == "answered", asked.outcome
        assert house.of.engine(house.main)["starts_plainly"]
        return house.main

    return inject


def _another_vllm_under_it(house: House) -> str:
    """It must not go on as a mixture of both."""
    before = parked(house)
    os.utime(house.of.root / "vllm")
    asked = house.ask(house.main)
    assert asked.done() == "answered", asked.outcome
    was_parked_anew = house.of.engine(house.main)["pid"] != before  # where the proxy has just looked
    said = "engine: vLLM was changed after it was imported: it is started anew"
    assert was_parked_anew or said in house.of.log(house.main)
    return house.main


def _host_memory_short(house: House) -> str:
    """It gives its memory back, and a start works all the same."""
    parked(house)
    told = house.of.root / "host_available"
    told.write_text("1000000")
    try:
        house.wait_state(house.main, "stopped", within_s=30)
        assert house.of.engine(house.main)["why"] == "its host memory is needed"
    finally:
        told.unlink()
    return house.main


def _has_leave(house: House) -> bool:
    return house.of.state(house.main) == "starting"


def _has_forked(house: House) -> bool:
    return "core" in house.members(house.main)


ON_PARKED: tuple[Fault, ...] = (
    Fault("kill -9 while parked ahead", _killed_while_parked),
    Fault("kill -9 at the moment of go", while_it_starts("api", _has_leave)),
    Fault("kill -9 of the forked engine while it starts", while_it_starts("core", _has_forked)),
    Fault("kill -9 of its parent while it starts", while_it_starts("api", _has_forked)),
    Fault("another vLLM under a parked process", _another_vllm_under_it),
    Fault("the host's memory is short", _host_memory_short),
)
