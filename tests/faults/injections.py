"""The faults: each brings the house into a state, does its harm, and leaves the three questions to the test."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from tests.faults.house import House, change, wait_gone
from tests.faults.states import STATES, at, cold
from tests.installation import eventually

KILL, STOP, TERM = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM
GIB = 2**30

Injection = Callable[[House], str]
"""Does the harm. Returns the model whose next request must be answered."""


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Injection


# --- harm to processes --------------------------------------------------------------------------------------------


def signalled(state: str, number: signal.Signals, *who: str, then_ask: bool = False) -> Fault:
    """A signal to processes of an engine in a state; `then_ask`: somebody wants it afterwards."""

    def inject(house: House) -> str:
        model = at(house, state)
        began_at = time.monotonic()
        house.send(number, model, *who)
        if number is KILL and state == "ready":
            eventually(lambda: house.of.state(model) != "ready", within_s=10, every_s=0.005)
            house.noticed_s = time.monotonic() - began_at
        if then_ask:
            house.ask(model)
        return model

    name = {KILL: "kill -9", STOP: "SIGSTOP", TERM: "exit 0"}[number]
    targets = {"api": "the API server", "core": "EngineCore"}
    whom = " and ".join(targets[one] for one in who)
    return Fault(f"{name} of {whom}, {state}", inject)


def proxy_killed(state: str) -> Fault:
    def inject(house: House) -> str:
        model = at(house, state)
        house.kill_proxy()
        return model

    return Fault(f"kill -9 of the proxy, {state}", inject)


def supervisord_killed(state: str) -> Fault:
    def inject(house: House) -> str:
        model = at(house, state)
        old = house.supervisord_pid()
        os.kill(old, KILL)
        wait_gone(old)

        def is_back() -> bool:
            with contextlib.suppress(OSError, ValueError):
                return house.supervisord_pid() != old and house.is_up()
            return False

        eventually(is_back, within_s=60)
        return model

    return Fault(f"kill -9 of supervisord, {state}", inject)


# --- engines that misbehave ---------------------------------------------------------------------------------------


def told(name: str, when: str, then: str, **control: object) -> Fault:
    """The engine is told to misbehave; `when` it is in a state, it is made to go to the next by `then`."""

    def inject(house: House) -> str:
        if when:
            at(house, when)
        house.of.control(house.main, **control)
        match then:
            case "ask":
                house.ask(house.main).done()
            case "sleep":
                house.fall_asleep()
                house.wait_state(house.main, "stopped")
        house.of.control(house.main)
        return house.main

    return Fault(name, inject)


def _memory_stays_after_its_end(house: House) -> str:
    """It never comes back by itself: after the time limit it is a stranger's, and that is said."""
    house.warm(house.other)
    path = house.of.nvml / f"{house.members(house.other)['core']}.json"
    change(path, sticky_until=2**40)
    house.send(KILL, house.other, "api", "core")
    asked = house.ask(house.other)
    eventually(lambda: "have not come back" in house.of.log("proxy"), within_s=20)
    assert "blocked_by_others" in asked.done(), asked.outcome
    path.unlink()
    return house.other


def _memory_comes_back_late(house: House) -> str:
    house.warm(house.main)
    path = house.of.nvml / f"{house.members(house.main)['core']}.json"
    change(path, sticky_until=time.time() + 1.0)
    house.send(KILL, house.main, "api")
    house.ask(house.main)
    return house.main


