import socket
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import respx

from proxy.adapters import pulse as module
from proxy.adapters.pulse import Pulse
from tests.fleet_stage import engine_keys, spec

BASE = "http://127.0.0.1:8100"
A = spec("a")


def metrics(running: int, tokens: int) -> httpx.Response:
    text = f'vllm:num_requests_running{{engine="0",model_name="a"}} {running}.0\n'
    return httpx.Response(200, text=text + f'vllm:generation_tokens_total{{engine="0",model_name="a"}} {tokens}.0\n')


@pytest.fixture
async def pulse() -> AsyncIterator[Pulse]:
    one = Pulse(engine_keys())
    yield one
    await one.close()


@respx.mock
async def test_without_leases_only_health_is_asked(pulse: Pulse) -> None:
    respx.get(f"{BASE}/health").respond(200)
    asked = respx.get(f"{BASE}/metrics").mock(return_value=metrics(1, 1))
    assert [await pulse.silent_for(A, False, now) for now in (0.0, 5.0)] == [0, 0]
    assert not asked.called


@respx.mock
@pytest.mark.parametrize("health", [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.Response(503)])
async def test_what_is_no_200_is_silence(pulse: Pulse, health: httpx.Response | Exception) -> None:
    respx.get(f"{BASE}/health").mock(side_effect=[health, health, httpx.Response(200)])
    assert [await pulse.silent_for(A, False, now) for now in (1.0, 4.0, 5.0)] == [0, 3, 0]


@respx.mock
async def test_an_engine_with_leases_that_does_not_move_is_silent(pulse: Pulse) -> None:
    respx.get(f"{BASE}/health").respond(200)
    respx.get(f"{BASE}/metrics").mock(side_effect=[metrics(1, 5), metrics(1, 5), metrics(1, 6), metrics(0, 6)])
    assert [await pulse.silent_for(A, True, now) for now in (1.0, 4.0, 5.0, 9.0)] == [0, 3, 0, 0]


@respx.mock
async def test_an_answer_that_is_owed_counts_as_work(pulse: Pulse) -> None:
    respx.get(f"{BASE}/health").respond(200)
    respx.get(f"{BASE}/metrics").mock(return_value=metrics(0, 5))
    assert [await pulse.silent_for(A, True, now, is_owed=True) for now in (1.0, 4.0)] == [0, 3]


@respx.mock
async def test_metrics_that_fail_are_no_verdict(pulse: Pulse) -> None:
    respx.get(f"{BASE}/health").respond(200)
    respx.get(f"{BASE}/metrics").respond(500)
    assert [await pulse.silent_for(A, True, now) for now in (1.0, 9.0)] == [0, 0]


@respx.mock
async def test_a_forgotten_engine_begins_anew_and_others_do_not(pulse: Pulse) -> None:
    respx.get(f"{BASE}/health").mock(side_effect=httpx.ConnectError("refused"))
    for model in ("a", "b"):
        await pulse.silent_for(spec(model), False, 1.0)
    pulse.forget("a")
    pulse.forget("never seen")
    assert await pulse.silent_for(A, False, 9.0) == 0
    assert await pulse.silent_for(spec("b"), False, 9.0) == 8


async def test_an_engine_that_takes_the_connection_and_says_nothing_is_silent(
    pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)

    # The kernel takes the connection; nobody accepts it.
    with socket.create_server(("127.0.0.1", 0)) as server:
        mute = msgspec.structs.replace(A, port=server.getsockname()[1])
        assert [await pulse.silent_for(mute, False, now) for now in (1.0, 2.5)] == [0, 1.5]
