"""The same scenario against the fake vLLM and against real vLLM: so is the fake held to the real thing.

Each test begins with what it needs. In this order they share engines, since a real start takes half a minute.
"""

import os
import signal
import time

import httpx
import openai
import pytest

from proxy.adapters import processes
from tests.installation import Installation, eventually

HELLO = [{"role": "user", "content": "Say hello."}]


def client(stack: Installation) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0, timeout=stack.start_takes_s)


def test_looking_wakes_nothing(stack: Installation) -> None:
    listed = {model.id for model in client(stack).models.list()}
    assert listed == {"medical", "chat", "claims", "evidence"}
    assert httpx.get(f"{stack.url}/health", trust_env=False).json()["status"] == "ok"
    medical = next(model for model in httpx.get(f"{stack.url}/models").json()["data"] if model["id"] == "medical")
    assert (medical["state"], medical["agent_types"], medical["max_model_len"]) == ("stopped", ["MedicalQA"], 2048)
    assert medical["memory_bytes"] == round(2.5 * 2**30)
    assert stack.status()["devices"][0]["reservations"] == {}


def test_a_chat_by_agent_type_starts_its_engine_and_is_answered(stack: Installation) -> None:
    answer = client(stack).chat.completions.create(
        model="", messages=HELLO, max_tokens=8, extra_body={"agent_type": "MedicalQA"}
    )
    assert answer.model == "medical"
    assert answer.choices[0].message.content
    assert stack.state("medical") == "ready"


def test_an_engine_is_known_by_what_it_runs(stack: Installation) -> None:
    """Also where it was prepared in the same process: for `ps`, and for the next proxy."""
    title = processes.title(stack.engine("medical")["pid"])
    assert "serve" in title
    assert "bin/engine" not in title
    assert "nothing is imported ahead" not in stack.log("medical"), "nor is it attempted with a fake"


def test_a_client_that_can_only_choose_a_model_may_name_the_agent_type_the_alias_or_the_model(
    stack: Installation,
) -> None:
    for name in ("MedicalQA", "medical-alias", "medical"):
        answer = client(stack).chat.completions.create(model=name, messages=HELLO, max_tokens=2)
        assert answer.model == "medical"


def test_a_completion_by_the_header_is_answered(stack: Installation) -> None:
    answer = client(stack).completions.create(
        model="", prompt="Once", max_tokens=4, extra_headers={"X-Agent-Type": "MedicalQA"}
    )
    assert (answer.model, bool(answer.choices[0].text)) == ("medical", True)


