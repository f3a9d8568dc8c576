"""Everything that listens, and every file that matters, tried by another user of the machine (docs/security.md)."""

import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.installation import Installation, fake_model, running

NOBODY = 65534


def as_nobody(act: Callable[[], str]) -> str:
    """What `act` says when another user does it, or the name of its error."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        said = "nothing"
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = act()
        except BaseException as error:  # it is told to the other side
            said = type(error).__name__
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        said = told.read()
    os.waitpid(pid, 0)
    return said


def test_no_core_of_what_holds_texts_is_written(box: Installation) -> None:
    """A limit of 1: see core(5)."""
    for name in ("proxy", "a"):
        pid = box.supervisorctl("pid", name).strip()
        [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line]
        assert line.split()[4:6] == ["1", "1"]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """With a key, an engine that runs, and a folder that everybody may look into."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    root = Path(tmp_path_factory.mktemp("o"))
    installation = Installation(root, [fake_model("a")], {"Chat": "a"}, 4.5)
    key = installation.manage("keys", "make", "desk").stdout.strip()
    with running(installation):
        body = {"model": "a", "prompt": "x", "max_tokens": 1}
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{installation.url}/v1/completions"
        assert httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code == 200
        opened = []
        for folder in (root, *root.parents):
            if folder.stat().st_uid == 0 and not folder.stat().st_mode & stat.S_IXOTH:
                opened.append((folder, folder.stat().st_mode))
                folder.chmod(0o755)
        yield installation
        for folder, mode in opened:
            folder.chmod(mode)


def connected(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    return "connected"


def status(port: int, path: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return client.recv(12).decode().rpartition(" ")[2]


def test_he_is_somebody_else_and_can_look_into_the_folder(box: Installation) -> None:
    assert as_nobody(lambda: str(os.geteuid())) == str(NOBODY)
    assert as_nobody(lambda: (box.root / "supervisor.d" / "supervisord.conf").read_text()[:0] + "read") == "read"


@pytest.mark.parametrize("name", ["gate.sock", "supervisord.sock"])
def test_the_sockets_do_not_let_him_in(box: Installation, name: str) -> None:
    path = box.root / "var" / "run" / name
    assert connected(path) == "connected"
    assert as_nobody(lambda: connected(path)) == "PermissionError"


def test_the_proxy_and_the_engine_tell_him_that_he_has_no_key(box: Installation) -> None:
    for port, path in ((box.port, "/v1/models"), (box.port, "/status"), (box.port_of("a"), "/v1/models")):
        assert as_nobody(lambda port=port, path=path: status(port, path)) == "401"  # type: ignore[misc]
    assert as_nobody(lambda: status(box.port_of("a"), "/metrics")) == "401"


@pytest.mark.parametrize(
    "path",
    [
        "keys/keys.json",
        "run/engine_keys.json",
        "state/launched.json",
        "audit/audit.key",
        "audit/head.json",
        "log/a.log",
        "log/proxy.log",
    ],
)
def test_he_reads_neither_keys_nor_state_nor_audit_nor_logs(box: Installation, path: str) -> None:
    assert (box.root / "var" / path).read_bytes() is not None
    assert as_nobody(lambda: str(len((box.root / "var" / path).read_bytes()))) == "PermissionError"


def test_he_does_not_see_the_engines_key_in_its_environment(box: Installation) -> None:
    pid = json.loads((box.root / "var" / "state" / "launched.json").read_text())["a"]["pid"]
    assert b"VLLM_API_KEY" in Path(f"/proc/{pid}/environ").read_bytes()
    assert as_nobody(lambda: str(len(Path(f"/proc/{pid}/environ").read_bytes()))) == "PermissionError"
    assert b"VLLM_API_KEY" not in Path(f"/proc/{pid}/cmdline").read_bytes()
