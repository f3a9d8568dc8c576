"""The production catalog: that it is what the document has, and that its configs are those of the models it names."""

import json
import re
from typing import Any

import pytest

from catalog.load import load
from catalog.spec import GIB, ModelSpec
from tests.installation import CHECKOUT

CATALOG = load(CHECKOUT / "catalog" / "models", CHECKOUT)
FIVE = ("bimedix2-8b-fp16", "chatdoctor-7b-fp16", "mixtral-8x7b-4bit", "qwen2.5-14b-4bit", "biomedlm-embed")
ON_A_3090_BYTES = round(23.69 * GIB) - GIB // 2
"""What an RTX 3090 shows (vllm-project/vllm#2312), less the reserve of the settings."""


def config_of(name: str) -> dict[str, Any]:
    path = CHECKOUT / "catalog" / "models" / "configs" / f"{name}.json"
    config: dict[str, Any] = json.loads(path.read_text())
    return config


def test_it_has_the_five_models_of_the_document_and_one_embedder_more() -> None:
    assert set(CATALOG.models) == {*FIVE, "pubmedbert-embed"}
    assert CATALOG.agents.memory_budget_bytes is None


def test_the_agent_types_are_the_documents_and_evidence_and_each_has_a_fallback() -> None:
    routes = {name: (route.model, route.fallback) for name, route in CATALOG.agents.agent_types.items()}
    assert {name: model for name, (model, _) in routes.items()} == {
        "Chat": "chatdoctor-7b-fp16",
        "Appointment": "chatdoctor-7b-fp16",
        "Documentation": "qwen2.5-14b-4bit",
        "Billing": "mixtral-8x7b-4bit",
        "Claims": "mixtral-8x7b-4bit",
        "Monitoring": "chatdoctor-7b-fp16",
        "MedicalQA": "bimedix2-8b-fp16",
        "Evidence": "biomedlm-embed",
    }
    assert all(fallback is not None for _, fallback in routes.values())
    assert routes["Claims"][1] == routes["Billing"][1] == "qwen2.5-14b-4bit"


def test_downloads_go_in_the_documents_order_and_each_size_is_known() -> None:
    sources = {name: CATALOG.models[name].source for name in (*FIVE, "pubmedbert-embed")}
    assert [source.priority for source in sources.values() if source] == [1, 2, 3, 4, 5, 6]
    assert all(source and source.repo and source.size_bytes for source in sources.values())


@pytest.mark.parametrize("spec", CATALOG.models.values(), ids=list(CATALOG.models))
def test_a_model_is_pinned_to_a_commit_or_its_file_says_why_not(spec: ModelSpec) -> None:
    assert spec.source is not None
    if not re.fullmatch(r"[0-9a-f]{40}", spec.source.revision):
        text = (CHECKOUT / "catalog" / "models" / f"{spec.name}.yaml").read_text()
        assert re.search(r"revision: main  # no commit of it was found", text)


@pytest.mark.parametrize("spec", CATALOG.models.values(), ids=list(CATALOG.models))
def test_a_model_has_a_licence_and_says_what_it_needs_and_lies_where_the_others_do(spec: ModelSpec) -> None:
    assert spec.licence
    assert "Need" in spec.description or "NEEDS" in spec.description
    assert spec.weights == str(CHECKOUT / "var" / "models" / spec.name)
    assert spec.port >= 8110
    if spec.chat_template is not None:
        assert spec.chat_template.startswith(str(CHECKOUT / "catalog" / "templates"))


@pytest.mark.parametrize("spec", CATALOG.models.values(), ids=list(CATALOG.models))
def test_each_config_says_of_which_repository_it_is(spec: ModelSpec) -> None:
    assert spec.source is not None
    assert config_of(spec.name)["_repository"] == spec.source.repo


def test_licences_that_forbid_a_clinics_use_say_so() -> None:
    forbids = {name: spec.licence_forbids or "" for name, spec in CATALOG.models.items()}
    assert "clinical use" in forbids["bimedix2-8b-fp16"]
    assert "clinical use" in forbids["chatdoctor-7b-fp16"]
    assert "medical advice" in forbids["biomedlm-embed"]
    assert not any(forbids[name] for name in ("mixtral-8x7b-4bit", "qwen2.5-14b-4bit", "pubmedbert-embed"))


def test_each_fits_on_a_3090_but_mixtral_and_its_description_says_so() -> None:
    too_large = [name for name, spec in CATALOG.models.items() if spec.memory_bytes > ON_A_3090_BYTES]
    assert too_large == ["mixtral-8x7b-4bit"]
    assert "32 GB" in CATALOG.models["mixtral-8x7b-4bit"].description


