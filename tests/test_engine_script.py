"""bin/engine: it prepares in the engine's own Python, asks, and becomes the engine in the same process."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ENGINE = Path(__file__).parents[1] / "bin" / "engine"
SCRIPT = """\
#!{python}
import gc, json, os, sys
if __name__ == "__main__":
    import vllm
    print(json.dumps({{"argv": sys.argv, "pid": os.getpid(), "early": os.environ["EARLY"], "late": os.environ["LATE"],
                      "mark": os.environ.get("ROTA_PREPARES"), "imports": vllm.imports, "path": sys.path[0],
                      "seeks": [vllm.seeks, gc.isenabled()], "frozen": gc.get_freeze_count()}}))
    sys.exit(7)
"""


class Gate(ThreadingHTTPServer):
    """The proxy's side: leave is given when `may_go` is set.

    `asked` is what came, in order, but for the methods said to go on with, which overtake the question beside them.
    """

    address_family = socket.AF_UNIX
    daemon_threads = True

    def __init__(self, path: Path, executable: str | None) -> None:
        self.asked: list[str] = []
        self.methods: list[str] = []
        self.may_go, self.reached = threading.Event(), threading.Event()
        self.refusal: str | None = None
        self.forks = False
        self.executable = executable
        self.argv = [executable or sys.executable, "serve", "w"]
        super().__init__(str(path), Handler, bind_and_activate=True)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


class Handler(BaseHTTPRequestHandler):
    server: Gate

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        may = {"executable": self.server.executable, "env": {"EARLY": "1"}, "forks": self.server.forks}
        self.answer(200, may)

    def do_POST(self) -> None:
        path, _, method = self.path.partition("/reached?method=")
        if method:
            self.server.methods.append(method)
            self.server.reached.set()
            self.answer(204, None)
            return
        self.server.asked.append(f"POST {path}")
        if self.server.refusal is not None:
            self.answer(503, {"error": {"message": self.server.refusal}})
        else:
            assert self.server.may_go.wait(20)
            self.answer(200, {"argv": self.server.argv, "env": {"EARLY": "1", "LATE": "2"}})

    def answer(self, status: int, body: object) -> None:
        self.send_response(status)
        content = b"" if body is None else json.dumps(body).encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content:
            self.wfile.write(content)


class Box:
    """A folder with an executable, a package `vllm` that counts its imports, and a gate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "bin" / "vllm"
        self.script.parent.mkdir()
        self.script.write_text(SCRIPT.format(python=sys.executable))
        self.script.chmod(0o755)
        imports = "imports = os.environ.get('IMPORTED_BY', '') + str(os.getpid())"
        self.package("vllm", f"import gc, os\n{imports}\nseeks = gc.isenabled()\n")
        self.package("setproctitle", "def setproctitle(title):\n    print('title', title, flush=True)\n")
        self.gate = Gate(folder / "gate.sock", str(self.script))
        threading.Thread(target=self.gate.serve_forever, daemon=True).start()

    def package(self, name: str, text: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / "__init__.py").write_text(text)

    def start(self) -> subprocess.Popen[str]:
        environ = {**os.environ, "ROTA_GATE": str(self.folder / "gate.sock"), "PYTHONPATH": str(self.folder)}
        return subprocess.Popen(
            [sys.executable, "-I", str(ENGINE), "a"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.gate.shutdown()
    box.gate.server_close()


def end(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    out, err = process.communicate(timeout=20)
    return out, err, process.returncode


def test_it_imports_before_it_has_leave_and_becomes_the_engine_in_the_same_process(box: Box) -> None:
    process = box.start()
    assert box.gate.reached.wait(20)
    assert process.poll() is None, "it waits"
    box.gate.may_go.set()
    out, err, status = end(process)
    title, said = out.splitlines()
    told = json.loads(said)
    assert status == 7
    assert told["argv"] == box.gate.argv
    assert told["pid"] == process.pid
    assert told["imports"] == str(process.pid), "the import of before"
    assert told["seeks"] == [False, True], "garbage is looked for again, and was not while it imported"
    assert told["frozen"] == 0, "all of it is looked at, if as what is old"
    assert (told["early"], told["late"], told["mark"]) == ("1", "2", None)
    assert told["path"] == str(box.script.parent)
    assert title == "title vllm serve w"
    assert f"engine a: leave given: {box.script} serve w" in err
    assert (box.gate.asked, box.gate.methods) == (["GET /gate/a", "POST /gate/a"], ["spawn"])


@pytest.mark.parametrize("package", ["vllm", "setproctitle"])
def test_what_cannot_be_imported_ahead_is_left_to_a_fresh_process(box: Box, package: str) -> None:
    marker = box.folder / "broken"
    broken = f"import os\nif not os.path.exists({str(marker)!r}):\n    open({str(marker)!r}, 'w').close()\n    1 / 0\n"
    text = (box.folder / package / "__init__.py").read_text()
    box.package(package, broken + text)
    box.gate.may_go.set()
    out, err, status = end(box.start())
    assert status == 7
    assert "nothing is imported ahead (ZeroDivisionError('division by zero'))" in err
    assert json.loads(out.splitlines()[-1])["late"] == "2"
    assert "title" not in out


@pytest.mark.parametrize("error", ["SystemExit(3)", "OSError(28, 'no space')", "KeyError('x')"])
def test_whatever_an_import_raises_it_goes_on_plainly(box: Box, error: str) -> None:
    text = (box.folder / "vllm" / "__init__.py").read_text()
    marker = box.folder / "broken"
    box.package(
        "vllm",
        f"import os\nif not os.path.exists({str(marker)!r}):\n    open({str(marker)!r}, 'w').close()\n"
        f"    raise {error}\n{text}",
    )
    box.gate.may_go.set()
    out, err, status = end(box.start())
    assert status == 7, err
    assert "nothing is imported ahead" in err
    assert json.loads(out.splitlines()[-1])["late"] == "2"
    assert box.gate.methods == ["plain"]


@pytest.mark.parametrize("broken", ["rota_engine_fork.is_cpu_build", "os.scandir"])
def test_what_fails_before_the_import_is_left_to_a_fresh_process_too(box: Box, broken: str) -> None:
    hook = (
        "import os, sys\n"
        "if 'ROTA_PREPARES' in os.environ:\n"
        f"    sys.path.append({str(ENGINE.parent / 'in_engine')!r})\n"
        "    def fails(*_):\n        raise PermissionError('not for you')\n"
        f"    import {broken.partition('.')[0]}\n    {broken} = fails\n"
    )
    (box.folder / "sitecustomize.py").write_text(hook)
    box.gate.forks = True
    box.gate.may_go.set()
    out, err, status = end(box.start())
    assert status == 7, err
    assert "nothing is imported ahead (PermissionError('not for you'))" in err
    assert "title" not in out, "it was run by exec"
    assert box.gate.methods == ["plain"]


def test_a_python_that_cannot_be_run_is_left_to_the_plain_start(box: Box) -> None:
    python = box.folder / "python3"
    python.write_text("no program")
    python.chmod(0o755)
    box.script.write_text(f"#!{python}\n")
    box.gate.argv = ["/bin/sh", "-c", "echo ran; exit 7"]
    box.gate.may_go.set()
    out, err, status = end(box.start())
    assert (out, status) == ("ran\n", 7), err


@pytest.mark.parametrize("first_line", ["#!/bin/sh", "\x7fELF", ""])
def test_an_executable_that_is_no_python_script_is_run_as_it_is(box: Box, first_line: str) -> None:
    box.script.write_text(f"{first_line}\necho ran $LATE\nexit 7\n")
    box.gate.may_go.set()
    box.gate.argv = ["/bin/sh", str(box.script)]
    out, _, status = end(box.start())
    assert (out, status) == ("ran 2\n", 7)


def test_a_script_by_way_of_env_is_prepared_for_too(box: Box) -> None:
    text = box.script.read_text()
    box.script.write_text("#!/usr/bin/env python3\n" + text.partition("\n")[2])
    box.gate.may_go.set()
    _, err, status = end(box.start())
    assert status == 7
    assert "nothing is imported" not in err


def test_where_nothing_may_be_prepared_it_asks_at_once(box: Box) -> None:
    box.gate.executable = None
    box.gate.argv = [str(box.script), "serve"]
    box.gate.may_go.set()
    out, _, status = end(box.start())
    assert status == 7
    assert "title" not in out, "it was run by exec"
    assert (box.gate.asked, box.gate.methods) == (["GET /gate/a", "POST /gate/a"], ["plain"])


def test_a_refusal_is_said_and_ends_it(box: Box) -> None:
    box.gate.refusal = "there is no room"
    _, err, status = end(box.start())
    assert status == 1
    assert "engine a: not started: there is no room" in err


def test_a_vllm_that_was_installed_anew_meanwhile_is_imported_anew(box: Box) -> None:
    process = box.start()
    assert box.gate.reached.wait(20)
    os.utime(box.script, (1, 1))
    box.gate.may_go.set()
    out, err, status = end(process)
    assert status == 7
    assert "engine: vLLM was changed after it was imported: it is started anew" in err
    assert json.loads(out.splitlines()[-1])["late"] == "2"
    assert "title" not in out, "it was run by exec"
    assert box.gate.methods == ["spawn", "plain"]


CPU_BUILD = """\
import importlib, os, sys
if "ROTA_PREPARES" in os.environ:
    sys.path.append({in_engine!r})
    fork = importlib.import_module("rota_engine_fork")
    fork.is_cpu_build = lambda: True
    fork.preloads = lambda: {preloads!r}
"""


@pytest.mark.parametrize("preloaded", [None, "", "libm.so.6"])
def test_what_was_set_for_the_import_is_not_for_the_process_that_is_started_anew(
    box: Box, preloaded: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    if preloaded is not None:
        monkeypatch.setenv("LD_PRELOAD", preloaded)
    hook = CPU_BUILD.format(in_engine=str(ENGINE.parent / "in_engine"), preloads="libc.so.6")
    (box.folder / "sitecustomize.py").write_text(hook)
    names = ("LD_PRELOAD", "ROTA_PRELOADED", "TORCHINDUCTOR_COMPILE_THREADS", "SET_BY_VLLM")
    seen = "os.environ['LD_PRELOAD']"
    box.package("vllm", f"import os\nos.environ['SET_BY_VLLM'] = {seen}\nprint('with', {seen})\n")
    box.script.write_text(
        f"#!{sys.executable}\nimport json, os\nprint(json.dumps([os.environ.get(one) for one in {names}]))\n"
    )
    box.gate.forks = True
    process = box.start()
    assert box.gate.reached.wait(20)
    os.utime(box.script, (1, 1))
    box.gate.may_go.set()
    out, err, status = end(process)
    assert (status, "started anew" in err) == (0, True), err
    imported, told = out.splitlines()
    assert imported == "with libc.so.6"
    assert json.loads(told) == [preloaded or None, None, None, None]
    assert box.gate.methods == ["fork", "plain"]


def test_where_the_import_has_touched_cuda_nothing_is_forked(box: Box) -> None:
    (box.folder / "sitecustomize.py").write_text(
        CPU_BUILD.format(in_engine=str(ENGINE.parent / "in_engine"), preloads=os.environ.get("LD_PRELOAD", ""))
    )
    box.package("torch", "from types import SimpleNamespace\ncuda = SimpleNamespace(is_initialized=lambda: True)\n")
    box.package("vllm", "import torch\nimports, seeks = 'x', False\n")
    box.gate.forks = True
    box.gate.may_go.set()
    _, err, status = end(box.start())
    assert status == 7, err
    assert "engine: nothing is forked: CUDA is initialized" in err
    assert box.gate.methods == ["spawn"]


def test_without_a_proxy_it_says_so(tmp_path: Path) -> None:
    environ = {**os.environ, "ROTA_GATE": str(tmp_path / "none.sock")}
    done = subprocess.run(
        [sys.executable, str(ENGINE), "a"], env=environ, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1
    assert "not started: no answer from the proxy" in done.stderr
