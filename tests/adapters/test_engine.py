import socket

import httpx
import msgspec
import pytest
import respx

from proxy.adapters.engine import EngineApi, EngineError, NotReady
from proxy.core.probe import PROBE_TEXT, Answer
from tests.fleet_stage import engine_keys, spec

BASE = "http://127.0.0.1:8100"
EMBEDDER = msgspec.structs.replace(spec("a"), embedder=True)


@pytest.fixture
async def api() -> EngineApi:
    keys = engine_keys()
    keys.use({"a": "of the engine"})
    return EngineApi(keys, listens=of_course)


async def of_course(port: int) -> bool:
    return True


def serving(*names: str) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": [{"id": name, "max_model_len": 8} for name in names]})


@respx.mock
async def test_an_engine_is_ready_when_it_is_healthy_and_lists_its_model(api: EngineApi) -> None:
    headers = {"Authorization": "Bearer of the engine"}
    respx.get(f"{BASE}/health", headers=headers).respond(200)
    respx.get(f"{BASE}/v1/models", headers=headers).mock(return_value=serving("a"))
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


class SleepyEngine:
    """The sleep mode of vLLM 0.32 as its source has it, behind respx; the real one was asked the same questions.

    A level that is put on top of another is a no-op that changes the gauge all the same.
    """

    def __init__(self, *, has_stats: bool = True) -> None:
        self.calls: list[str] = []
        self.tags: set[str] = set()
        self.gauge = 0
        self.weights_are_good = True
        self.has_stats = has_stats
        self.looks_until_asleep: int | None = None
        self.fails: dict[str, httpx.Response | Exception] = {}
        respx.route(url__startswith=BASE).mock(side_effect=self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        call = request.url.raw_path.decode()
        if request.method == "POST":
            self.calls.append(call)
        if call in self.fails:
            match self.fails[call]:
                case Exception() as error:
                    raise error
                case httpx.Response() as response:
                    return response
        path, query = request.url.path, request.url.params
        if path == "/is_sleeping":
            return httpx.Response(200, json={"is_sleeping": bool(self.tags)})
        if path == "/metrics" and self.looks_until_asleep:
            self.looks_until_asleep -= 1
            if not self.looks_until_asleep:
                self.gauge, self.tags = 1, {"weights", "kv_cache"}
            under_way = 'vllm:sleep_mode_operations_in_flight{operation="sleep"} 1.0\n'
            return httpx.Response(200, text=under_way + self.metrics())
        if path == "/metrics":
            return httpx.Response(200, text=self.metrics() if self.has_stats else "")
        if path == "/sleep":
            self.gauge = int(query["level"])
            if not self.tags:
                self.tags = {"weights", "kv_cache"}
                self.weights_are_good = self.gauge == 1
        elif path == "/wake_up":
            self.tags -= set(query.get_list("tags")) or self.tags
            if not self.tags:
                self.gauge = 0
        elif path == "/collective_rpc":
            assert msgspec.json.decode(request.content) == {"method": "reload_weights"}
            assert "weights" not in self.tags
            self.weights_are_good = True
        return httpx.Response(200, json={})

    def metrics(self) -> str:
        states = {"awake": self.gauge == 0, "weights_offloaded": self.gauge == 1, "discard_all": self.gauge == 2}
        return "# TYPE vllm:engine_sleep_state gauge\n" + "".join(
            f'vllm:engine_sleep_state{{engine="0",model_name="a",sleep_state="{state}"}} {float(is_it)}\n'
            for state, is_it in states.items()
        )


@respx.mock
@pytest.mark.parametrize("level", [1, 2])
async def test_an_engine_sleeps_at_a_level_and_wakes_with_good_weights(api: EngineApi, level: int) -> None:
    engine = SleepyEngine()
    await api.sleep(spec("a"), level, 1.0)
    assert engine.calls == [f"/sleep?level={level}&mode=wait"]
    assert await api.sleep_level(spec("a")) == level
    await api.wake(spec("a"), level, 1.0)
    assert engine.weights_are_good
    assert await api.sleep_level(spec("a")) == 0
    await api.close()


@respx.mock
async def test_a_sleep_that_somebody_began_is_waited_for_before_its_level_is_told(api: EngineApi) -> None:
    engine = SleepyEngine()
    engine.looks_until_asleep = 2
    assert await api.sleep_level(spec("a")) == 1
    await api.close()


@respx.mock
async def test_a_wake_from_level_1_is_one_call(api: EngineApi) -> None:
    engine = SleepyEngine()
    await api.sleep(spec("a"), 1, 1.0)
    engine.calls.clear()
    await api.wake(spec("a"), 1, 1.0)
    assert engine.calls == ["/wake_up"]
    await api.close()


@respx.mock
@pytest.mark.parametrize("said", [2, 0])
async def test_a_wake_from_level_2_or_an_unknown_one_loads_the_weights_before_the_cache_comes_back(
    api: EngineApi, said: int
) -> None:
    engine = SleepyEngine()
    await api.sleep(spec("a"), 2, 1.0)
    engine.calls.clear()
    await api.wake(spec("a"), said, 1.0)
    assert engine.calls == ["/wake_up?tags=weights", "/collective_rpc", "/wake_up?tags=kv_cache"]
    assert engine.weights_are_good
    await api.close()


@respx.mock
async def test_a_wake_that_broke_off_half_way_can_be_done_again(api: EngineApi) -> None:
    engine = SleepyEngine()
    await api.sleep(spec("a"), 2, 1.0)
    engine.fails["/collective_rpc"] = httpx.Response(500, json={"error": {"message": "out of memory", "code": 500}})
    with pytest.raises(EngineError, match="/collective_rpc was answered with 500: out of memory"):
        await api.wake(spec("a"), 2, 1.0)
    assert await api.sleep_level(spec("a")) == 2
    engine.fails.clear()
    await api.wake(spec("a"), 2, 1.0)
    assert engine.weights_are_good
    assert not engine.tags
    await api.close()


@respx.mock
async def test_a_sleeper_is_not_put_to_sleep_at_another_level(api: EngineApi) -> None:
    engine = SleepyEngine()
    await api.sleep(spec("a"), 2, 1.0)
    await api.sleep(spec("a"), 2, 1.0)
    with pytest.raises(EngineError, match="sleeps already"):
        await api.sleep(spec("a"), 1, 1.0)
    assert engine.gauge == 2
    await api.close()


@respx.mock
async def test_a_sleeper_whose_metrics_do_not_tell_is_at_level_2(api: EngineApi) -> None:
    SleepyEngine(has_stats=False)
    await api.sleep(spec("a"), 1, 1.0)
    assert await api.sleep_level(spec("a")) == 2
    await api.close()


@respx.mock
async def test_an_engine_without_sleep_mode_is_awake_and_cannot_be_put_to_sleep(api: EngineApi) -> None:
    respx.get(f"{BASE}/is_sleeping").respond(404, json={"detail": "Not Found"})
    respx.post(f"{BASE}/sleep").respond(404, json={"detail": "Not Found"})
    assert await api.sleep_level(spec("a")) == 0
    with pytest.raises(EngineError, match="404: Not Found"):
        await api.sleep(spec("a"), 1, 1.0)
    await api.close()


@respx.mock
async def test_a_200_that_changed_nothing_is_an_error(api: EngineApi) -> None:
    engine = SleepyEngine()
    engine.fails["/sleep?level=1&mode=wait"] = httpx.Response(200, json={"status": "sleeping"})
    with pytest.raises(EngineError, match="it is awake"):
        await api.sleep(spec("a"), 1, 1.0)
    engine.fails = {"/wake_up": httpx.Response(200, json={"status": "awake"})}
    engine.tags = {"weights"}
    with pytest.raises(EngineError, match="it is asleep"):
        await api.wake(spec("a"), 1, 1.0)
    await api.close()


@respx.mock
async def test_an_engine_that_is_not_healthy_after_its_wake_is_an_error(api: EngineApi) -> None:
    SleepyEngine().fails["/health"] = httpx.Response(503)
    with pytest.raises(EngineError, match="/health was answered with 503: Service Unavailable"):
        await api.wake(spec("a"), 1, 1.0)
    await api.close()


@respx.mock
@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (httpx.ConnectError("refused"), "not answered: refused"),
        (httpx.RemoteProtocolError(""), "not answered: RemoteProtocolError"),
        (httpx.Response(500, text="Internal  Server\nError"), "500: Internal Server Error"),
        (httpx.Response(401, json={"error": "Unauthorized"}), "401: Unauthorized"),
        (httpx.Response(200, text="<html>"), "200: <html>"),
        (httpx.Response(200, json={"is_sleeping": "no"}), "200: "),
    ],
)
async def test_what_an_engine_said_instead_is_in_the_error(
    api: EngineApi, failure: httpx.Response | Exception, says: str
) -> None:
    SleepyEngine().fails["/is_sleeping"] = failure
    with pytest.raises(EngineError, match=says):
        await api.sleep_level(spec("a"))
    await api.close()


