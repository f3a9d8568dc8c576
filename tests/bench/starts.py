"""One start of an engine, timed: bare `vllm serve`, and by a request to Rota."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from catalog.load import load
from catalog.render import GUARD, Seat, launch
from catalog.spec import ModelSpec
from proxy.adapters.processes import is_zombie, port_holder
from tests.installation import REAL_VLLM, Installation, eventually

ANSWER_WITHIN_S = 600.0
LAST_WORDS_BYTES = 4000

Question = tuple[str, Mapping[str, Any]]
"""A path and the body that is posted there."""


def chat(model: str, **more: Any) -> Question:
    """A short one, for one token, always the same."""
    said = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}
    return "/v1/chat/completions", {"model": model, **said, **more}


def embedding(model: str, **more: Any) -> Question:
    """Of one word."""
    return "/v1/embeddings", {"model": model, "input": "Hello", **more}


def first_byte(port: int, question: Question) -> float:
    """Ask once. Returns the time at which the first byte of a good answer came. Raises: OSError, HTTPException."""
    path, body = question
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(1)
        came_at = time.monotonic()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {response.status}: {response.read()!r}")
    return came_at


@contextlib.contextmanager
def serving(
    spec: ModelSpec, vllm: Path, *flags: str, at_once: bool = False
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
    """Bare `vllm serve` with Rota's flags, but for the middleware that asks for the engine's key, and `flags`; its log.

    In the end no process of it is left; they are killed `at_once`, or asked first.
    """
    wanted = launch(spec, str(vllm), Seat(awake_bytes=spec.memory_bytes, kv_cache_bytes=spec.kv_cache_bytes))
    at = wanted.argv.index(GUARD)
    argv = [*wanted.argv[: at - 1], *wanted.argv[at + 1 :], *flags]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            argv, env={**os.environ, **wanted.env}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        ) as engine,
    ):
        try:
            yield engine, log
        finally:
            if at_once:
                os.killpg(engine.pid, signal.SIGKILL)
            else:
                engine.send_signal(signal.SIGTERM)
            engine.wait(60)
            # Its workers end after their leader. Rota waits for them before it starts another; so must this.
            eventually(lambda: not _is_group(engine.pid), within_s=60)


def bare(installation: Installation, question: Question) -> float:
    """Seconds from the exec of `vllm serve` to the first byte of its answer, asked every 10 ms."""
    spec = load(installation.catalog, installation.root).models[question[1]["model"]]
    assert port_holder(spec.port) is None, "somebody else would answer"
    began_at = time.monotonic()
    with serving(spec, REAL_VLLM) as (engine, log):
        while engine.poll() is None and time.monotonic() - began_at < ANSWER_WITHIN_S:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return first_byte(spec.port, question) - began_at
            time.sleep(0.01)
        what = f"bare vllm serve did not answer; its exit status: {engine.returncode}; its last words:"
        raise TimeoutError(f"{what}\n{last_words(log)}")


def last_words(log: IO[bytes]) -> str:
    """The end of what was written to it."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
    return log.read().decode(errors="replace")


def through(installation: Installation, question: Question) -> float:
    """Seconds from a request to Rota for a model that is down to the first byte of its answer."""
    began_at = time.monotonic()
    return first_byte(installation.port, question) - began_at


def _is_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_group_of(process.pid) == group and not is_zombie(process.pid) for process in psutil.process_iter())


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None
