"""The five models of the document, tiny and random, through everything: converted, served by real vLLM, asked by agent.

The tests go from engine to engine in the order of the file: each of the five is started once. What vLLM's CPU build
cannot run on this machine is said by name, and the flags are given to vLLM's own parser instead.
"""

import base64
import json
import math
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from catalog.load import load
from catalog.render import Seat, launch
from catalog.spec import GIB
from tests.checkpoints import PYTHON, Five
from tests.fake_hub import FakeHub
from tests.installation import CHECKOUT, REAL_VLLM, Installation, free_port, running

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(400)]

PRODUCTION = CHECKOUT / "catalog" / "models"
AGENTS = {
    name: route["model"]
    for name, route in yaml.safe_load((PRODUCTION / "agents.yaml").read_text())["agent_types"].items()
}
REPOSITORIES = {"huggyllama/llama-7b": "decapoda-research/llama-7b-hf"}
"""The tokenizer that the catalog takes for ChatDoctor; here the old one stands in for it, with its old names."""
NEEDS = {
    "bimedix2-8b-fp16": "torchvision",
    "mixtral-8x7b-4bit": "int4 experts",
    "qwen2.5-14b-4bit": "int4 weights",
}
"""What of the machine, or of vLLM's environment, a model needs beyond what every CPU build has."""

CLAIM = {
    "type": "object",
    "properties": {"decision": {"enum": ["approve", "deny"]}, "code": {"enum": ["A10", "B20", "C30"]}},
    "required": ["decision", "code"],
    "additionalProperties": False,
}


