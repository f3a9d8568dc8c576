"""Models that vLLM's own configuration refuses, each put to the installed one."""

import json
import re
from typing import Any

import pytest

from catalog.check.check import Aspect
from catalog.check.vllm_question import Case, Fault
from catalog.estimate.context_limit import context_limit
from tests.catalog.check.vllm_cases import AWQ, BERT, CONFIGS, LLAMA, asked, put_to_vllm

pytestmark = pytest.mark.vllm

GEMMA = {**LLAMA, "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "vocab_size": 32000}
LLAVA = {**LLAMA, "model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"]}
MAGIC = {**AWQ, "quantization_config": {"quant_method": "magic", "bits": 1}}
OLD_IDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1}
"""As configs of LLaMA's first conversion have them."""

BAD: list[tuple[Case, Aspect, str, str]] = [
    (
        asked("unknown", {**LLAMA, "architectures": ["LlamoForCausalLM"]}),
        Aspect.ARCHITECTURE,
        "does not support the architecture LlamoForCausalLM",
        "Did you mean 'LlamaForCausalLM'?",
    ),
    (asked("unknown-type", LLAVA), Aspect.ARCHITECTURE, "llava_llama", "is this the right repository"),
    (
        asked("too-long", max_model_len=4096),
        Aspect.CONTEXT,
        r"User-specified max_model_len \(4096\) is greater",
        "lower max_model_len",
    ),
    (asked("embeds", BERT), Aspect.EMBEDDER, "BertModel embeds and writes no text", "set embedder: true"),
    (asked("unknown-quantisation", MAGIC), Aspect.QUANTISATION, "magic", "another quantisation"),
    (
        asked("old-gpu", AWQ, (7, 0)),
        Aspect.QUANTISATION,
        "awq needs a GPU of compute capability 7.5, and this one has 7.0",
        "another quantisation",
    ),
    (
        asked("wrong-dtype", AWQ, dtype="float32"),
        Aspect.DTYPE,
        "dtype float32 does not go with",
        "set dtype to one of float16, bfloat16",
    ),
    (
        asked("old-gpus-dtype", LLAMA, (7, 5), dtype="bfloat16"),
        Aspect.DTYPE,
        "bfloat16 needs a GPU of compute capability 8.0, and this one has 7.5",
        "set dtype: float16",
    ),
    (asked("unstable", GEMMA), Aspect.DTYPE, "does not support float16", "another dtype"),
    (
        asked("three-devices", AWQ, device_count=3),
        Aspect.CONFIG,
        r"attention heads \(40\) must be divisible by tensor parallel size \(3\)",
        "set device_count to a number that divides them",
    ),
    (
        asked("five-devices", AWQ, device_count=5),
        Aspect.CONFIG,
        r"KV heads \(8\) and tensor parallel size \(5\) do not divide",
        "set device_count to a number that divides them",
    ),
    (asked("no-json", vllm_args={"hf-overrides": "{no"}), Aspect.CONFIG, "hf_overrides.*valid dictionary", ""),
]
GOOD = [
    asked("llama-of-2023", {**LLAMA, **OLD_IDS}),
    asked("writer-that-embeds", embedder=True),
    asked("encoder", BERT, embedder=True),
    asked("new-enough-gpu", AWQ, (7, 5)),
    asked("new-enough-for-bfloat16", LLAMA, (8, 6), dtype="bfloat16"),
    asked("two-devices", AWQ, device_count=2),
    asked("encoder-on-two-devices", BERT, embedder=True, device_count=2),
    asked("overridden", max_model_len=4096, vllm_args={"hf-overrides": {"max_position_embeddings": 4096}}),
]
LIMITS: list[dict[str, Any]] = [
    LLAMA,
    {key: value for key, value in LLAMA.items() if key != "max_position_embeddings"},
    {**LLAMA, "rope_scaling": {"type": "linear", "factor": 4.0}},
    {**LLAMA, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}},
    {**LLAMA, "max_sequence_length": 1024},
    AWQ,
    BERT,
    {**BERT, "model_type": "roberta", "architectures": ["RobertaModel"], "max_position_embeddings": 514},
    json.loads((CONFIGS / "biomedlm-embed.json").read_text()),
    json.loads((CONFIGS / "mixtral-8x7b-4bit.json").read_text()),
]
"""Configs whose limit vLLM tells when it is asked for far more."""


@pytest.fixture(scope="module")
def found() -> dict[str, list[Fault]]:
    embed = ("bert", "roberta", "gpt2")
    limits = [
        asked(f"limit-{number}", config, max_model_len=10**7, embedder=config["model_type"] in embed)
        for number, config in enumerate(LIMITS)
    ]
    return put_to_vllm([case for case, *_ in BAD] + GOOD + limits)


@pytest.mark.parametrize(("case", "aspect", "what", "remedy"), BAD, ids=[case.model for case, *_ in BAD])
def test_a_model_that_vllm_refuses_has_one_fault_that_says_why_and_what_to_do(
    found: dict[str, list[Fault]], case: Case, aspect: Aspect, what: str, remedy: str
) -> None:
    [fault] = found[case.model]
    assert (fault.aspect, bool(re.search(what, fault.what))) == (aspect, True), fault
    assert remedy in (fault.remedy or ""), fault
    assert "\n" not in fault.what


@pytest.mark.parametrize("case", GOOD, ids=[case.model for case in GOOD])
def test_a_good_model_has_no_fault(found: dict[str, list[Fault]], case: Case) -> None:
    assert found[case.model] == []


@pytest.mark.parametrize("number", range(len(LIMITS)))
def test_the_limit_that_is_derived_without_vllm_is_vllms(found: dict[str, list[Fault]], number: int) -> None:
    [fault] = found[f"limit-{number}"]
    told = re.search(r"derived max_model_len \(\w+=([\d.]+) ", fault.what)
    assert told is not None, fault
    limit, _ = context_limit(LIMITS[number], {}, None)
    # Two of RoBERTa's positions are the padding's, which vLLM's reckoning leaves out and its model does not have.
    without_position = 2 if LIMITS[number]["model_type"] == "roberta" else 0
    assert limit == float(told[1]) - without_position
