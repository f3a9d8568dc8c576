"""vLLM's middleware of ours, as ASGI."""

import sys
from collections.abc import MutableMapping
from typing import Any

import pytest

from tests.installation import CHECKOUT

sys.path.append(str(CHECKOUT / "bin" / "in_engine"))

from rota_engine_guard import Guard

GOOD = [(b"authorization", b"Bearer k")]
BAD = [
    [],
    [(b"authorization", b"Bearer other")],
    [(b"authorization", b"k")],
    [(b"authorization", b"Bearer k"), (b"authorization", b"Bearer k")],
    [(b"x-api-key", b"k")],
]


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Guard:
    monkeypatch.setenv("VLLM_API_KEY", "k")

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "let in"})

    return Guard(app)


async def asked(guard: Guard, kind: str, headers: list[tuple[bytes, bytes]], path: str = "/sleep") -> list[Any]:
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    await guard({"type": kind, "headers": headers, "path": path, "method": "OPTIONS"}, receive, send)
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_who_has_the_key_is_let_in(guard: Guard, kind: str) -> None:
    assert await asked(guard, kind, GOOD) == [{"type": "let in"}]


@pytest.mark.parametrize("headers", BAD)
@pytest.mark.parametrize("path", ["/sleep", "/health", "/v1/models", "/pooling", "/metrics"])
async def test_who_has_it_not_is_refused_whatever_he_asks(
    guard: Guard, headers: list[tuple[bytes, bytes]], path: str
) -> None:
    start, body = await asked(guard, "http", headers, path)
    assert (start["status"], b"asked through Rota only" in body["body"]) == (401, True)
    assert await asked(guard, "websocket", headers, path) == [{"type": "websocket.close", "code": 1008}]


async def test_the_life_of_the_server_is_not_asked_for_a_key(guard: Guard) -> None:
    assert await asked(guard, "lifespan", []) == [{"type": "let in"}]


def test_without_a_key_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    with pytest.raises(KeyError):
        Guard(None)  # type: ignore[arg-type]
