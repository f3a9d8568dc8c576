"""Clients as people have them, unchanged, before the proxy and real vLLM; and each byte of it beside vLLM's own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI

from proxy.core.endpoints import ENDPOINTS, ENGINE_ONLY, Endpoint, Key, Purpose
from tests.e2e.conftest import BUDGET_GIB, reals
from tests.installation import REAL_VLLM, Installation, running

pytestmark = pytest.mark.vllm

HELLO: Any = [{"role": "user", "content": "Say hello."}]
STARTS_WITHIN_S = 240
SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": ["A1", "B2"]}},
    "required": ["code"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One chat model and the embedder, which fit together, so that nothing is swapped."""
    models = [model for model in reals() if model["name"] in ("medical", "evidence")]
    for model in models:
        model["env"] = {**model.get("env", {}), "VLLM_ENABLE_RESPONSES_API_STORE": "1"}
        if model["name"] == "medical":
            tools = {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}
            model["vllm_args"] = {**model.get("vllm_args", {}), **tools}
    root = Path(tmp_path_factory.mktemp("clients"))
    with running(Installation(root, models, {"Chat": "medical", "Evidence": "evidence"}, BUDGET_GIB)) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(box: Installation) -> openai.OpenAI:
    made = openai.OpenAI(base_url=f"{box.url}/v1", api_key="none", max_retries=0, timeout=STARTS_WITHIN_S)
    made.chat.completions.create(model="Chat", messages=HELLO, max_tokens=2)
    made.embeddings.create(model="Evidence", input="warm")
    return made


def test_openai_streams_with_usage(client: openai.OpenAI) -> None:
    usage = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(  # type: ignore[call-overload]
            model="Chat", messages=HELLO, max_tokens=6, stream=True, stream_options=usage, logprobs=True, top_logprobs=2
        )
    )
    assert chunks[-1].usage.completion_tokens == 6
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert len(chunks[1].choices[0].logprobs.content[0].top_logprobs) == 2


def test_openai_tools_and_json_schema(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "bill", "parameters": SCHEMA, "strict": True}}
    choice: Any = {"type": "function", "function": {"name": "bill"}}
    answer = client.chat.completions.create(
        model="Chat", messages=HELLO, max_tokens=80, tools=[tool], tool_choice=choice, temperature=0
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments)["code"] in ("A1", "B2")  # type: ignore[union-attr]
    form: Any = {"type": "json_schema", "json_schema": {"name": "bill", "schema": SCHEMA}}
    answer = client.chat.completions.create(
        model="Chat", messages=HELLO, max_tokens=40, response_format=form, temperature=0
    )
    assert json.loads(answer.choices[0].message.content or "")["code"] in ("A1", "B2")


def test_openai_responses_and_asking_for_one_again(client: openai.OpenAI) -> None:
    made = client.responses.create(model="Chat", input="Say hello.", max_output_tokens=6)
    assert made.model == "medical"
    again = client.responses.retrieve(made.id)
    assert (again.id, again.output_text) == (made.id, made.output_text)
    kinds = [
        event.type for event in client.responses.create(model="Chat", input="Hi", max_output_tokens=4, stream=True)
    ]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")


def test_openai_embeddings_and_errors(client: openai.OpenAI) -> None:
    [one, other] = client.embeddings.create(model="Evidence", input=["heart", "kidney"]).data
    assert len(one.embedding) == len(other.embedding) > 100
    with pytest.raises(openai.NotFoundError, match="there is no model 'nobody'"):
        client.chat.completions.create(model="nobody", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match=r"max_tokens|maximum context|context length"):
        client.chat.completions.create(model="Chat", messages=HELLO, max_tokens=10**6)


def test_anthropic_messages_and_streams(box: Installation, client: openai.OpenAI) -> None:
    claude = anthropic.Anthropic(base_url=box.url, api_key="none", max_retries=0, timeout=STARTS_WITHIN_S)
    answer = claude.messages.create(model="Chat", max_tokens=6, messages=HELLO)
    assert answer.content[0].text  # type: ignore[union-attr]
    with claude.messages.stream(model="Chat", max_tokens=6, messages=HELLO) as stream:
        assert "".join(stream.text_stream)
    assert claude.messages.count_tokens(model="Chat", messages=HELLO).input_tokens > 2
    with pytest.raises(anthropic.NotFoundError, match="there is no model"):
        claude.messages.create(model="nobody", max_tokens=6, messages=HELLO)


def test_langchain(box: Installation, client: openai.OpenAI) -> None:
    model = ChatOpenAI(
        model="Chat", base_url=f"{box.url}/v1", api_key="none", max_completion_tokens=6, timeout=STARTS_WITHIN_S
    )
    assert model.invoke("Say hello.").content
    assert "".join(str(chunk.content) for chunk in model.stream("Say hello."))