async def test_a_stream_comes_in_pieces_through_the_async_client(stack: Installation) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0) as streaming:
        stream = await streaming.chat.completions.create(model="medical", messages=HELLO, max_tokens=12, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(pieces).strip()


def test_an_answer_through_the_proxy_is_the_engines_own(stack: Installation) -> None:
    body = {"model": "medical", "prompt": "One two three", "max_tokens": 4, "temperature": 0}
    with httpx.Client(**stack.direct("medical")) as engine:
        direct = engine.post("/v1/completions", json=body, timeout=60)
    through = httpx.post(f"{stack.url}/v1/completions", json=body, timeout=60, headers={"X-Request-Id": "mine-1"})
    assert through.json()["choices"] == direct.json()["choices"]
    assert through.headers["Content-Type"] == direct.headers["Content-Type"]
    assert through.headers["X-Request-Id"] == "mine-1"
    assert through.json()["id"].endswith("mine-1")


def test_an_engine_answers_nobody_but_the_proxy(stack: Installation) -> None:
    """Another user of this machine can connect to its port, and gets no further; vLLM itself leaves most paths open."""
    url = f"http://127.0.0.1:{stack.port_of('medical')}"
    for path in ("/health", "/metrics", "/v1/models", "/version", "/docs", "/is_sleeping"):
        assert httpx.get(f"{url}{path}", timeout=10).status_code == 401, path
    for path in ("/v1/completions", "/tokenize", "/invocations", "/sleep", "/collective_rpc", "/generative_scoring"):
        body = {"prompt": "Once", "max_tokens": 1}
        for headers in ({}, {"Authorization": "Bearer none"}):
            assert httpx.post(f"{url}{path}", json=body, headers=headers, timeout=10).status_code == 401, path
    assert stack.state("medical") == "ready"


def test_an_error_of_the_engine_comes_through_unmarked(stack: Installation) -> None:
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json={"model": "medical", "messages": []}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert "X-Rota-Error" not in answer.headers


@pytest.mark.parametrize("level", [1, 2])
def test_an_engine_sleeps_and_wakes_for_the_next_request_and_answers_as_before(stack: Installation, level: int) -> None:
    body = {"model": "medical", "prompt": "One two three", "max_tokens": 4, "temperature": 0}
    before = httpx.post(f"{stack.url}/v1/completions", json=body, timeout=60).json()["choices"]
    pid = stack.engine("medical")["pid"]
    done = stack.manage("sleep", "medical", "--level", str(level))
    assert (done.returncode, done.stdout) == (0, "medical: asleep\n"), done.stderr
    assert stack.engine("medical")["sleep_level"] == level
    with httpx.Client(**stack.direct("medical")) as engine:
        assert engine.get("/is_sleeping", timeout=10).json() == {"is_sleeping": True}
    assert httpx.post(f"{stack.url}/v1/completions", json=body, timeout=60).json()["choices"] == before
    assert (stack.state("medical"), stack.engine("medical")["pid"]) == ("ready", pid)


def test_embeddings_come_from_the_embedder_and_both_engines_are_up_together(stack: Installation) -> None:
    stack.chat(agent_type="MedicalQA", timeout_s=stack.start_takes_s)
    answer = client(stack).embeddings.create(model="Evidence", input=["one", "two"])
    assert len(answer.data) == 2
    assert all(isinstance(number, float) for number in answer.data[1].embedding)
    assert set(stack.status()["devices"][0]["reservations"]) == {"medical", "evidence"}


def test_another_chat_model_is_a_swap_that_leaves_the_embedder_alone(stack: Installation) -> None:
    before = {model: stack.engine(model)["pid"] for model in ("medical", "evidence")}
    answer = stack.chat(agent_type="Claims", timeout_s=stack.start_takes_s)
    assert answer.json()["model"] == "claims"
    assert set(stack.status()["devices"][0]["reservations"]) == {"claims", "evidence"}
    assert stack.engine("evidence")["pid"] == before["evidence"]
    assert stack.state("medical") == "stopped"
    assert not _exists(before["medical"])


def test_a_stop_by_hand_is_known_to_the_ledger_within_a_second(stack: Installation) -> None:
    stack.chat(agent_type="Claims", timeout_s=stack.start_takes_s)
    assert "claims: stopped" in stack.supervisorctl("stop", "claims")
    eventually(lambda: "claims" not in stack.status()["devices"][0]["reservations"], within_s=1)
    assert stack.state("claims") == "stopped"


def test_a_start_by_hand_goes_through_the_ledger(stack: Installation) -> None:
    assert "claims: started" in stack.supervisorctl("start", "claims")
    eventually(lambda: "claims" in stack.status()["devices"][0]["reservations"], within_s=1)
    eventually(lambda: stack.state("claims") == "ready", within_s=stack.start_takes_s)
    assert stack.chat(agent_type="Claims").status_code == 200
    told = [
        line["what"] for line in stack.acts() if (line["who"], line.get("model")) == ("with supervisorctl", "claims")
    ]
    assert (told.count("started"), told[-1]) == (1, "started"), "what the proxy starts is no act of anybody's"


def test_when_its_client_leaves_the_engine_stops_generating(stack: Installation) -> None:
    stack.chat(agent_type="Claims", timeout_s=stack.start_takes_s)
    body = {"model": "claims", "prompt": "Tell me", "max_tokens": 1500, "stream": True, "ignore_eos": True}
    with httpx.stream("POST", f"{stack.url}/v1/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()  # kept: httpx closes the response when this is collected
        next(lines)
        assert stack.engine("claims")["leases"] == 1
    eventually(lambda: stack.engine("claims")["leases"] == 0, within_s=2)
    eventually(lambda: _running_requests(stack, "claims") == 0, within_s=5)


def test_the_proxy_killed_comes_back_and_the_engines_never_stopped_serving(stack: Installation) -> None:
    stack.chat(agent_type="Claims", timeout_s=stack.start_takes_s)
    pids = {model: stack.engine(model)["pid"] for model in ("claims", "evidence")}
    killed_at, old = time.time(), stack.status()["proxy"]["pid"]
    os.kill(old, signal.SIGKILL)
    with httpx.Client(**stack.direct("claims")) as engine:
        assert engine.get("/health").status_code == 200
    eventually(lambda: _is_up(stack) and stack.status()["proxy"]["pid"] != old, within_s=20)
    eventually(lambda: stack.state("claims") == "ready", within_s=5)
    assert stack.chat(agent_type="Claims", timeout_s=30).status_code == 200
    assert {model: stack.engine(model)["pid"] for model in pids} == pids
    assert set(stack.status()["devices"][0]["reservations"]) == {"claims", "evidence"}
    assert stack.engine("claims")["in_state_s"] < time.time() - killed_at


def test_an_adopted_engine_can_be_stopped(stack: Installation) -> None:
    stack.chat(agent_type="Claims", timeout_s=stack.start_takes_s)
    done = stack.manage("stop", "claims")
    assert (done.returncode, done.stdout) == (0, "claims: stopped\n")
    assert "claims" not in stack.status()["devices"][0]["reservations"]


def test_stop_service_leaves_no_process(stack: Installation) -> None:
    assert stack.left_over()
    done = stack.manage("stop-service")
    assert done.returncode == 0, done.stderr
    assert stack.left_over() == []


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_up(stack: Installation) -> bool:
    try:
        return httpx.get(f"{stack.url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _running_requests(stack: Installation, model: str) -> float:
    """From the engine's own metrics: how many requests it is working on."""
    with httpx.Client(**stack.direct(model)) as engine:
        text = engine.get("/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("vllm:num_requests_running")]
    return float(lines[0].split()[-1])
