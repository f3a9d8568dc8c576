"""A whole Rota of its own in a temporary folder: real supervisord, real proxy, and engines of either kind.

The folder is laid out like the checkout, with links to its code, so that everything a user runs is what runs here.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from proxy.adapters import processes
from proxy.adapters.audit_folder import segments_in
from proxy.core.audit_rows import lines_of

CHECKOUT = Path(__file__).parents[1]
FAKE_VLLM = CHECKOUT / "tests" / "fake_vllm.py"
REAL_VLLM = CHECKOUT / ".venv-vllm" / "bin" / "vllm"


BLOCK_PORTS = 500


def _port_block() -> Iterator[int]:
    """The ports of a block that no other test process has: its first port is held for as long as this process lives."""
    for first in range(20_000, 32_000, BLOCK_PORTS):  # below what Linux gives to outgoing connections
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", first))
        except OSError:
            held.close()
            continue
        _held.append(held)
        return itertools.cycle(range(first + 1, first + BLOCK_PORTS))
    raise RuntimeError("no block of ports is free between 20000 and 32000")


_held: list[socket.socket] = []
_ports = _port_block()


def free_port() -> int:
    """A TCP port that nobody listens on now, and that is given to nobody else for long.

    Port 0 would not do: the kernel may give one twice that is not listened on yet, or to an outgoing connection.
    """
    for port in itertools.islice(_ports, BLOCK_PORTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("every port of this test process's block is taken")


def fake_model(name: str, memory_gib: float = 2.5, **more: Any) -> dict[str, Any]:
    """The YAML of a model that the fake vLLM serves."""
    fixed = {"weights": "models/fake", "vllm": str(FAKE_VLLM), "kv_cache_gib": 0.25, "max_model_len": 2048}
    return {"name": name, "memory_gib": memory_gib, "port": free_port(), **fixed, **more}


class Installation:
    """A project folder at `root` that can be started, asked and stopped."""

    def __init__(
        self,
        root: Path,
        models: list[dict[str, Any]],
        agents: dict[str, str | dict[str, str]],
        budget_gib: float | None = None,
        gpus: dict[str, float] | None = None,
        **settings: object,
    ) -> None:
        """`gpus` are stand-ins, by UUID with their GiB; without them the host's memory is the device."""
        self.root = root
        self.start_takes_s = 20.0
        self.downloaded: subprocess.CompletedProcess[str] | None = None
        """What the download of its models said, where a test had them downloaded."""
        self.port = free_port()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROTA_")},
            "ROTA_ROOT": str(root),
            "ROTA_CATALOG": "catalog/test",
            "ROTA_LISTEN_PORT": str(self.port),
            "ROTA_COOL_DOWN_S": "1",
            "ROTA_PARK": "false",  # what is told here of engines is told from their requests on
            "ROTA_MAX_WAIT_S": "0.5",  # swaps are made soon, whether or not they are worth it
            "FAKE_LOG": str(root / "fake.log"),
            "FAKE_CONTROL": str(root / "control"),
            **{f"ROTA_{key.upper()}": str(value) for key, value in settings.items()},
        }
        (root / "control").mkdir()
        if gpus is not None:
            self.fake("gpus", FAKE_NVML=str(self.nvml))
            self.fake("machine", FAKE_CLOCK=str(root))
            self.nvml.mkdir()
            listed = [{"uuid": uuid, "total": round(gib * 2**30)} for uuid, gib in gpus.items()]
            (self.nvml / "gpus.json").write_text(json.dumps(listed))
        for name in (".venv", "bin", "proxy"):
            (root / name).symlink_to(CHECKOUT / name)
        (root / "supervisor.d").mkdir()
        shutil.copy(CHECKOUT / "supervisor.d" / "supervisord.conf", root / "supervisor.d")
        (root / "models" / "fake").mkdir(parents=True)
        (root / "models" / "fake" / "config.json").write_text("{}")
        self.catalog = root / "catalog" / "test"
        self.catalog.mkdir(parents=True)
        for model in models:
            (self.catalog / f"{model['name']}.yaml").write_text(yaml.safe_dump(model))
        routes = {name: {"model": route} if isinstance(route, str) else route for name, route in agents.items()}
        budget = {} if budget_gib is None else {"memory_budget_gib": budget_gib}
        (self.catalog / "agents.yaml").write_text(yaml.safe_dump({**budget, "agent_types": routes}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def nvml(self) -> Path:
        """The folder of the stand-in for NVML."""
        return self.root / "nvml"

    def fake(self, kind: str, **told: str) -> None:
        """Have its processes find the modules of tests/fakes/`kind`, and there the variables `told`."""
        folders = [*self.environ.get("PYTHONPATH", "").split(os.pathsep), str(CHECKOUT / "tests" / "fakes" / kind)]
        self.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, folders)), **told}

    def control(self, model: str, **told: object) -> None:
        """Tell `model`'s fake engine what to do from now on; without anything, to behave."""
        path = self.root / "control" / f"{model}.json"
        tmp = path.with_suffix(".tmp")
        tmp.write_text(json.dumps(told))
        tmp.replace(path)

    @property
    def gate_socket(self) -> Path:
        return self.root / "var" / "run" / "gate.sock"

    def manage(self, *arguments: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        """Run bin/manage_vllm.sh."""
        argv = [str(self.root / "bin" / "manage_vllm.sh"), *arguments]
        return subprocess.run(
            argv, env=self.environ, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=self.root
        )

    def supervisorctl(self, *arguments: str) -> str:
        """Run supervisorctl as a sysadmin would."""
        argv = [str(self.root / ".venv/bin/supervisorctl"), "-c", "supervisor.d/supervisord.conf", *arguments]
        done = subprocess.run(argv, cwd=self.root, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def start(self) -> None:
        done = self.manage("start-service")
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        """Stop the service; whatever may be left after a failed test is ended too."""
        self.manage("stop-service")
        for pid in self.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left_over(self) -> list[int]:
        """The processes of this installation that are alive."""
        supervisord = [
            process.pid
            for process in psutil.process_iter()
            if _mentions(process, f"{self.root}/") or _mentions(process, f"{self.root}/supervisor.d/supervisord.conf")
        ]
        return sorted({*supervisord, *(one.pid for one in processes.of_installation(self.gate_socket))})

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}/status", timeout=10, trust_env=False).json()
        return answer

    def engine(self, model: str) -> dict[str, Any]:
        return next(engine for engine in self.status()["engines"] if engine["model"] == model)

    def port_of(self, model: str) -> int:
        """Where its engine listens."""
        return int(yaml.safe_load((self.catalog / f"{model}.yaml").read_text())["port"])

    def direct(self, model: str) -> dict[str, Any]:
        """For an httpx.Client that asks `model`'s engine past the proxy: its address, and its key."""
        key = json.loads((self.root / "var" / "run" / "engine_keys.json").read_text())[model]
        headers = {"Authorization": f"Bearer {key}"}
        return {"base_url": f"http://127.0.0.1:{self.port_of(model)}", "headers": headers, "trust_env": False}

    def state(self, model: str) -> str:
        return str(self.engine(model)["state"])

    def chat(self, timeout_s: float = 120, **body: Any) -> httpx.Response:
        """One chat request."""
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, **body}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=timeout_s, trust_env=False)

    def log(self, program: str) -> str:
        return (self.root / "var" / "log" / f"{program}.log").read_text()

    def acts(self) -> list[dict[str, Any]]:
        """The lines of the audit of what somebody has done."""
        return [line for line in lines_of(segments_in(self.root / "var" / "audit")) if line["kind"] == "act"]

    def fake_log(self) -> list[str]:
        path = self.root / "fake.log"
        return path.read_text().split("\n")[:-1] if path.exists() else []


@contextlib.contextmanager
def running(installation: Installation) -> Iterator[Installation]:
    """The installation, started, and stopped whatever happens."""
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


def eventually(holds: Callable[[], Any], within_s: float = 10.0, every_s: float = 0.02) -> float:
    """Wait until `holds()` is true. Returns the seconds that took. Fails with what it said last."""
    began_at = time.monotonic()
    while not (said := holds()):
        assert time.monotonic() - began_at < within_s, f"not within {within_s} s: {said!r}"
        time.sleep(every_s)
    return time.monotonic() - began_at


def _mentions(process: psutil.Process, path: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(argument.startswith(path) for argument in process.cmdline())
    return False
