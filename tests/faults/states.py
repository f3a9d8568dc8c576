"""Brings a house into each state that harm can be done in.

`at(...)` brings `house.main` (or, for stopping, `house.other`) into a state, with requests in flight where that state
has any, and returns the model that is in it.
"""

import signal
from collections.abc import Callable

from tests.faults.house import House
from tests.installation import eventually

SLOW_S = 1.5
"""How long a transition takes that harm is to be done in."""


def at(house: House, state: str) -> str:
    return _STATES[state](house)


def cold(house: House, model: str) -> None:
    """Have it stopped, with nobody to blame."""
    house.send(signal.SIGKILL, model, "api", "core")
    house.wait_state(model, "stopped", "failed")
    house.calm()


def _starting(house: House) -> str:
    cold(house, house.main)
    house.of.control(house.main, start_s=SLOW_S)
    house.ask(house.main)
    house.wait_state(house.main, "starting")
    eventually(lambda: "core" in house.members(house.main), within_s=max(30, house.start_takes_s))
    return house.main


def _ready(house: House) -> str:
    house.warm(house.main)
    return house.main


def _mid_stream(house: House) -> str:
    house.warm(house.main)
    house.of.control(house.main, token_s=0.02)
    assert house.ask(house.main, tokens=150, stream=True).first_byte.wait(30)
    return house.main


def _draining(house: House) -> str:
    _mid_stream(house)
    house.ask(house.other)
    house.wait_state(house.main, "draining")
    return house.main


def _parked(house: House) -> str:
    """It has no memory yet, and waits at the gate while the other one drains."""
    _mid_stream(house)
    house.ask(house.other)
    house.wait_state(house.other, "parked")
    eventually(lambda: "api" in house.members(house.other), within_s=max(30, house.start_takes_s))
    return house.other


def _falling_asleep(house: House) -> str:
    house.warm(house.main)
    house.of.control(house.main, sleep_s=SLOW_S)
    house.fall_asleep()
    house.wait_state(house.main, "falling_asleep")
    return house.main


def _asleep(house: House) -> str:
    house.warm(house.main)
    house.fall_asleep()
    house.wait_state(house.main, "asleep")
    return house.main


def _waking(house: House) -> str:
    _asleep(house)
    house.of.control(house.main, wake_s=SLOW_S)
    house.ask(house.main)
    house.wait_state(house.main, "waking")
    return house.main


def _stopping(house: House) -> str:
    house.warm(house.other)
    house.of.control(house.other, ignore_term=True)
    house.ask(house.main)
    house.wait_state(house.other, "stopping")
    return house.other


_STATES: dict[str, Callable[[House], str]] = {
    "starting": _starting,
    "ready": _ready,
    "mid-stream": _mid_stream,
    "draining": _draining,
    "falling asleep": _falling_asleep,
    "asleep": _asleep,
    "waking": _waking,
    "stopping": _stopping,
}

STATES = tuple(_STATES)
_STATES["parked"] = _parked  # of one process, which holds no memory