def run(*argv: str) -> str:
    done = subprocess.run([str(REAL_VLLM), *argv], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_vllms_own_benchmark(box: Installation, client: openai.OpenAI) -> None:
    weights = next(model["weights"] for model in reals() if model["name"] == "medical")
    sizes = ["--num-prompts", "4", "--random-input-len", "16", "--random-output-len", "4"]
    told = run(
        *("bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", box.url),
        *("--model", "medical", "--tokenizer", weights, "--dataset-name", "random", *sizes),
    )
    assert "Successful requests:" in told
    [line] = [line for line in told.splitlines() if line.startswith("Successful requests:")]
    assert line.split()[-1] == "4"


def test_vllms_own_chat(box: Installation, client: openai.OpenAI) -> None:
    assert run("chat", "--url", f"{box.url}/v1", "--model-name", "Chat", "--quick", "Say hello.").strip()


ADDED = {"x-request-id", "x-rota-model", "x-rota-waited-s", "x-rota-swap"}
TEXT = {"input": "heart"}
PAIR = {"text_1": "heart", "text_2": ["kidney"]}
RANK = {"query": "heart", "documents": ["kidney"]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 6},
    "/v1/chat/completions/batch": {"messages": [HELLO, HELLO], "max_tokens": 4},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 6},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 6, "store": False},
    "/v1/messages": {"messages": HELLO, "max_tokens": 6},
    "/v1/messages/count_tokens": {"messages": HELLO},
    "/generative_scoring": {"query": "heart", "items": ["kidney"], "label_token_ids": [1, 2]},
    "/tokenize": {"prompt": "Hello"},
    "/detokenize": {"tokens": [1, 2, 3]},
    **dict.fromkeys(("/v1/embeddings", "/pooling", "/classify"), TEXT),
    "/v2/embed": {"texts": ["heart"], "input_type": "search_query", "embedding_types": ["float"]},
    **dict.fromkeys(("/score", "/v1/score"), PAIR),
    **dict.fromkeys(("/rerank", "/v1/rerank", "/v2/rerank"), RANK),
}
"""Of every endpoint that takes JSON; those that are not here get a body with nothing but the model, and the token limit
that the catalog puts in by `request_defaults` where there is none: a difference that the catalog's owner asked for."""
MORE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions stream": {**BODIES["/v1/chat/completions"], "stream": True},
    "/v1/chat/completions wrong": {"messages": "no list"},
    "/v1/completions stream": {**BODIES["/v1/completions"], "stream": True},
    "/v1/messages wrong": {"messages": "no list", "max_tokens": 6},
    "/v1/embeddings wrong": {"input": {"no": "text"}},
}
OF_JSON = {one.path: one for one in ENDPOINTS if one.key is Key.JSON}
CASES = {**{path: BODIES.get(path, {"max_tokens": 6}) for path in OF_JSON}, **MORE}
OTHERS = [one for one in (*ENDPOINTS, *ENGINE_ONLY) if one.key not in (Key.JSON, Key.SOCKET)]
PASSES = {"created", "created_at", "completed_at", "id", "request_id"}
"""Fields that vLLM makes anew for each request: times and ids."""


def asked(where: dict[str, Any], method: str, path: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    headers = {"X-Request-Id": "same", "Accept-Encoding": "identity"}
    with httpx.Client(**{"trust_env": False} | where) as client:
        got = client.request(method, path, headers=headers, timeout=STARTS_WITHIN_S, **more)
    told = {name: value for name, value in got.headers.items() if name not in ("date", *ADDED)}
    return got.status_code, told, got.content


def without_what_passes(body: bytes) -> list[Any]:
    """Each JSON of the body without what vLLM makes anew for each request."""
    told = []
    for line in body.splitlines():
        try:
            told.append(lasting(json.loads(line.removeprefix(b"data: "))))
        except ValueError:
            told.append(line)
    return told


def lasting(one: Any) -> Any:
    match one:
        case dict():
            return {key: lasting(value) for key, value in one.items() if key not in PASSES}
        case list():
            return [lasting(each) for each in one]
        case _:
            return one


def compare(direct: tuple[int, dict[str, str], bytes], through: tuple[int, dict[str, str], bytes]) -> None:
    assert through[0] == direct[0]
    length = {"content-length": str(len(through[2]))} if "content-length" in direct[1] else {}
    assert through[1] == direct[1] | length
    assert without_what_passes(through[2]) == without_what_passes(direct[2])


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_vllms_own_but_for_the_headers_that_are_listed(
    box: Installation, client: openai.OpenAI, case: str
) -> None:
    path = case.partition(" ")[0]
    name = "evidence" if OF_JSON[path].purpose is Purpose.POOLING else "medical"
    body = {"model": name, **({"temperature": 0} if name == "medical" else {}), **CASES[case]}
    compare(*(asked(where, "POST", path, json=body) for where in (box.direct(name), {"base_url": box.url})))


@pytest.mark.parametrize("endpoint", OTHERS, ids=lambda one: f"{one.method} {one.path}")
def test_what_is_asked_of_a_named_engine_is_answered_by_it(
    box: Installation, client: openai.OpenAI, endpoint: Endpoint
) -> None:
    path = endpoint.path.format(response_id="resp_of_nobody")
    form = {"data": {"model": "medical"}, "files": {"file": b"no sound"}} if endpoint.key is Key.FORM else {}
    both = box.direct("medical"), {"base_url": f"{box.url}/engines/medical"}
    direct, through = (asked(where, endpoint.method, path, **form) for where in both)
    if path in CHANGES_BY_ITSELF:
        assert through[:1] == direct[:1]
        assert set(through[1]) == set(direct[1])
    else:
        compare(direct, through)


CHANGES_BY_ITSELF = ("/metrics", "/load")
