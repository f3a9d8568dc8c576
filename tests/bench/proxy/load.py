"""Load, and what it cost: wrk in a closed loop, the CPU of processes by the kernel's own account."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.proxy.stand_in import EVENTS

CONNECTIONS = 64
MESSAGES = '"messages":[{"role":"user","content":"Hello, how are you today?"}],"max_tokens":16'
SCRIPT = 'wrk.method = "POST"\nwrk.body = [[{body}]]\n'


def body(model: str, *, stream: bool = False, key: str = "model") -> str:
    """A request's body."""
    return "".join(("{", f'"{key}":"{model}",', MESSAGES, ',"stream":true' if stream else "", "}"))


def headers(key: str) -> dict[str, str]:
    """As OpenAI's client sends them."""
    return {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {key}",
        "User-Agent": "OpenAI/Python 3.54.0",
    }


@dataclass(frozen=True, slots=True)
class Cost:
    """What `requests` cost: CPU in us each; how many came in a second; how many went wrong."""

    us: float
    per_second: float
    errors: int


def cpu_ns(pids: Iterable[int]) -> int:
    """The CPU time of processes and all their threads and children, in ns (/proc/PID/task/TID/schedstat)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in [process, *process.children(recursive=True)]:
                for task in Path(f"/proc/{one.pid}/task").glob("*/schedstat"):
                    with contextlib.suppress(OSError):
                        total += int(task.read_text().split()[0])
    return total


def closed_loop(port: int, text: str, seconds: float, pids: list[int], folder: Path, key: str = "none") -> Cost:
    """wrk with CONNECTIONS connections, each asking again as soon as it has its answer."""
    script = folder / "ask.lua"
    lines = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers(key).items())
    script.write_text(SCRIPT.format(body=text) + lines)
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", str(script), url]
    before = cpu_ns(pids)
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=seconds + 60)
    used_ns = cpu_ns(pids) - before
    requests = int(_number(r"(\d+) requests in", done.stdout))
    errors = int(_number(r"Non-2xx or 3xx responses: (\d+)", done.stdout))
    errors += sum(int(one) for one in re.findall(r"(?:connect|read|write|timeout) (\d+)", done.stdout))
    return Cost(used_ns / 1000 / max(requests, 1), _number(r"Requests/sec:\s+([\d.]+)", done.stdout), errors)


def per_event(cost: Cost) -> float:
    """CPU in us for each event of a stream, the last one and the head shared among them."""
    return cost.us / EVENTS


class OneByOne:
    """One connection, one request at a time."""

    def __init__(self, port: int, text: str, key: str = "none") -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers(key).items())
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(text)}\r\n\r\n"
        self._request = (head + text).encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask_us(self) -> float:
        """How long one answer takes, in us. Raises: AssertionError for another status than 200."""
        began_ns = time.perf_counter_ns()
        self._socket.sendall(self._request)
        answer = self._socket.recv(2**16)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        length = int(_number(r"(?i)content-length: (\d+)", head.decode()))
        while len(rest) < length:
            rest += self._socket.recv(2**16)
        return (time.perf_counter_ns() - began_ns) / 1000

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
