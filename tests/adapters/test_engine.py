import httpx
import msgspec
import pytest
import respx

from proxy.adapters.engine import EngineApi, NotReady
from tests.test_fleet import spec

BASE = "http://127.0.0.1:8100"


@pytest.fixture
async def api() -> EngineApi:
    return EngineApi()


def serving(*names: str) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": [{"id": name, "max_model_len": 8} for name in names]})


@respx.mock
async def test_an_engine_is_ready_when_it_is_healthy_and_lists_its_model(api: EngineApi) -> None:
    respx.get(f"{BASE}/health").respond(200)
    respx.get(f"{BASE}/v1/models").mock(return_value=serving("a"))
    await api.check(spec("a"))
    await api.close()


@respx.mock
@pytest.mark.parametrize(
    ("health", "models", "says"),
    [
        (httpx.Response(503), serving("a"), "503"),
        (httpx.Response(200), serving("other"), "serves other, not a"),
        (httpx.Response(200), httpx.Response(200, text="<html>"), "no answer"),
        (httpx.Response(200), httpx.Response(200, json={"detail": "no list"}), "no answer"),
        (httpx.ConnectError("refused"), serving("a"), "refused"),
        (httpx.ReadTimeout("slow"), serving("a"), "slow"),
    ],
)
async def test_anything_else_is_not_ready_and_says_why(
    api: EngineApi, health: httpx.Response | Exception, models: httpx.Response, says: str
) -> None:
    respx.get(f"{BASE}/health").mock(side_effect=[health])
    respx.get(f"{BASE}/v1/models").mock(return_value=models)
    with pytest.raises(NotReady, match=says):
        await api.check(spec("a"))
    await api.close()


@respx.mock
async def test_it_asks_until_the_engine_is_ready(api: EngineApi) -> None:
    health = respx.get(f"{BASE}/health")
    health.mock(side_effect=[httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200)])
    respx.get(f"{BASE}/v1/models").mock(return_value=serving("a"))
    await api.wait_ready(spec("a"))
    assert health.call_count == 3
    await api.close()


@respx.mock
async def test_it_gives_up_after_the_models_start_timeout(api: EngineApi) -> None:
    respx.get(f"{BASE}/health").mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(NotReady):
        await api.wait_ready(msgspec.structs.replace(spec("a"), start_timeout_s=0.15))
    await api.close()
