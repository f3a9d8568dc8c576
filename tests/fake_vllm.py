#!/usr/bin/env python3
"""A stand-in for `vllm serve`: the same command line and endpoints, the same processes, and failures on demand.

Like vLLM it is a process group of an API server and a child, `EngineCore`, that holds the memory; like vLLM's, the
API server exits with 0 when its engine dies while serving, and with 1 when the start fails. It uses the standard
library only. What it should do is said in the environment:

    FAKE_START_S        how long a start takes (0)
    FAKE_FAIL           "start": exit 1 with vLLM's words; "never-ready": /health never answers
    FAKE_TOKEN_S        pause between two tokens of an answer (0.01)
    FAKE_HOLD_MIB       memory that the EngineCore really holds (8)
    FAKE_DIE_AFTER      end with SIGKILL after that many tokens of any stream
    FAKE_LOG            a file; a line "started MODEL", "aborted MODEL", "finished MODEL" is added for each
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def parse(argv: list[str]) -> argparse.Namespace:
    """The flags that Rota gives; any other is refused with 2, as vLLM refuses it."""
    parser = argparse.ArgumentParser(prog="vllm serve")
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


def engine_core() -> int:
    """Fork the child that holds the memory; it does not watch its parent, as vLLM's does not. Returns its pid."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        held = bytearray(int(os.environ.get("FAKE_HOLD_MIB", "8")) * 2**20)
        held[::4096] = b"x" * len(held[::4096])  # touch every page, or the kernel gives none
        while True:
            time.sleep(3600)
    return pid


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    flags: argparse.Namespace
    running = 0

    @property
    def name(self) -> str:
        return str(self.flags.served_model_name[0])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass

    def do_GET(self) -> None:
        match self.path:
            case "/health" if os.environ.get("FAKE_FAIL") == "never-ready":
                self.answer(503, {})
            case "/health":
                self.answer(200, {})
            case "/v1/models":
                names = self.server.flags.served_model_name
                models = [
                    {"id": name, "object": "model", "max_model_len": self.server.flags.max_model_len} for name in names
                ]
                self.answer(200, {"object": "list", "data": models})
            case "/metrics":
                self.send_text(f'vllm:num_requests_running{{model_name="{self.server.name}"}} {self.server.running}\n')
            case _:
                self.answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        self.server.running += 1
        try:
            self.serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        finally:
            self.server.running -= 1

    def serve(self, raw: bytes) -> None:
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            return self.fail(400, "BadRequestError", "Unsupported Media Type: Only 'application/json' is allowed")
        body = json.loads(raw)
        if body.get("model") not in (None, "", *self.server.flags.served_model_name):
            return self.fail(404, "NotFoundError", f"The model `{body['model']}` does not exist.", "model")
        is_pooling = self.server.flags.runner == "pooling"
        match self.path.partition("?")[0]:
            case "/v1/embeddings" if is_pooling:
                inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
                data = [{"object": "embedding", "index": i, "embedding": [0.5, 0.25]} for i in range(len(inputs))]
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                self.answer(
                    200, {"id": "embd-1", "object": "list", "model": self.server.name, "data": data, "usage": usage}
                )
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
        count = int(body.get("max_tokens") or body.get("max_completion_tokens") or 8)
        words = [f"{self.server.name}-{i} " for i in range(count)]
        pause_s = float(os.environ.get("FAKE_TOKEN_S", "0.01"))
        base = {"id": "chatcmpl-" + self.headers.get("X-Request-Id", "1"), "created": 1, "model": self.server.name}
        if not body.get("stream"):
            time.sleep(pause_s * count)
            usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}
            choice = {"index": 0, "finish_reason": "length", **whole("".join(words))}
            return self.answer(200, base | {"object": kind, "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number, word in enumerate(words):
                if str(number) == os.environ.get("FAKE_DIE_AFTER"):
                    os.kill(os.getpid(), signal.SIGKILL)
                piece = {"delta": {"content": word}} if kind == "chat.completion" else {"text": word}
                last = number == count - 1
                choice = {"index": 0, "finish_reason": "length" if last else None, **piece}
                self.event(json.dumps(base | {"object": kind + ".chunk", "choices": [choice]}))
                time.sleep(pause_s)
            self.event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
            return note(f"aborted {self.server.name}")
        return note(f"finished {self.server.name}")

    def event(self, text: str) -> None:
        chunk = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def fail(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        self.answer(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})

    def send_text(self, text: str) -> None:
        self.send_raw(200, "text/plain; version=0.0.4; charset=utf-8", text.encode())

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
    core = engine_core()
    try:
        time.sleep(float(os.environ.get("FAKE_START_S", "0")))
        if os.environ.get("FAKE_FAIL") == "start":
            raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
        server = Server((flags.host, flags.port), Handler)
    except BaseException:
        os.kill(core, signal.SIGKILL)
        raise
    server.flags = flags
    note(f"started {server.name}")

    def end(*_: object) -> None:
        os.kill(core, signal.SIGKILL)
        os._exit(0)

    def watch_core() -> None:
        os.waitpid(core, 0)
        print(
            "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.", flush=True
        )
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=watch_core, daemon=True).start()
    print(f"Application startup complete on port {flags.port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