def on_the_cpu(name: str) -> dict[str, Any]:
    """The entry of the production catalog, but for its size: for two cores, as the demo catalog has it."""
    entry: dict[str, Any] = yaml.safe_load((PRODUCTION / f"{name}.yaml").read_text())
    entry["source"] |= {"revision": "main", "tokenizer_revision": "main"}  # the tiny repositories have other commits
    entry.get("request_defaults", {}).pop("stop_token_ids", None)  # a number that the tiny vocabulary does not have
    args = {"enforce-eager": True, **entry.get("vllm_args", {})}
    if name == "mixtral-8x7b-4bit":  # a random model fills a schema with white space for as long as it may
        args["structured-outputs-config"] = {"backend": "xgrammar", "disable_any_whitespace": True}
    if "chat_template" in entry:
        entry["chat_template"] = str(CHECKOUT / entry["chat_template"])
    env = {"VLLM_CPU_CI_ENV": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    sizes = {"memory_gib": 2.5, "kv_cache_gib": 0.0625, "max_model_len": 512, "max_num_seqs": 4}
    return {**entry, **sizes, "port": free_port(), "vllm": str(REAL_VLLM), "vllm_args": args, "env": env}


@pytest.fixture(scope="module")
def stack(five: Five, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The five, from the hub to the proxy by the commands a user gives; there is room for one engine at a time."""
    root = Path(tmp_path_factory.mktemp("s"))
    models = [on_the_cpu(name) for name in dict.fromkeys(AGENTS.values())]
    repositories = {**five.repositories, **{new: five.repositories[old] for new, old in REPOSITORIES.items()}}
    with FakeHub(repositories) as hub:
        installation = Installation(root, models, AGENTS, 3, hub_endpoint=hub.url)
        (root / ".venv-vllm").symlink_to(CHECKOUT / ".venv-vllm")
        installation.downloaded = installation.manage("download", "--all")
    with running(installation):
        installation.start_takes_s = 240
        yield installation


def ask(stack: Installation, five: Five, agent: str, path: str = "chat/completions", **body: Any) -> dict[str, Any]:
    """One request by agent type, answered by that agent's own model."""
    model = AGENTS[agent]
    if not five.facts["cpu"].get(NEEDS.get(model, ""), True):
        check_flags(stack, model)
        pytest.skip(f"{model} was not run, its flags were parsed: vLLM on this CPU lacks {NEEDS[model]}")
    if path == "chat/completions":
        # A random model may end before it has said a word; with a schema it must end when that is fulfilled.
        may_end = "response_format" in body
        said_first = [{"role": "user", "content": "Is it covered?"}]
        body = {"messages": said_first, "max_tokens": 6, "seed": 1, "ignore_eos": not may_end, **body}
    body |= {"agent_type": agent}
    answer = httpx.post(f"{stack.url}/v1/{path}", json=body, timeout=stack.start_takes_s, trust_env=False)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    assert said["model"] == model
    return said


def check_flags(stack: Installation, model: str) -> None:
    """Give the rendered command line to vLLM's own parser."""
    spec = load(stack.catalog, stack.root).models[model]
    seat = Seat(awake_bytes=3 * GIB, kv_cache_bytes=GIB, total_bytes=24 * GIB, can_sleep=True)
    code = (
        "import sys; from vllm.utils.argparse_utils import FlexibleArgumentParser;"
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args as check;"
        "check(make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:]))"
    )
    argv = [PYTHON, "-c", code, *launch(spec, str(REAL_VLLM), seat).argv[2:]]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def text_of(said: dict[str, Any]) -> str:
    return str(said["choices"][0]["message"]["content"])


def square(red: int, green: int, blue: int) -> str:
    """A PNG of 32 by 32 points in one colour, as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes((red, green, blue)) * 32) * 32
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


def next_tokens(stack: Installation, five: Five, agent: str) -> dict[str, float]:
    """The likeliest tokens after the facts' prompt, by number, with their log probabilities."""
    body = {"prompt": five.facts["prompt"], "max_tokens": 1, "logprobs": 5, "return_tokens_as_token_ids": True}
    said = ask(stack, five, agent, "completions", temperature=0, **body)
    [best] = said["choices"][0]["logprobs"]["top_logprobs"]
    return {token.removeprefix("token_id:"): value for token, value in best.items()}


def agree(found: dict[str, float], known: dict[str, float]) -> None:
    """vLLM computes in 16 bits, its CPU kernels for int4 with activations of 8: the log probabilities differ by 0.1."""
    assert len(found.keys() & known.keys()) >= 4, (found, known)
    assert max(abs(found[token] - known[token]) for token in found.keys() & known.keys()) < 0.25, (found, known)


def test_the_five_come_from_the_hub_verified_and_converted_where_they_must_be(stack: Installation) -> None:
    told = stack.downloaded
    assert told is not None
    assert told.returncode == 0, told.stdout + told.stderr
    lines = {line.partition(":")[0]: line for line in told.stdout.splitlines()}
    assert lines.keys() == set(AGENTS.values())
    assert all("verified" in line for line in lines.values())
    converted = {name for name, line in lines.items() if "converted" in line}
    assert converted == {"chatdoctor-7b-fp16", "biomedlm-embed"}


def test_what_came_is_held_against_the_catalog_and_vllm_and_is_sound(stack: Installation, five: Five) -> None:
    told = json.loads(stack.manage("check", "--json", "--hashes").stdout)
    faults = [one["what"] for model in told["models"] for one in model["findings"] if one["is_fault"]]
    if not five.facts["cpu"]["torchvision"]:
        faults = [what for what in faults if "torchvision" not in what]
    assert (faults, told["checked"]) == ([], 5)


def test_medical_questions_with_an_image_are_answered_by_llava_which_sees_it(stack: Installation, five: Five) -> None:
    said = []
    for colour in ((220, 30, 40), (20, 60, 230)):
        parts = [{"type": "image_url", "image_url": {"url": square(*colour)}}, {"type": "text", "text": "What is it?"}]
        messages = [{"role": "user", "content": parts}]
        said.append(ask(stack, five, "MedicalQA", messages=messages, temperature=0, logprobs=True, max_tokens=4))
        assert text_of(said[-1])
    words = ask(stack, five, "MedicalQA", messages=[{"role": "user", "content": "What is it?"}])
    assert said[0]["usage"]["prompt_tokens"] >= words["usage"]["prompt_tokens"] + 4, "an image is four tokens here"
    assert said[0]["choices"][0]["logprobs"] != said[1]["choices"][0]["logprobs"], "the colour makes a difference"


@pytest.mark.parametrize("agent", ["Chat", "Appointment", "Monitoring"])
def test_talks_are_held_by_llama_from_pickles_of_2023(stack: Installation, five: Five, agent: str) -> None:
    said = ask(stack, five, agent)
    assert text_of(said)
    assert said["usage"]["completion_tokens"] >= 1


def test_llama_computes_what_the_pickles_held(stack: Installation, five: Five) -> None:
    agree(next_tokens(stack, five, "Chat"), five.facts["chatdoctor"])


def test_claims_come_as_json_that_obeys_the_schema(stack: Installation, five: Five) -> None:
    how = {"type": "json_schema", "json_schema": {"name": "claim", "schema": CLAIM, "strict": True}}
    for seed in range(3):
        said = json.loads(text_of(ask(stack, five, "Claims", response_format=how, max_tokens=60, seed=seed)))
        assert said.keys() == {"decision", "code"}
        assert said["decision"] in {"approve", "deny"}
        assert said["code"] in {"A10", "B20", "C30"}


def test_bills_are_read_by_mixtral_in_four_bits(stack: Installation, five: Five) -> None:
    assert text_of(ask(stack, five, "Billing"))
    agree(next_tokens(stack, five, "Billing"), five.facts["mixtral"])


def test_documents_are_written_by_qwen_in_four_bits(stack: Installation, five: Five) -> None:
    assert text_of(ask(stack, five, "Documentation"))
    agree(next_tokens(stack, five, "Documentation"), five.facts["qwen"])


def test_evidence_is_embedded_as_the_original_biomedlm_would(stack: Installation, five: Five) -> None:
    said = ask(stack, five, "Evidence", "embeddings", input=five.facts["evidence"])
    found, known = said["data"][0]["embedding"], five.facts["biomedlm"]
    assert len(found) == len(known)
    assert math.isclose(dot(found, found), 1, abs_tol=1e-3), "it is normalised"
    assert dot(found, known) > 0.999


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
