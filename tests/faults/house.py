"""A whole Rota to do harm to, and the three questions after each harm: do the books agree with the machine, is no
process left over, and is the next request answered?"""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from proxy.adapters import processes
from tests.installation import Installation, eventually

TRANSITIONS = ("starting", "draining", "falling_asleep", "waking", "stopping")
RUNNING = ("starting", "ready", "draining", "falling_asleep", "asleep", "waking", "stopping")
TOLERANCE_BYTES = 64 * 2**20
ANSWERED_WITHIN_S = 60.0


@dataclass
class Asked:
    """One client's request, in a thread of its own, and what became of it."""

    model: str
    within_s: float
    """Until then something has become of it; where an engine must be started for it, that takes what a start takes."""
    outcome: str = "still waiting"
    text: str = ""
    """The body of the answer."""
    status: int | None = None
    first_byte: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def is_explained(self) -> bool:
        """A whole answer, an error that says why, or a broken connection: never a clean end of half an answer."""
        return self.outcome.startswith(("answered", "error ", "broken "))

    def done(self) -> str:
        """What became of it; waits for that."""
        assert self.thread is not None
        self.thread.join(self.within_s)
        return self.outcome


class House:
    """An installation, its clients, and its ground truth. `main` can sleep, `other` needs its room and cannot."""

    def __init__(self, installation: Installation, *, main: str, other: str, start_takes_s: float) -> None:
        self.of = installation
        self.main = main
        self.other = other
        self.start_takes_s = start_takes_s
        self.asked: list[Asked] = []
        self.noticed_s: float | None = None
        self.expected_strangers: dict[str, int] = {}
        self.told: dict[str, set[str]] = {}
        """The different answers that each model has given to the same question, after all that was done to it."""

    # --- clients --------------------------------------------------------------------------------------------------

    def ask(self, model: str, tokens: int = 4, *, stream: bool = False) -> Asked:
        """Begin a request."""
        asked = Asked(model, max(ANSWERED_WITHIN_S, self.start_takes_s))
        asked.thread = threading.Thread(target=self._ask, args=(asked, tokens, stream), daemon=True)
        asked.thread.start()
        self.asked.append(asked)
        return asked

    def _ask(self, asked: Asked, tokens: int, stream: bool) -> None:
        body: dict[str, object] = {"model": asked.model, "prompt": "Tell", "max_tokens": tokens, "stream": stream}
        body |= {"ignore_eos": True, "temperature": 0}
        try:
            with httpx.stream(
                "POST", f"{self.of.url}/v1/completions", json=body, timeout=asked.within_s, trust_env=False
            ) as answer:
                asked.status = answer.status_code
                text = ""
                for piece in answer.iter_text():
                    asked.first_byte.set()
                    text += piece
            asked.text, asked.outcome = text, self._read(answer, text, stream)
        except httpx.HTTPError as error:
            asked.outcome = f"broken {type(error).__name__}"
        finally:
            asked.first_byte.set()

    @staticmethod
    def _read(answer: httpx.Response, text: str, stream: bool) -> str:
        if answer.status_code != httpx.codes.OK:
            message = json.loads(text)["error"]["message"]
            own = answer.headers.get("X-Rota-Error")
            return (
                f"error {answer.status_code} {own or 'of vLLM'}: {message.splitlines()[0]}" if message else "no reason"
            )
        if stream and '"error"' in text:
            return "error in the stream, of vLLM"
        return "answered" if not stream or "data: [DONE]" in text else "half an answer with a clean end"

    def warm(self, model: str) -> None:
        """Have the engine ready and idle."""
        assert self.ask(model).done() == "answered", self.asked[-1].outcome
        self.asked.pop()
        self.wait_state(model, "ready")

    # --- the outside ----------------------------------------------------------------------------------------------

    def wait_state(self, model: str, *states: str, within_s: float | None = None) -> float:
        return eventually(
            lambda: self.of.state(model) in states or None, within_s=within_s or self.start_takes_s, every_s=0.02
        )

    def private(self, path: str) -> httpx.Response:
        """A verb on the Unix socket."""
        transport = httpx.HTTPTransport(uds=str(self.of.gate_socket))
        with httpx.Client(transport=transport, base_url="http://proxy", timeout=ANSWERED_WITHIN_S) as client:
            return client.post(path)

    def fall_asleep(self, level: int = 1) -> None:
        answer = self.private(f"/engines/{self.main}/sleep?level={level}")
        assert answer.status_code == 202, answer.text

    def members(self, model: str) -> dict[str, int]:
        """The pids of an engine: "api", and "core" (vLLM's EngineCore)."""
        mine = [one for one in processes.of_installation(self.of.gate_socket) if one.model == model]
        leaders = {one.group for one in mine}
        found = {}
        for one in mine:
            title = processes.title(one.pid)
            if one.pid in leaders:
                found["api"] = one.pid
            elif title.startswith("VLLM::EngineCore"):
                found["core"] = one.pid
        return found

    def send(self, number: signal.Signals, model: str, *who: str) -> None:
        """Send a signal to the named processes of an engine, at once."""
        pids = self.members(model)
        for pid in (pids[name] for name in who if name in pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def proxy_pid(self) -> int:
        return int(self.of.status()["proxy"]["pid"])

    def kill_proxy(self) -> None:
        """kill -9, and wait for the next one."""
        old = self.proxy_pid()
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.is_up() and self.proxy_pid() != old, within_s=30)

    def supervisord_pid(self) -> int:
        return int((self.of.root / "var" / "run" / "supervisord.pid").read_text())

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.of.url}/health", trust_env=False, timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    # --- the three questions --------------------------------------------------------------------------------------

    def check(self, model: str) -> None:
        """Ask them, within bounds."""
        for asked in self.asked:
            assert asked.done() != "still waiting", f"a request for {asked.model} was never answered"
            assert asked.is_explained, f"a request for {asked.model}: {asked.outcome}"
        self.calm()
        for name in {engine["model"] for engine in self.of.status()["engines"] if engine["stopped_by"]}:
            assert self.private(f"/engines/{name}/start").status_code == httpx.codes.OK
        after = self.ask(model, tokens=24)
        assert after.done() == "answered", f"the next request: {after.outcome}"
        self.told.setdefault(model, set()).add(json.loads(after.text)["choices"][0]["text"])
        self.asked.pop()
        eventually(self.is_true, within_s=15)

    def calm(self) -> None:
        """Wait until nothing is under way, and no cool-down of a passing cause is left."""

        def is_calm() -> bool:
            engines = self.of.status()["engines"]
            return all(one["state"] not in TRANSITIONS and one["retry_in_s"] is None for one in engines)

        eventually(lambda: self.is_up() and is_calm(), within_s=2 * self.start_takes_s + 30, every_s=0.1)

    def is_true(self) -> bool:
        """Whether the ledger is what the machine shows. Prints the difference, if any, for the log of a failure."""
        wrong = list(self.lies())
        if wrong:
            print(*wrong, sep="\n")
        return not wrong

    def lies(self) -> Iterator[str]:
        """Every difference between /status and the machine."""
        status = self.of.status()
        alive: dict[str, set[int]] = {}
        for one in processes.of_installation(self.of.gate_socket):
            alive.setdefault(one.model, set()).add(one.group)
        for engine in status["engines"]:
            model, groups = engine["model"], alive.get(engine["model"], set())
            should = {engine["pid"]} if engine["state"] in RUNNING or engine["parked_bytes"] else set()
            if groups != should:
                yield f"{model} is {engine['state']} with process groups {groups}, should be {should}"
            if engine["leases"] or engine["waiting"]:
                yield f"{model} has {engine['leases']} leases and {engine['waiting']} waiters, and nobody asks"
        for device in status["devices"]:
            yield from self._device_lies(device, status)

    def _device_lies(self, device: dict[str, Any], status: dict[str, Any]) -> Iterator[str]:
        here = {one["model"] for one in status["engines"] if device["id"] in one["devices"]}
        if here != set(device["reservations"]):
            yield f"{device['name']} has reservations {device['reservations']}, engines {here}"
        if device["free_bytes"] < 0:
            yield f"{device['name']} is overdrawn: {device}"
        if device["kind"] == "cpu":
            return
        for model, reserved in device["reservations"].items():
            held = self.held_on_gpu(model, device["id"])
            if held > reserved + TOLERANCE_BYTES:
                yield f"{model} holds {held} on {device['name']}, reserved {reserved}"
        strangers = device["strangers"]["bytes"] - self.expected_strangers.get(device["id"], 0)
        if abs(strangers) > TOLERANCE_BYTES:
            yield f"{device['name']} has {device['strangers']}, expected {self.expected_strangers}"

    def held_on_gpu(self, model: str, device: str) -> int:
        """What the stand-in for NVML says that an engine holds."""
        total = 0
        for one in processes.of_installation(self.of.gate_socket):
            path = self.of.nvml / f"{one.pid}.json"
            if one.model == model and path.exists():
                total += int(json.loads(path.read_text()).get(device, 0))
        return total


def wait_gone(pid: int, within_s: float = 10.0) -> None:
    eventually(lambda: not psutil.pid_exists(pid) or processes.is_zombie(pid), within_s=within_s)


def change(path: Path, **told: object) -> None:
    """Change what a process holds on GPUs, as the stand-in for NVML sees it."""
    tmp = path.with_suffix(".tmp")
    tmp.write_text(json.dumps({**json.loads(path.read_text()), **told}))
    tmp.replace(path)
