"""Configurations that vLLM itself is asked about: real dimensions of many architectures, and flags that change them."""

from dataclasses import dataclass, field
from typing import Any

from tests.catalog.estimate.configurations import (
    AWQ,
    BIOMEDLM,
    CHATDOCTOR,
    LLAMA_8B,
    MIXTRAL,
    OTHERS,
    QWEN3_MOE,
    QWEN_14B,
    llama,
)

GEMMA_3 = {"head_dim": 256, "sliding_window": 1024, "sliding_window_pattern": 6, "tie_word_embeddings": True}
FP8_BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True, "lm_head": False}
FP8_CHANNELS = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False},
            "input_activations": {
                "num_bits": 8,
                "type": "float",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
    "ignore": ["lm_head"],
}
BERT: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "torch_dtype": "float32",
}
DEEPSEEK: dict[str, Any] = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 102400,
    "max_position_embeddings": 163840,
    "topk_method": "greedy",
    "n_group": 1,
    "topk_group": 1,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One configuration, the class that serves it, and how it is started.

    `is_padded` are weights that the kernels of a GPU pad and those of the CPU build do not.
    """

    name: str
    served_by: str
    config: dict[str, Any]
    max_model_len: int = 2048
    embedder: bool = False
    flags: dict[str, Any] = field(default_factory=dict)
    is_padded: bool = False


def _known(name: str) -> dict[str, Any]:
    return next(one.config for one in OTHERS if one.name == name)


ASKED = (
    Asked("ChatDoctor-7B", "LlamaForCausalLM", CHATDOCTOR),
    Asked("BiMediX2-8B, its language model", "LlamaForCausalLM", {**LLAMA_8B, "vocab_size": 128320}),
    Asked("Mixtral-8x7B", "MixtralForCausalLM", MIXTRAL),
    Asked("Mixtral-8x7B with a window", "MixtralForCausalLM", {**MIXTRAL, "sliding_window": 4096}, 16384),
    Asked("Qwen2.5-14B AWQ", "Qwen2ForCausalLM", {**QWEN_14B, **AWQ}),
    Asked("BioMedLM, embedding", "GPT2LMHeadModel", BIOMEDLM, 1024, True, {"convert": "embed"}),
    Asked("Llama-3.1-8B", "LlamaForCausalLM", LLAMA_8B),
    Asked("Llama-3.1-8B, fp8 keys and values", "LlamaForCausalLM", LLAMA_8B, flags={"kv_cache_dtype": "fp8"}),
    Asked("Llama-3.1-8B in float32", "LlamaForCausalLM", LLAMA_8B, flags={"dtype": "float32"}),
    Asked("Llama-3.1-8B FP8 in blocks", "LlamaForCausalLM", {**LLAMA_8B, "quantization_config": FP8_BLOCKS}),
    Asked("Llama-3.1-8B FP8 in channels", "LlamaForCausalLM", {**LLAMA_8B, "quantization_config": FP8_CHANNELS}),
    Asked("Llama-3.1-8B GPTQ", "LlamaForCausalLM", {**LLAMA_8B, "quantization_config": GPTQ}),
    Asked("Llama-3.1-70B", "LlamaForCausalLM", _known("Llama-3.1-70B")),
    Asked("Mistral-7B-v0.1", "MistralForCausalLM", _known("Mistral-7B-v0.1"), 16384),
    Asked("Qwen2.5-7B", "Qwen2ForCausalLM", _known("Qwen2.5-7B")),
    Asked(
        "Qwen3-0.6B",
        "Qwen3ForCausalLM",
        llama(1024, 3072, 28, 16, 8, 151936, model_type="qwen3", head_dim=128, tie_word_embeddings=True),
    ),
    Asked("Qwen3-30B-A3B", "Qwen3MoeForCausalLM", QWEN3_MOE),
    Asked("gemma-2-9b", "Gemma2ForCausalLM", _known("gemma-2-9b"), 8192),
    Asked(
        "gemma-3-12b, its language model",
        "Gemma3ForCausalLM",
        {**llama(3840, 15360, 48, 16, 8, 262208, model_type="gemma3_text"), **GEMMA_3},
        32768,
    ),
    Asked(
        "gemma-3-27b, its language model",
        "Gemma3ForCausalLM",
        {**llama(5376, 21504, 62, 32, 16, 262208, model_type="gemma3_text"), **GEMMA_3, "head_dim": 128},
        32768,
    ),
    Asked("gpt-oss-20b", "GptOssForCausalLM", _known("gpt-oss-20b"), 32768, is_padded=True),
    Asked("DeepSeek-V2-Lite", "DeepseekV2ForCausalLM", DEEPSEEK),
    Asked(
        "Phi-3-mini-4k",
        "Phi3ForCausalLM",
        llama(3072, 8192, 32, 32, 32, 32064, model_type="phi3", sliding_window=2047, max_position_embeddings=4096),
        4096,
    ),
    Asked(
        "starcoder2-7b",
        "Starcoder2ForCausalLM",
        llama(4608, 18432, 32, 36, 4, 49152, model_type="starcoder2", use_bias=True, tie_word_embeddings=True),
    ),
    Asked("bert-base", "BertModel", BERT, 512, True),
    Asked(
        "bge-m3",
        "XLMRobertaModel",
        {
            **BERT,
            "model_type": "xlm-roberta",
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 250002,
            "max_position_embeddings": 8194,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "position_embedding_type": "absolute",
        },
        8192,
        True,
    ),
    Asked(
        "ModernBERT-base",
        "ModernBertModel",
        {
            "model_type": "modernbert",
            "hidden_size": 768,
            "intermediate_size": 1152,
            "num_hidden_layers": 22,
            "num_attention_heads": 12,
            "vocab_size": 50368,
            "max_position_embeddings": 8192,
            "torch_dtype": "float32",
        },
        8192,
        True,
    ),
)