@pytest.mark.parametrize("name", CATALOG.models)
def test_a_model_has_room_for_its_weights_a_full_request_and_a_cuda_context(name: str) -> None:
    spec, config = CATALOG.models[name], config_of(name)
    kv_bytes = kv_bytes_per_token(config) * spec.max_model_len
    assert spec.kv_cache_bytes is not None
    assert kv_bytes <= spec.kv_cache_bytes
    assert weights_bytes(config) + spec.kv_cache_bytes + GIB // 2 <= spec.memory_bytes


@pytest.mark.parametrize(
    ("name", "count", "vram_gib"),
    [
        ("bimedix2-8b-fp16", "8.36", 15.57),
        ("chatdoctor-7b-fp16", "6.74", 12.55),
        ("mixtral-8x7b-4bit", "46.70", 22.96),
        ("qwen2.5-14b-4bit", "14.77", 9.29),
        ("biomedlm-embed", "2.59", 4.83),
        ("pubmedbert-embed", "0.11", 0.204),
    ],
)
def test_a_config_recomputes_to_the_models_own_parameters_and_size(name: str, count: str, vram_gib: float) -> None:
    config = config_of(name)
    assert f"{parameters(config) / 1e9:.2f}" == count
    assert weights_bytes(config) / GIB == pytest.approx(vram_gib, rel=0.01)


# --- counted from the configs alone, with no help of the estimator that they are for --------------------------------


def parameters(config: dict[str, Any]) -> int:
    return linear(config) + others(config)


def weights_bytes(config: dict[str, Any]) -> float:
    """In 16 bits; what AWQ quantises in 4, with a scale (16) and a zero (4) for each group."""
    bytes_each = 2.0
    if quantisation := config.get("quantization_config"):
        bytes_each = 4 / 8 + (2 + 0.5) / quantisation["group_size"]
    return linear(config) * bytes_each + others(config) * 2


def linear(config: dict[str, Any]) -> int:
    """The matrices of the layers: what AWQ quantises."""
    if "text_config" in config:
        return linear(config["text_config"])
    hidden, layers, ffn = shape(config)
    if config["model_type"] in ("gpt2", "bert"):
        return layers * (4 * hidden * hidden + 2 * hidden * ffn)
    kv = hidden * config["num_key_value_heads"] // config["num_attention_heads"]
    experts = config.get("num_local_experts", 1)
    return layers * (2 * hidden * hidden + 2 * hidden * kv + experts * 3 * hidden * ffn)


def others(config: dict[str, Any]) -> int:
    """Embeddings, head, norms, biases, routers; what sees images."""
    if "text_config" in config:
        text, eye = config["text_config"], config["vision_config"]
        width, patches = eye["hidden_size"], (eye["image_size"] // eye["patch_size"]) ** 2
        block = 4 * width * width + 2 * width * eye["intermediate_size"] + 9 * width + eye["intermediate_size"]
        clip = eye["num_hidden_layers"] * block + (patches + 2) * width + 3 * eye["patch_size"] ** 2 * width + 4 * width
        projector = width * text["hidden_size"] + text["hidden_size"] ** 2 + 2 * text["hidden_size"]
        return others(text) + clip + projector
    hidden, layers, ffn = shape(config)
    match config["model_type"]:
        case "gpt2":
            biases_and_norms = layers * (13 * hidden) + 2 * hidden
            return (config["vocab_size"] + config["n_positions"]) * hidden + biases_and_norms
        case "bert":
            rows = config["vocab_size"] + config["max_position_embeddings"] + config["type_vocab_size"]
            return rows * hidden + layers * (9 * hidden + ffn) + 2 * hidden + hidden * hidden + hidden
    kv = hidden * config["num_key_value_heads"] // config["num_attention_heads"]
    biases = layers * (hidden + 2 * kv) if config["model_type"] == "qwen2" else 0
    router = layers * hidden * config.get("num_local_experts", 0)
    return 2 * config["vocab_size"] * hidden + (2 * layers + 1) * hidden + biases + router


def kv_bytes_per_token(config: dict[str, Any]) -> int:
    text = config.get("text_config", config)
    hidden, layers, _ = shape(text)
    match text["model_type"]:
        case "gpt2":
            return 2 * layers * hidden * 2
        case "bert":
            return 0
    return 2 * layers * (hidden // text["num_attention_heads"]) * int(text["num_key_value_heads"]) * 2


def shape(config: dict[str, Any]) -> tuple[int, int, int]:
    if config["model_type"] == "gpt2":
        return config["n_embd"], config["n_layer"], 4 * config["n_embd"]
    return config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