async def test_an_engine_that_never_answers_is_given_up_after_the_time_given(api: EngineApi) -> None:
    # The kernel takes the connection; nobody accepts it.
    with socket.create_server(("127.0.0.1", 0)) as server:
        mute = msgspec.structs.replace(spec("a"), port=server.getsockname()[1])
        with pytest.raises(EngineError, match=r"sleep at level 1 took more than 0\.05 s"):
            await api.sleep(mute, 1, 0.05)
        with pytest.raises(EngineError, match="wake from level 2 took more"):
            await api.wake(mute, 2, 0.05)
        with pytest.raises(EngineError, match="the probe took more"):
            await api.probe(mute, 0.05)
        await api.close()


@respx.mock
async def test_the_probe_of_a_chat_model_is_a_short_text_without_chance(api: EngineApi) -> None:
    asked = respx.post(f"{BASE}/v1/completions").respond(200, json={"choices": [{"index": 0, "text": " Rome."}]})
    assert await api.probe(spec("a"), 1.0) == Answer(text=" Rome.")
    question = msgspec.json.decode(asked.calls.last.request.content)
    assert question == {
        "model": "a", "prompt": PROBE_TEXT, "max_tokens": 8, "min_tokens": 1, "temperature": 0, "seed": 0
    }  # fmt: skip
    await api.close()


