"""Keys, as an administrator makes them, and what they keep out: a whole installation, of fake engines."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.installation import Installation, eventually, fake_model, free_port, running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    """A service that was started with a key, which is an admin's."""
    root = Path(tmp_path_factory.mktemp("k"))
    installation = Installation(root, [fake_model("a")], {"Chat": "a"}, 4.5)
    key = made(installation, "boss", "--role", "admin")
    with running(installation):
        yield installation, key


def made(installation: Installation, name: str, *more: str) -> str:
    done = installation.manage("keys", "make", name, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def chat(installation: Installation, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = {"agent_type": "Chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    return httpx.post(
        f"{installation.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
    )


def test_a_key_is_shown_once_and_its_hash_is_kept_for_this_user_only(closed: tuple[Installation, str]) -> None:
    installation, key = closed
    file = installation.root / "var" / "keys" / "keys.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert key.rpartition("-")[2] not in file.read_text()
    listed = installation.manage("keys", "list").stdout
    assert listed.startswith("boss: made ")
    assert "admin; all agent types and models" in listed
    [told] = json.loads(installation.manage("keys", "list", "--json").stdout)
    assert "hash" not in told["secrets"][0]
    for path in installation.root.glob("var/log/*"):
        assert key not in path.read_text()


def test_only_who_has_a_key_is_answered(closed: tuple[Installation, str]) -> None:
    installation, key = closed
    assert chat(installation, None).status_code == 401
    assert chat(installation, key).status_code == 200
    assert httpx.get(f"{installation.url}/health", trust_env=False).json() == {"status": "ok"}
    assert httpx.get(f"{installation.url}/status", trust_env=False).status_code == 401
    assert installation.manage("status").returncode == 0, "the box's own people need none"


def test_a_key_counts_at_once_is_rotated_and_revoked(closed: tuple[Installation, str]) -> None:
    installation, _ = closed
    first = made(installation, "desk", "--agent-types", "Chat", "--requests-per-minute", "100", "--expires", "90d")
    assert chat(installation, first).status_code == 200
    second = installation.manage("keys", "rotate", "desk", "--keep-old", "1h").stdout.strip()
    assert [chat(installation, key).status_code for key in (first, second)] == [200, 200]
    third = installation.manage("keys", "rotate", "desk").stdout.strip()
    assert [chat(installation, key).status_code for key in (second, third)] == [401, 200]
    assert installation.manage("keys", "revoke", "desk").returncode == 0
    assert "has been revoked" in chat(installation, third).json()["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["make", "boss"], "there is a key 'boss' already"),
        (["make", "x", "--agent-types", "Chatt"], "--agent-types: there is no Chatt. There are: Chat"),
        (["make", "x", "--models", "a,b"], "--models: there is no b. There are: a"),
        (["revoke", "x"], "there is no key 'x'"),
    ],
)
def test_what_cannot_be_done_is_told(closed: tuple[Installation, str], arguments: list[str], said: str) -> None:
    done = closed[0].manage("keys", *arguments)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["make", "a b"], "'a b' is no name for a key: letters"),
        (["make", "x", "--concurrency", "0"], "'0' is no limit"),
        (["make", "x", "--expires", "soon"], "'soon' is no time and no day: give 90d"),
        (["make", "x", "--expires", "2020-01-01"], "is over already"),
        (["rotate", "x", "--keep-old", "1w"], "'1w' is no time: give seconds"),
        ([], "ACT"),
    ],
)
def test_wrong_arguments_exit_2_and_say_what_is_allowed(idle: Installation, arguments: list[str], said: str) -> None:
    done = idle.manage("keys", *arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_an_engine_answers_nobody_but_the_proxy(closed: tuple[Installation, str]) -> None:
    """Another user of this machine can connect to its port, and gets no further."""
    installation, key = closed
    assert chat(installation, key).status_code == 200
    url = f"http://127.0.0.1:{installation.port_of('a')}"
    for path in ("/health", "/metrics", "/v1/models", "/version"):
        assert httpx.get(f"{url}{path}", trust_env=False).status_code == 401
    for path in ("/v1/chat/completions", "/pooling", "/sleep?level=1", "/invocations"):
        assert httpx.post(f"{url}{path}", json={}, trust_env=False).status_code == 401
    assert re.search(r"^a +ready", installation.manage("status").stdout, re.MULTILINE)


def test_an_adopted_engine_is_asked_with_the_key_that_it_has(closed: tuple[Installation, str]) -> None:
    installation, key = closed
    assert chat(installation, key).status_code == 200
    installation.supervisorctl("restart", "proxy")
    eventually(lambda: installation.manage("status").returncode == 0)
    assert chat(installation, key).status_code == 200
    assert installation.fake_log().count("started a") == 1


def test_sockets_and_secrets_are_for_this_user_only(closed: tuple[Installation, str]) -> None:
    installation, key = closed
    chat(installation, key)
    run = installation.root / "var" / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    sockets = [path for path in run.iterdir() if path.is_socket()]
    assert {path.name for path in sockets} == {"gate.sock", "supervisord.sock"}
    assert {path.stat().st_mode & 0o777 for path in sockets} == {0o600}
    for path in (*installation.root.glob("var/state/*.json"), *installation.root.glob("var/keys/*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_without_keys_it_listens_nowhere_but_on_the_loopback_unless_told_twice(tmp_path: Path) -> None:
    installation = Installation(tmp_path, [fake_model("a")], {"Chat": "a"}, 4.5, listen_host="0.0.0.0")  # noqa: S104
    installation.environ["ROTA_LISTEN_PORT"] = str(installation.port)
    done = installation.manage("start-service")
    assert done.returncode == 1
    assert "there are no keys, so that it does not listen on 0.0.0.0" in done.stderr
    assert "manage_vllm.sh keys make NAME" in done.stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", installation.port)) != 0
    installation.environ["ROTA_OPEN_TO_ALL"] = "true"
    with running(installation):
        assert chat(installation, None).status_code == 200
        assert "whoever reaches 0.0.0.0 may ask everything" in installation.log("proxy")


def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    installation = Installation(tmp_path, [fake_model("a", port=free_port())], {"Chat": "a"}, 4.5)
    made(installation, "desk")
    path = tmp_path / "var" / "keys" / "keys.json"
    path.write_text("{}")
    path.chmod(0o600)
    done = installation.manage("start-service")
    assert done.returncode == 1
    assert "keys.json is damaged" in done.stderr
