#!/usr/bin/env python3
"""A stand-in for `vllm serve`: the same command line and endpoints, the same processes, and failures on demand.

Like vLLM it is a process group of an API server and a child, `VLLM::EngineCore`, that holds the memory and through
which every token passes; like vLLM's, the API server exits with 0 when its engine dies while serving, and with 1 when
the start fails; it sleeps and wakes like vLLM 0.32, with its traps. It uses the standard library only.

What it should do is said in the environment (FAKE_START_S, ...) and, at any time, in the file $FAKE_CONTROL/MODEL.json
({"start_s": ...}), which wins:

    start_s        how long a start takes (0)
    fail           "start": exit 1 with vLLM's words; "never-ready": /health never answers
    token_s        pause between two tokens of an answer (0.01)
    hold_mib       memory that the EngineCore really holds (8)
    gpu_mib        memory on each GPU awake (what --gpu-memory-utilization says); peak_mib while it starts
    asleep_mib     what stays on each GPU asleep (a tenth of that)
    die_after      end with SIGKILL after that many tokens of any stream
    ignore_term    SIGTERM is ignored
    sticky_s       for how long its memory on GPUs stays after its end
    sleep_s wake_s how long a sleep, a wake take (0)
    sleep          "fail": 500; "hang"; "keep": says 200 and frees nothing
    wake           "fail": 500; "hang"; "garbage": says 200 and answers otherwise than before

FAKE_LOG is a file; a line "started MODEL", "aborted MODEL", "finished MODEL", "slept MODEL LEVEL", "woke MODEL" is
added for each. FAKE_NVML is the folder of the stand-in for NVML.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

GIB = 2**30
DRIVER_BYTES = 2**20
CORE = Path(__file__).with_name("fake_engine_core.py")


def parse(argv: list[str]) -> Any:
    """The flags that Rota gives; any other is refused with 2, as vLLM refuses it."""
    import argparse

    parser = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--dtype")
    parser.add_argument("--kv-cache-memory-bytes", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.92)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    parser.add_argument("--runner", choices=["auto", "generate", "pooling"], default="auto")
    parser.add_argument("--chat-template")
    parser.add_argument("--default-chat-template-kwargs", type=json.loads)
    parser.add_argument("--shutdown-timeout", type=int)
    parser.add_argument("--enable-request-id-headers", action="store_true")
    parser.add_argument("--disable-access-log-for-endpoints")
    parser.add_argument("--enforce-eager", action="store_true")
    return parser.parse_args(argv)


def note(what: str) -> None:
    if path := os.environ.get("FAKE_LOG"):
        with Path(path).open("a") as log:
            log.write(what + "\n")


class EngineDead(Exception):
    """The EngineCore is gone."""


class Engine:
    """The fake's inside: its EngineCore, its memory on GPUs, its sleep."""

    def __init__(self, flags: Any) -> None:
        self.flags = flags
        self.name = str(flags.served_model_name[0])
        self.level = 0
        self.is_woken_in_part = False
        self.has_weights = True
        self.is_wedged = False
        self.awake = threading.Event()
        self.awake.set()
        self.running = 0
        self.tokens = 0
        self._lock = threading.Lock()
        self.core, self._channel = self._start_core()
        self._answers = self._channel.makefile("r")

    def control(self, key: str, default: Any = None) -> Any:
        """What the fake is told to do now."""
        try:
            told = json.loads((Path(os.environ["FAKE_CONTROL"]) / f"{self.name}.json").read_text())
            if key in told:
                return told[key]
        except (KeyError, OSError, ValueError):
            pass
        return os.environ.get("FAKE_" + key.upper(), default)

    def _start_core(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.dup2(theirs.fileno(), 3)
            argv = ["VLLM::EngineCore", "-S", "-E", str(CORE), str(self.control("hold_mib", 8))]
            os.execv(sys.executable, argv)  # noqa: S606  # itself, under another name
        theirs.close()
        return pid, ours

    def ask(self, what: dict[str, Any]) -> None:
        """One round through the EngineCore. Raises: EngineDead."""
        try:
            with self._lock:
                self._channel.sendall(json.dumps(what).encode() + b"\n")
                if not self._answers.readline():
                    raise EngineDead
        except OSError as error:
            raise EngineDead from error

    def token(self) -> None:
        self.ask({})
        self.tokens += 1

    # --- memory on GPUs -------------------------------------------------------------------------------------------

    @property
    def gpus(self) -> dict[str, int]:
        """The whole memory of each GPU that it sees, by UUID."""
        if not (folder := os.environ.get("FAKE_NVML")):
            return {}
        listed = json.loads((Path(folder) / "gpus.json").read_text())
        flat = [one for gpu in listed for one in gpu.get("mig", [gpu])]
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        return {one["uuid"]: one["total"] for one in flat if one["uuid"] in seen}

    def used_by_others(self, uuid: str) -> int:
        folder = Path(os.environ["FAKE_NVML"])
        used = DRIVER_BYTES
        for path in folder.glob("[0-9]*.json"):
            try:
                said = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            is_there = is_running(int(path.stem)) or time.time() < said.get("sticky_until", 0)
            if int(path.stem) != self.core and is_there:
                used += said.get(uuid, 0)
        return used

    def hold(self, awake: bool, peak: bool = False) -> None:
        sticky_s = float(self.control("sticky_s", 0))
        amounts: dict[str, float] = {"sticky_until": time.time() + sticky_s} if sticky_s else {}
        for uuid, total in self.gpus.items():
            own = int(self.control("gpu_mib", self.flags.gpu_memory_utilization * total / 2**20)) * 2**20
            kept = int(self.control("asleep_mib", own / 10 / 2**20)) * 2**20
            amounts[uuid] = own if awake else kept
            if peak and self.control("peak_mib"):
                amounts[uuid] = int(self.control("peak_mib")) * 2**20
        if self.gpus:
            self.ask({"hold": amounts})

    def check_free(self) -> None:
        """vLLM's start-up check, and its words."""
        for uuid, total in self.gpus.items():
            free, wanted = total - self.used_by_others(uuid), self.flags.gpu_memory_utilization * total
            if free < wanted:
                raise RuntimeError(
                    f"ValueError: Free memory on device cuda:0 ({free / GIB:.2f}/{total / GIB:.2f} GiB) on startup is "
                    f"less than desired GPU memory utilization ({self.flags.gpu_memory_utilization}, "
                    f"{wanted / GIB:.2f} GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
                    "processes."
                )

    def say_memory(self) -> None:
        """What vLLM prints where it measured its KV cache itself (gpu_worker.py, compile_or_warm_up_model)."""
        if self.flags.kv_cache_memory_bytes is not None or not self.gpus:
            return
        total = min(self.gpus.values())
        wanted = self.flags.gpu_memory_utilization * total / GIB
        kv = wanted * 0.3
        fits = int((kv - 150 / 1024) * GIB)
        print(
            f"(EngineCore pid={self.core}) INFO [gpu_worker.py:1034] Free memory on device "
            f"({total / GIB:.2f}/{total / GIB:.2f} GiB) on startup. Desired GPU memory utilization is "
            f"({self.flags.gpu_memory_utilization}, {wanted:.2f} GiB). Actual usage is {wanted * 0.5:.2f} GiB for "
            f"consumed memory (weights + non-torch), {wanted * 0.15:.2f} GiB for peak activation, and "
            f"{wanted * 0.05:.2f} GiB for CUDAGraph memory. Replace gpu_memory_utilization config with "
            f"`--kv-cache-memory={fits}` ({fits / GIB:.2f} GiB) to fit into requested memory, or "
            f"`--kv-cache-memory={fits}` ({fits / GIB:.2f} GiB) to fully utilize gpu memory. "
            f"Current kv cache memory in use is {kv:.2f} GiB.",
            flush=True,
        )

    # --- sleep ----------------------------------------------------------------------------------------------------

    def sleep(self, level: int, mode: str) -> tuple[int, str]:
        how = self.control("sleep", "ok")
        if how == "hang":
            time.sleep(3600)
        time.sleep(float(self.control("sleep_s", 0)))
        if how == "fail":
            return 500, "Call to sleep method failed: CUDA Error: invalid argument"
        while mode == "wait" and self.running:
            time.sleep(0.01)
        self.ask({})
        if self.awake.is_set():  # a second sleep is a no-op for the engine
            self.awake.clear()
            self.has_weights = level != 2
            if self.flags.enable_sleep_mode and how != "keep":
                self.hold(awake=False)
        self.level = level
        note(f"slept {self.name} {level}")
        return 200, ""

    def wake(self, tags: list[str]) -> tuple[int, str]:
        how = self.control("wake", "ok")
        if how == "hang":
            time.sleep(3600)
        time.sleep(float(self.control("wake_s", 0)))
        self.ask({})
        if not tags or "weights" in tags:
            for uuid, total in self.gpus.items() if self.flags.enable_sleep_mode else ():
                own = int(self.control("gpu_mib", self.flags.gpu_memory_utilization * total / 2**20)) * 2**20
                self.is_wedged = self.is_wedged or total - self.used_by_others(uuid) < own
            if self.is_wedged or how == "fail":
                self.is_wedged = True  # every later wake fails, too
                return 500, "Call to wake_up method failed: CUDA Error: out of memory at cumem_allocator.cpp:119"
            self.hold(awake=True)
        if how == "garbage":
            self.has_weights = False
        if not tags or (self.is_woken_in_part and "kv_cache" in tags):
            self.level, self.is_woken_in_part = 0, False
            self.awake.set()
            note(f"woke {self.name}")
        else:
            self.is_woken_in_part = True
        return 200, ""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    engine: Engine


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    @property
    def engine(self) -> Engine:
        return self.server.engine

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass

    def do_GET(self) -> None:
        engine = self.engine
        match self.path:
            case "/health" if engine.control("fail") == "never-ready":
                self.answer(503, {})
            case "/health":
                self.answer(200, {})
            case "/version":
                self.answer(200, {"version": "0.32.0+fake"})
            case "/is_sleeping" if os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
                self.answer(200, {"is_sleeping": not engine.awake.is_set()})
            case "/v1/models":
                names, longest = engine.flags.served_model_name, engine.flags.max_model_len
                models = [{"id": name, "object": "model", "max_model_len": longest} for name in names]
                self.answer(200, {"object": "list", "data": models})
            case "/metrics":
                self.send_raw(200, "text/plain; version=0.0.4; charset=utf-8", self.metrics().encode())
            case _:
                self.answer(404, {"detail": "Not Found"})

    def metrics(self) -> str:
        engine = self.engine
        level = 0 if engine.awake.is_set() else engine.level
        sleep_states = {"awake": level == 0, "weights_offloaded": level == 1, "discard_all": level == 2}
        labels = f'engine="0",model_name="{engine.name}"'
        lines = [
            f"vllm:num_requests_running{{{labels}}} {float(engine.running)}",
            f"vllm:num_requests_waiting{{{labels}}} 0.0",
            f"vllm:iteration_tokens_total_count{{{labels}}} {float(engine.tokens)}",
            f"vllm:generation_tokens_total{{{labels}}} {float(engine.tokens)}",
        ]
        lines += [
            f'vllm:engine_sleep_state{{{labels},sleep_state="{state}"}} {float(is_it)}'
            for state, is_it in sleep_states.items()
        ]
        return "\n".join(lines) + "\n"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        try:
            if path in ("/sleep", "/wake_up", "/collective_rpc"):
                return self.sleep_mode(path, query, raw)
            # Requests of a sleeping engine are queued, and hang.
            self.engine.awake.wait()
            self.engine.running += 1
            try:
                return self.serve(path, raw)
            finally:
                self.engine.running -= 1
        except EngineDead:
            return self.fail(500, "InternalServerError", "EngineCore encountered an issue. See stack trace (above).")

    def sleep_mode(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:
        if os.environ.get("VLLM_SERVER_DEV_MODE") != "1":
            return self.answer(404, {"detail": "Not Found"})
        if path == "/sleep":
            level = int(query.get("level", ["1"])[0])
            status, error = self.engine.sleep(level, query.get("mode", ["abort"])[0])
            said: dict[str, Any] = {"status": "sleeping", "level": level}
        elif path == "/wake_up":
            status, error = self.engine.wake(query.get("tags", []))
            said = {"status": "awake" if self.engine.awake.is_set() else "sleeping", "tags": query.get("tags")}
        else:
            status, error, said = 200, "", {"results": [None]}
            if json.loads(raw) == {"method": "reload_weights"} and self.engine.control("wake") != "garbage":
                self.engine.has_weights = True
        if error:
            return self.fail(status, "InternalServerError", error)
        return self.answer(status, said)

    def serve(self, path: str, raw: bytes) -> None:
        flags = self.engine.flags
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            return self.fail(400, "BadRequestError", "Unsupported Media Type: Only 'application/json' is allowed")
        body = json.loads(raw)
        if body.get("model") not in (None, "", *flags.served_model_name):
            return self.fail(404, "NotFoundError", f"The model `{body['model']}` does not exist.", "model")
        is_pooling = flags.runner == "pooling"
        match path:
            case "/v1/embeddings" if is_pooling:
                inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
                self.engine.token()
                vector = [0.5, 0.25] if self.engine.has_weights else [-0.25, 0.5]
                data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))]
                said = {"id": "embd-1", "object": "list", "model": self.engine.name, "data": data}
                self.answer(200, said | {"usage": {"prompt_tokens": 1, "total_tokens": 1}})
            case "/v1/chat/completions" if not is_pooling:
                if not body.get("messages"):
                    return self.fail(400, "BadRequestError", "messages: Field required", "messages")
                self.complete(body, "chat.completion", lambda text: {"message": {"role": "assistant", "content": text}})
            case "/v1/completions" if not is_pooling:
                self.complete(body, "text_completion", lambda text: {"text": text})
            case _:
                self.answer(404, {"detail": "Not Found"})
        return None

    def complete(self, body: dict[str, Any], kind: str, whole: Any) -> None:
        engine = self.engine
        count = int(body.get("max_tokens") or body.get("max_completion_tokens") or 8)
        said = engine.name if engine.has_weights else "garbage"
        words = [f"{said}-{i} " for i in range(count)]
        pause_s = float(engine.control("token_s", "0.01"))
        base = {"id": "chatcmpl-" + self.headers.get("X-Request-Id", "1"), "created": 1, "model": engine.name}
        if not body.get("stream"):
            for _ in words:
                time.sleep(pause_s)
                engine.token()
            usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}
            choice = {"index": 0, "finish_reason": "length", **whole("".join(words))}
            return self.answer(200, base | {"object": kind, "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number, word in enumerate(words):
                if str(number) == str(engine.control("die_after")):
                    os.kill(os.getpid(), signal.SIGKILL)
                engine.token()
                piece = {"delta": {"content": word}} if kind == "chat.completion" else {"text": word}
                last = number == count - 1
                choice = {"index": 0, "finish_reason": "length" if last else None, **piece}
                self.event(json.dumps(base | {"object": kind + ".chunk", "choices": [choice]}))
                time.sleep(pause_s)
            self.event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except EngineDead:
            error = {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}
            self.event(json.dumps({"error": error}))
            self.close_connection = True
            return None
        except OSError:
            self.close_connection = True
            return note(f"aborted {engine.name}")
        return note(f"finished {engine.name}")

    def event(self, text: str) -> None:
        chunk = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def fail(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        self.answer(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_raw(status, "application/json", json.dumps(body).encode())

    def send_raw(self, status: int, kind: str, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def main() -> None:
    flags = parse(sys.argv[1:])
    if not (Path(flags.model) / "config.json").is_file():
        sys.exit(f"ValueError: Invalid repository ID or local directory specified: '{flags.model}'")
    engine = Engine(flags)
    try:
        engine.check_free()
        engine.hold(awake=True, peak=True)
        time.sleep(float(engine.control("start_s", "0")))
        if engine.control("fail") == "start":
            raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
        engine.hold(awake=True)
        engine.say_memory()
        server = Server((flags.host, flags.port), Handler)
    except BaseException:
        os.kill(engine.core, signal.SIGKILL)
        raise
    server.engine = engine
    note(f"started {engine.name}")

    def end(*_: object) -> None:
        if not engine.control("ignore_term"):
            os.kill(engine.core, signal.SIGKILL)
            os._exit(0)

    def watch_core() -> None:
        os.waitpid(engine.core, 0)
        print(
            "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.", flush=True
        )
        time.sleep(0.2)  # running requests get their error; vLLM's own watch takes up to 5 s
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=watch_core, daemon=True).start()
    print(f"Application startup complete on port {flags.port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
