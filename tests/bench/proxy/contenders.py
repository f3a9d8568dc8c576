"""Who is measured: each is started before one stand-in, says its port and its processes, and is ended.

llama-swap and large-model-proxy are written in Go and cannot be had from PyPI or Debian: they are not here.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.installation import CHECKOUT, Installation, fake_model, free_port, running

MODEL = "m"
PEERS = CHECKOUT / ".venv-bench" / "bin"
"""vllm-router and litellm, in an environment of their own: `make bench-proxy` makes it."""
STARTS_WITHIN_S = 60.0

NGINX = """
worker_processes 1; daemon off; error_log {folder}/nginx.err; pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000000; client_max_body_size 64m;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{engine}/v1", api_key: none}}
"""


class Absent(Exception):
    """It cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """One that answers on `port`, to `key`; `pids` are its processes, whose children count too."""

    port: int
    pids: list[int]
    key: str = "none"


@contextlib.contextmanager
def rota(folder: Path, *, is_guarded: bool = False, is_strict: bool = False) -> Iterator[tuple[Running, int]]:
    """Rota as it is; it starts the stand-in as its engine. Also yields that one's port.

    Where it `is_guarded`, it asks for a key and keeps its audit, which may be strict; else it does neither, as others.
    """
    folder.mkdir()
    script = folder / "vllm"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from tests.bench.proxy.stand_in import main\nmain()\n"
    )
    script.chmod(0o755)
    model = fake_model(MODEL, vllm=str(script), max_num_seqs=100_000)
    installation = Installation(folder, [model], {"Chat": MODEL}, 4.5, audit=is_guarded, audit_strict=is_strict)
    key = installation.manage("keys", "make", "bench").stdout.strip() if is_guarded else "none"
    with running(installation):
        headers, body = {"Authorization": f"Bearer {key}"}, {"model": MODEL, "messages": []}
        url = f"{installation.url}/v1/chat/completions"
        assert httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code == 200
        pid = int((installation.root / "var" / "run" / "proxy.lock").read_text())
        yield Running(installation.port, [pid], key), int(model["port"])


def nginx(folder: Path, engine: int) -> Running:
    """Debian's nginx with one worker. Raises: Absent."""
    if (program := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        raise Absent("nginx is not installed (Debian: nginx-light)")
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, engine=engine))
    return _started([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)], port, folder, "nginx")


def vllm_router(folder: Path, engine: int) -> Running:
    """vLLM's own router, in Rust. Raises: Absent."""
    port = free_port()
    argv = [str(_peer("vllm-router")), "--worker-urls", f"http://127.0.0.1:{engine}", "--host", "127.0.0.1"]
    return _started([*argv, "--port", str(port), "--policy", "round_robin"], port, folder, "vllm-router")


def litellm(folder: Path, engine: int) -> Running:
    """LiteLLM's proxy with one worker. Raises: Absent."""
    port = free_port()
    (folder / "litellm.yaml").write_text(LITELLM.format(model=MODEL, engine=engine))
    argv = [str(_peer("litellm")), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1"]
    return _started([*argv, "--port", str(port), "--num_workers", "1"], port, folder, "litellm")


def plain(kind: str) -> Callable[[Path, int], Running]:
    """One of `plain.py`."""

    def start(folder: Path, engine: int) -> Running:
        port = free_port()
        argv = [sys.executable, "-m", "tests.bench.proxy.plain", kind, str(port), str(engine)]
        return _started(argv, port, folder, kind)

    return start


PEERS_BY_NAME: dict[str, Callable[[Path, int], Running]] = {
    "nginx": nginx,
    "vllm-router": vllm_router,
    "litellm": litellm,
    "plain aiohttp": plain("aiohttp"),
    "bare relay": plain("bare"),
}


def end(pids: list[int]) -> None:
    """End process groups that were started here."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _peer(name: str) -> Path:
    if not (path := PEERS / name).exists():
        raise Absent(f"{name} could not be installed")
    return path


def _started(argv: list[str], port: int, folder: Path, name: str) -> Running:
    with (folder / f"{name}.log").open("w") as log:
        # LiteLLM does not start without a key for its admin, unless it is told that this is nothing but a test.
        env = {**os.environ, "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=CHECKOUT, env=env, start_new_session=True)
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return Running(port, [process.pid])
        time.sleep(0.1)
    end([process.pid])
    raise Absent(f"{name} did not start: {(folder / f'{name}.log').read_text()[-500:]}")
