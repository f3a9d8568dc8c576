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
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_engine import Engine, EngineDead, note
from fake_flags import parse


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

    def is_refused(self) -> bool:
        """As Rota's middleware in a real one does it: who has not the engine's key gets a 401 for every path."""
        if "rota_engine_guard.Guard" not in (self.engine.flags.middleware or []):
            return False
        if self.headers.get_all("Authorization") == [f"Bearer {os.environ['VLLM_API_KEY']}"]:
            return False
        self.fail(401, "AuthenticationError", "this engine is asked through Rota only")
        return True

    def do_GET(self) -> None:
        if self.is_refused():
            return
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
            f'vllm:sleep_mode_operations_in_flight{{operation="sleep"}} {float(engine.changing)}',
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
        if self.is_refused():
            return None
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        try:
            if path in ("/sleep", "/wake_up", "/collective_rpc"):
                self.engine.changing += 1
                try:
                    return self.sleep_mode(path, query, raw)
                finally:
                    self.engine.changing -= 1
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
            if self.headers.get("X-Rota-Usage") == "tell":  # as Rota's middleware in a real one does it
                self.chunk(f": rota-usage 1 {count}\n\n")
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
        self.chunk(f"data: {text}\n\n")

    def chunk(self, text: str) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text.encode()), text.encode()))

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
