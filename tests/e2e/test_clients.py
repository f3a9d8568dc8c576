"""Clients as people have them, unchanged, before the proxy and real vLLM; and each byte of it beside vLLM's own.

At the end: what the audit knows of them, and that nothing of what they said is written anywhere.
"""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import psutil
import pytest
from langchain_openai import ChatOpenAI

from proxy.core.endpoints import ENDPOINTS, ENGINE_ONLY, Endpoint, Key, Purpose
from tests.e2e.conftest import BUDGET_GIB, reals
from tests.installation import REAL_VLLM, Installation, eventually, running

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
            # Of a forked one the server learns that it has died when its worker ends, and has no last words before it
            # is ended itself; those are looked through here.
            model["env"]["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
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


def ends(box: Installation) -> dict[str, dict[str, Any]]:
    """What became of requests, by id, as the audit tells it."""
    lines = [json.loads(row) for row in box.manage("audit", "find", "--since", "2026-01-01").stdout.splitlines()]
    return {line["id"]: line for line in lines}


def test_the_audit_knows_the_tokens_of_a_stream_that_does_not_tell_them(
    box: Installation, client: openai.OpenAI
) -> None:
    body = {"model": "Chat", "messages": HELLO, "max_tokens": 7, "temperature": 0}
    with httpx.Client(base_url=box.url, trust_env=False, timeout=STARTS_WITHIN_S) as http:
        usage = http.post("/v1/chat/completions", json=body).json()["usage"]
        for path, more in (
            ("/v1/chat/completions", {}),
            ("/v1/completions", {"prompt": "Say hello.", "n": 2, "temperature": 1}),
        ):
            streamed = http.post(path, json=body | more | {"stream": True}, headers={"X-Request-Id": path})
            assert (streamed.status_code, "usage" in streamed.text) == (200, False)
    told = ends(box)
    asked, completed = told["/v1/chat/completions"], told["/v1/completions"]
    assert (asked["prompt_tokens"], asked["answer_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (completed["prompt_tokens"] > 0, completed["answer_tokens"]) == (True, 14)


TOOL = {"name": "book", "parameters": {"type": "object", "properties": {"bed": {"enum": ["window", "door"]}}}}
STREAMED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": HELLO, "max_tokens": 12}),
    (
        "/v1/chat/completions",
        {
            "messages": HELLO,
            "max_tokens": 80,
            "tools": [{"type": "function", "function": TOOL}],
            "tool_choice": {"type": "function", "function": {"name": "book"}},
        },
    ),
    ("/v1/completions", {"prompt": "Say hello.", "max_tokens": 12}),
    ("/v1/responses", {"input": HELLO, "max_output_tokens": 12}),
    ("/v1/messages", {"messages": HELLO, "max_tokens": 12}),
]


def test_a_stream_has_the_hashes_of_the_whole_answer(box: Installation, client: openai.OpenAI) -> None:
    with httpx.Client(base_url=box.url, trust_env=False, timeout=STARTS_WITHIN_S) as http:
        for n, (path, body) in enumerate(STREAMED):
            for is_stream in (False, True):
                more = {"model": "Chat", "temperature": 0, "stream": is_stream}
                answer = http.post(path, json=body | more, headers={"X-Request-Id": f"hashes-{n}-{is_stream}"})
                assert answer.status_code == 200, answer.text
    told = ends(box)
    for n, (path, _) in enumerate(STREAMED):
        whole, streamed = (told[f"hashes-{n}-{is_stream}"] for is_stream in (False, True))
        assert len(whole["answer"]) == 64, path
        assert (streamed["answer"], streamed.get("answers")) == (whole["answer"], whole.get("answers")), path
    assert len(told["hashes-1-True"]["answers"]) == 3, "of a tool that is called: the text, the name, the arguments"
    assert "hashes-1-True" in box.manage("audit", "find", "--text", "book").stdout


PLANT = "bed 14 has Quastenbein fever, since it was in Samarkand"
"""Planted wherever a client can say something."""
SAID: Any = [{"role": "user", "content": PLANT}]
PLANTED: list[tuple[str, Any]] = [
    ("/v1/chat/completions", {"messages": SAID, "max_tokens": 24}),
    ("/v1/chat/completions", {"messages": SAID, "max_tokens": 24, "stream": True}),
    ("/v1/chat/completions", {"messages": PLANT}),
    ("/v1/chat/completions", {"messages": [{"role": PLANT, "content": 3}]}),
    ("/v1/chat/completions", {"messages": SAID * 200}),
    ("/v1/chat/completions", {"messages": SAID, "temperature": PLANT}),
    ("/v1/chat/completions", {"messages": SAID, "response_format": {"type": "json_schema", "json_schema": PLANT}}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": PLANT}]}]}),
    ("/v1/chat/completions", {"messages": SAID, "keep_alive": PLANT}),
    ("/v1/chat/completions", {"messages": SAID, "stop": [PLANT], "user": PLANT, "metadata": {"x": PLANT}}),
    ("/v1/completions", {"prompt": PLANT, "max_tokens": 24, "echo": True, "logprobs": 1}),
    ("/v1/responses", {"input": PLANT, "instructions": PLANT, "max_output_tokens": 24}),
    ("/v1/messages", {"messages": SAID, "system": PLANT, "max_tokens": 24}),
    ("/v1/messages", {"messages": SAID, "max_tokens": PLANT}),
    ("/v1/embeddings", {"model": "evidence", "input": PLANT}),
    ("/rerank", {"model": "evidence", "query": PLANT, "documents": [PLANT]}),
    ("/tokenize", {"prompt": PLANT}),
    ("/v1/chat/completions", f'{{"messages": "{PLANT}'),
    ("/v1/chat/completions", f'["{PLANT}"]'),
]


def all_that_was_written(box: Installation) -> dict[str, bytes]:
    """Every file of the installation that is its own, and what it tells of itself."""
    files = [path for path in box.root.rglob("*") if path.is_file() and not path.is_symlink()]
    told = {path: httpx.get(box.url + path, trust_env=False).content for path in ("/metrics", "/status", "/plan")}
    engines = httpx.get(f"{box.url}/metrics/engines", trust_env=False).content
    return {**{str(path): path.read_bytes() for path in files}, **told, "/metrics/engines": engines}


def test_nothing_of_what_was_said_is_written_anywhere(box: Installation, client: openai.OpenAI) -> None:
    """Not even when its engine dies over it. The answers are what a random model says: long enough to be known."""
    answers, statuses = [], set()
    with httpx.Client(base_url=box.url, trust_env=False, timeout=STARTS_WITHIN_S) as http:
        for path, body in PLANTED:
            content = body if isinstance(body, str) else json.dumps({"model": "medical", "temperature": 0, **body})
            got = http.post(path, content=content, headers={"Content-Type": "application/json"})
            statuses.add(got.status_code)
            if path == "/v1/chat/completions" and got.status_code == 200 and "stream" not in body:
                answers.append(got.json()["choices"][0]["message"]["content"])
        core = next(
            process
            for process in psutil.Process(int(box.supervisorctl("pid", "medical"))).children(recursive=True)
            if "EngineCore" in " ".join(process.cmdline())
        )
        proxy = psutil.Process(int(box.supervisorctl("pid", "proxy")))
        body = {"model": "medical", "messages": SAID, "max_tokens": 400, "ignore_eos": True, "stream": True}
        with http.stream("POST", "/v1/chat/completions", json=body) as streaming:
            pieces = streaming.iter_bytes()
            next(pieces)
            proxy.suspend()  # which would end the engine before its last words
            try:
                core.send_signal(signal.SIGABRT)
                eventually(lambda: "EngineDead" in box.log("medical"), within_s=60)
            finally:
                proxy.resume()
            with contextlib.suppress(httpx.HTTPError):
                list(pieces)
    assert {200, 400} <= statuses
    assert min(map(len, answers)) > 20
    written = all_that_was_written(box)
    texts = {PLANT, "Quastenbein", *answers, *(json.dumps(answer)[1:-1] for answer in answers)}
    assert [(name, text) for name, content in written.items() for text in texts if text.encode() in content] == []


def test_no_key_is_written_anywhere(box: Installation, client: openai.OpenAI) -> None:
    """The last one: from now on a key is needed."""
    key = box.manage("keys", "make", "desk").stdout.strip()
    wrong = f"{key[:-4]}{key[-4:][::-1]}"
    body = {"model": "evidence", "input": "x"}
    with httpx.Client(base_url=box.url, trust_env=False, timeout=STARTS_WITHIN_S) as http:
        for sent, status in ((key, 200), (wrong, 401), ("planted-nonsense", 401)):
            headers = {"Authorization": f"Bearer {sent}"}
            assert http.post("/v1/embeddings", json=body, headers=headers).status_code == status
    files = [path for path in box.root.rglob("*") if path.is_file() and not path.is_symlink()]
    sent = [text.encode() for text in (key, key.rpartition("-")[2], wrong, "planted-nonsense")]
    assert [path for path in files if any(text in path.read_bytes() for text in sent)] == []