@respx.mock
async def test_the_probe_of_an_embedder_is_a_vector(api: EngineApi) -> None:
    asked = respx.post(f"{BASE}/v1/embeddings").respond(200, json={"data": [{"embedding": [0.5, 0.12345678]}]})
    assert await api.probe(EMBEDDER, 1.0) == Answer(vector=(0.5, 0.123457))
    assert msgspec.json.decode(asked.calls.last.request.content) == {"model": "a", "input": PROBE_TEXT}
    await api.close()


@respx.mock
@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, json={"error": {"message": "EngineDead"}}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"choices": [], "data": []}),
        httpx.Response(200, json={"choices": [{"text": ""}], "data": [{"embedding": []}]}),
        httpx.Response(200, json={"choices": [{"text": None}], "data": [{"embedding": [None]}]}),
        httpx.Response(200, text='{"choices": [{"text": NaN}], "data": [{"embedding": [NaN, 1.0]}]}'),
        httpx.Response(200, text='{"choices": [{"text": 1}], "data": [{"embedding": [1e999]}]}'),
    ],
)
async def test_a_probe_without_a_usable_answer_is_an_error(api: EngineApi, response: httpx.Response) -> None:
    respx.post(f"{BASE}/v1/completions").mock(return_value=response)
    respx.post(f"{BASE}/v1/embeddings").mock(return_value=response)
    for asked in (spec("a"), EMBEDDER):
        with pytest.raises(EngineError, match="the probe was answered with"):
            await api.probe(asked, 1.0)
    await api.close()