def _stranger(house: House, gib: float) -> subprocess.Popen[bytes]:
    """Another process that takes memory of the large GPU."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600) # train.py"])
    path = house.of.nvml / f"{stranger.pid}.json"
    path.write_text(json.dumps({LARGE: round(gib * GIB)}))
    return stranger


LARGE = "GPU-large"


def _end_stranger(stranger: subprocess.Popen[bytes]) -> None:
    stranger.kill()
    stranger.wait()


def _a_stranger_before_the_start(house: House) -> str:
    cold(house, house.main)
    stranger = _stranger(house, 16)
    try:
        seen_s = eventually(lambda: house.of.status()["devices"][0]["strangers"]["bytes"] > 15 * GIB, within_s=2)
        asked = house.ask(house.main)
        assert f"pid {stranger.pid}" in asked.done(), asked.outcome
        assert seen_s < 2
    finally:
        _end_stranger(stranger)
    return house.main


def _a_stranger_while_asleep(house: House) -> str:
    at(house, "asleep")
    stranger = _stranger(house, 16)
    try:
        eventually(lambda: house.of.status()["devices"][0]["strangers"]["bytes"] > 15 * GIB, within_s=2)
        assert "blocked_by_others" in house.ask(house.main).done(), house.asked[-1].outcome
    finally:
        _end_stranger(stranger)
    return house.main


def _a_stranger_beside_a_running_engine(house: House) -> str:
    house.warm(house.main)
    stranger = _stranger(house, 8)
    try:
        eventually(lambda: house.of.status()["devices"][0]["strangers"]["bytes"] > 7 * GIB, within_s=2)
        assert house.ask(house.main).done() == "answered"
    finally:
        _end_stranger(stranger)
    return house.main


def _nvml_fails_for_a_while(house: House) -> str:
    house.warm(house.main)
    (house.of.nvml / "broken").touch()
    time.sleep(1.5)
    assert house.ask(house.main).done() == "answered"
    house.ask(house.other)
    time.sleep(1.0)
    (house.of.nvml / "broken").unlink()
    return house.other


# --- the machine around it ----------------------------------------------------------------------------------------


def _port_taken(house: House) -> str:
    port = next(one["port"] for one in house.of.status()["engines"] if one["model"] == house.main)
    house.of.supervisorctl("stop", house.main)
    house.calm()
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", port))
        taker.listen()
        house.private(f"/engines/{house.main}/start")
        assert "port_taken" in house.ask(house.main).done(), house.asked[-1].outcome
    return house.main


def _log_deleted(house: House) -> str:
    house.warm(house.main)
    (house.of.root / "var" / "log" / f"{house.main}.log").unlink()
    house.send(KILL, house.main, "core")
    return house.main


def _disk_full_for_logs(house: House) -> str:
    path = house.of.root / "var" / "log" / f"{house.main}.log"
    house.of.supervisorctl("stop", house.main)
    house.calm()
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/full")
    house.of.supervisorctl("clear", house.main)
    try:
        house.private(f"/engines/{house.main}/start")
        assert house.ask(house.main).done() == "answered", house.asked[-1].outcome
    finally:
        path.unlink()
    return house.main


def _disk_full_for_state(house: House) -> str:
    state = house.of.root / "var" / "state"
    state.mkdir(exist_ok=True)
    tmps = [state / f"{name}.json.tmp" for name in ("figures", "probes", "stopped_by_hand")]
    for tmp in tmps:
        tmp.symlink_to("/dev/full")
    house.of.supervisorctl("restart", house.main)
    house.wait_state(house.main, "ready")
    assert house.ask(house.main).done() == "answered"
    for tmp in tmps:
        tmp.unlink(missing_ok=True)
    return house.main


def state_files(name: str, spoil: Callable[[bytes], bytes]) -> Fault:
    def inject(house: House) -> str:
        at(house, "asleep")
        for path in (house.of.root / "var" / "state").glob("*.json"):
            path.write_bytes(spoil(path.read_bytes()))
        house.kill_proxy()
        assert house.of.state(house.main) == "asleep", "adopted all the same"
        return house.main

    return Fault(name, inject)


def clock_steps(name: str, seconds: float) -> Fault:
    """The wall clock of the proxy and of supervisord steps; see tests/fakes/machine/sitecustomize.py."""

    def inject(house: House) -> str:
        house.warm(house.main)
        (house.of.root / "clock").write_text(str(seconds))
        try:
            assert house.ask(house.main).done() == "answered"
            house.ask(house.other).done()
            house.ask(house.main).done()
        finally:
            (house.of.root / "clock").unlink()
        return house.main

    return Fault(name, inject)


def _a_thousand_leave(house: House) -> str:
    """A thousand clients wait for a start, and go, all at once."""
    house.of.supervisorctl("stop", house.main)
    house.calm()
    house.of.control(house.main, start_s=4.0)
    threading.Thread(target=house.private, args=(f"/engines/{house.main}/start",), daemon=True).start()
    house.wait_state(house.main, "starting")
    body = json.dumps({"model": house.main, "prompt": "x", "max_tokens": 50, "stream": True}).encode()
    request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    clients = []
    for _ in range(1000):
        client = socket.create_connection(("127.0.0.1", house.of.port))
        client.sendall(request)
        clients.append(client)
    waiting = eventually(lambda: house.of.engine(house.main)["waiting"] + house.of.engine(house.main)["leases"] >= 990)
    assert waiting < 10
    for client in clients:
        client.close()
    eventually(lambda: house.of.engine(house.main)["waiting"] == 0, within_s=10)
    return house.main


def _stopped_by_hand(house: House) -> str:
    house.warm(house.main)
    house.of.supervisorctl("stop", house.main)
    seen_s = eventually(lambda: house.of.state(house.main) == "stopped", within_s=1)
    told = house.of.engine(house.main)["stopped_by"]
    assert (seen_s < 1, told) == (True, "with supervisorctl")
    assert "stopped_by_hand" in house.ask(house.main).done(), house.asked[-1].outcome
    return house.main


def _restarted_by_hand(house: House) -> str:
    at(house, "mid-stream")
    house.of.supervisorctl("restart", house.main)
    return house.main


def _proxy_restarted_by_supervisorctl(house: House) -> str:
    at(house, "asleep")
    house.of.supervisorctl("restart", "proxy")
    eventually(house.is_up, within_s=20)
    assert house.of.state(house.main) == "asleep"
    return house.main


def _wrong_flag(house: House) -> str:
    """A start that fails for a reason that lasts, and a fallback that answers in its place."""
    house.of.supervisorctl("stop", house.main)
    house.calm()
    house.of.control(house.main, fail="start")
    house.private(f"/engines/{house.main}/start")
    answer = httpx.post(
        f"{house.of.url}/v1/completions",
        json={"agent_type": "Main", "prompt": "x", "max_tokens": 2},
        timeout=30,
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["model"]) == (200, "chat"), answer.text
    assert answer.headers["X-Rota-Fallback"] == f"chat; for={house.main}; because=engine_start_failed"
    house.of.control(house.main)
    return house.main


# --- all of them --------------------------------------------------------------------------------------------------

_EVERYWHERE = STATES
_BOTH = ("api", "core")

FAULTS: tuple[Fault, ...] = (
    *(signalled(state, KILL, "api") for state in _EVERYWHERE),
    *(signalled(state, KILL, "core") for state in _EVERYWHERE),
    *(signalled(state, KILL, *_BOTH) for state in _EVERYWHERE),
    *(signalled(state, STOP, "api", then_ask=state in ("ready", "asleep")) for state in _EVERYWHERE),
    *(signalled(state, STOP, "core", then_ask=state in ("ready", "asleep")) for state in _EVERYWHERE),
    *(signalled(state, TERM, "api") for state in _EVERYWHERE if state != "stopping"),
    *(proxy_killed(state) for state in _EVERYWHERE),
    *(supervisord_killed(state) for state in ("ready", "mid-stream", "asleep", "parked")),
    *(signalled("parked", number, "api") for number in (KILL, STOP, TERM)),
    proxy_killed("parked"),
    told("a start that hangs", "", "ask", fail="never-ready"),
    told("a start that fails", "", "ask", fail="start"),
    told("a sleep that fails", "ready", "sleep", sleep="fail"),
    told("a sleep that hangs", "ready", "sleep", sleep="hang"),
    told("a sleep that frees nothing", "ready", "sleep", sleep="keep"),
    told("a wake that fails", "asleep", "ask", wake="fail"),
    told("a wake that hangs", "asleep", "ask", wake="hang"),
    told("a wake that answers garbage", "asleep", "ask", wake="garbage"),
    Fault("memory that never comes back", _memory_stays_after_its_end),
    Fault("memory that comes back late", _memory_comes_back_late),
    Fault("a stranger before the start", _a_stranger_before_the_start),
    Fault("a stranger while it sleeps", _a_stranger_while_asleep),
    Fault("a stranger beside it", _a_stranger_beside_a_running_engine),
    Fault("NVML fails for a while", _nvml_fails_for_a_while),
    Fault("its port is taken", _port_taken),
    Fault("its log is deleted", _log_deleted),
    Fault("the disk is full for its log", _disk_full_for_logs),
    Fault("the disk is full for the state", _disk_full_for_state),
    state_files("state files that are cut off", lambda old: old[: len(old) // 2]),
    state_files("state files that are garbage", lambda old: b"\xff\x00{" + old),
    clock_steps("the clock steps forward a day", 86_400.0),
    clock_steps("the clock steps back a day", -86_400.0),
    Fault("a thousand clients leave at once", _a_thousand_leave),
    Fault("stopped by hand", _stopped_by_hand),
    Fault("restarted by hand in mid-stream", _restarted_by_hand),
    Fault("the proxy restarted by hand", _proxy_restarted_by_supervisorctl),
    Fault("a start that fails, with a fallback", _wrong_flag),
)

ON_REAL_VLLM: tuple[Fault, ...] = (
    signalled("ready", KILL, "api"),
    signalled("ready", KILL, "core"),
    signalled("mid-stream", KILL, *_BOTH),
    signalled("mid-stream", STOP, "core"),
    signalled("ready", TERM, "api"),
    signalled("asleep", KILL, "core"),
    signalled("starting", KILL, "api"),
    proxy_killed("mid-stream"),
    proxy_killed("asleep"),
    supervisord_killed("ready"),
)
"""The ten that matter most; each that ends an engine costs a real start."""
