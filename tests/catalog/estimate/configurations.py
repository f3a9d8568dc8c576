"""Configurations whose true sizes are public: config.json as far as it matters, the bytes, and where those are from.

Bytes are of the weights as stored (`total_size` of the repository's model.safetensors.index.json, or its files), which
for a checkpoint in 16 bits, or quantised, is what vLLM holds, or of vLLM's own log. Keys and values a token follow from
the config alone; they are written out so that a mistake in a formula shows.
"""

from dataclasses import dataclass
from typing import Any

GIB = 2**30
INDEX = "total_size of the repository's model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Known:
    """One configuration and the truth about it."""

    name: str
    config: dict[str, Any]
    weights_bytes: float
    kv_bytes_per_token: int
    source: str


def llama(hidden: int, ffn: int, layers: int, heads: int, kv_heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    config = {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16",
    }
    return {**config, **more}


AWQ = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}}
DOUBLE = {"bnb_4bit_use_double_quant": True}
LLAMA_8B = llama(4096, 14336, 32, 32, 8, 128256)
MIXTRAL: dict[str, Any] = {
    **llama(4096, 14336, 32, 32, 8, 32000),
    "model_type": "mixtral",
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 32768,
    "sliding_window": None,
    "torch_dtype": "float16",
}
QWEN_14B = llama(5120, 13824, 48, 40, 8, 152064, model_type="qwen2", max_position_embeddings=32768)
QWEN3_MOE: dict[str, Any] = {
    **llama(2048, 6144, 48, 32, 4, 151936, model_type="qwen3_moe", head_dim=128),
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
BIOMEDLM: dict[str, Any] = {
    "model_type": "gpt2",
    "n_embd": 2560,
    "n_head": 20,
    "n_layer": 32,
    "n_positions": 1024,
    "vocab_size": 28896,
    "torch_dtype": "float32",
}
BIMEDIX2: dict[str, Any] = {
    "architectures": ["LlavaForConditionalGeneration"],
    "model_type": "llava",
    "text_config": llama(4096, 14336, 32, 32, 8, 128320),
    "vision_feature_layer": -2,
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
    },
}
CHATDOCTOR = llama(4096, 11008, 32, 32, 32, 32001, max_position_embeddings=2048, torch_dtype="float32")

FIVE = (
    Known("BiMediX2-8B", BIMEDIX2, 16.72e9, 131072, "files of MBZUAI/BiMediX2-8B: 4.98 + 5.00 + 4.92 + 1.82 GB"),
    Known("ChatDoctor-7B", CHATDOCTOR, 26.95e9 / 2, 524288, "files of mncai/chatdoctor, 26.95 GB in 32 bits"),
    Known("Mixtral-8x7B AWQ", {**MIXTRAL, **AWQ}, 24.65e9, 131072, "files of casperhansen/mixtral-instruct-awq"),
    Known("Qwen2.5-14B AWQ", {**QWEN_14B, **AWQ}, 9.98e9, 196608, "files of Qwen/Qwen2.5-14B-Instruct-AWQ"),
    Known("BioMedLM", BIOMEDLM, 10.7e9 / 2, 327680, "files of stanford-crfm/BioMedLM, 10.7 GB in 32 bits with buffers"),
)

OTHERS = (
    Known("Llama-3.1-8B", LLAMA_8B, 16060522496, 131072, INDEX),
    Known("Llama-3.1-70B", llama(8192, 28672, 80, 64, 8, 128256), 141107412992, 327680, INDEX),
    Known(
        "Mistral-7B-v0.1",
        llama(4096, 14336, 32, 32, 8, 32000, model_type="mistral", sliding_window=4096),
        14483464192,
        131072,
        INDEX,
    ),
    Known("Mixtral-8x7B", MIXTRAL, 93405585408, 131072, INDEX),
    Known("Qwen2.5-7B", llama(3584, 18944, 28, 28, 4, 152064, model_type="qwen2"), 15231233024, 57344, INDEX),
    Known("Qwen2.5-32B", llama(5120, 27648, 64, 40, 8, 152064, model_type="qwen2"), 65527752704, 262144, INDEX),
    Known(
        "Qwen3-30B-A3B",
        QWEN3_MOE,
        61064245248,
        98304,
        INDEX,
    ),
    Known(
        "gemma-3-4b-it",
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "model_type": "gemma3",
            "torch_dtype": "bfloat16",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 2560,
                "intermediate_size": 10240,
                "num_hidden_layers": 34,
                "sliding_window": 1024,
            },
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "num_attention_heads": 16,
                "image_size": 896,
                "patch_size": 14,
            },
        },
        8600158944,
        139264,
        INDEX,
    ),
    Known(
        "gpt-oss-20b",
        {
            "model_type": "gpt_oss",
            "hidden_size": 2880,
            "intermediate_size": 2880,
            "num_hidden_layers": 24,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "num_local_experts": 32,
            "num_experts_per_tok": 4,
            "vocab_size": 201088,
            "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"] * 12,
            "max_position_embeddings": 131072,
            "torch_dtype": "bfloat16",
            "quantization_config": {"quant_method": "mxfp4"},
        },
        13.72 * GIB,
        49152,
        "vLLM 0.19's log on an A100, myoceane.fr/index.php/ai-vllm-a100-gemma-4: experts are padded for Marlin",
    ),
    Known(
        "gemma-2-9b",
        {
            **llama(3584, 14336, 42, 16, 8, 256000, model_type="gemma2", head_dim=256),
            "sliding_window": 4096,
            "tie_word_embeddings": True,
        },
        17.3781 * GIB,
        344064,
        "vLLM 0.5.2's log in a bug report, with the rotary tables that it then kept",
    ),
    Known(
        "Llama-3-8B FP8",
        {**LLAMA_8B, "quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}},
        8.4596 * GIB,
        131072,
        "vLLM's log, in vLLM's documentation of FP8",
    ),
    Known(
        "Llama-3.1-8B FP8-dynamic",
        {
            **LLAMA_8B,
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}}
                },
                "ignore": ["lm_head"],
            },
        },
        8.4939 * GIB,
        131072,
        "vLLM's log of neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8-dynamic, published with a benchmark",
    ),
    Known("Llama-3.1-8B AWQ", {**LLAMA_8B, **AWQ}, 5.3440 * GIB, 131072, "vLLM's log, published with a deployment"),
    Known(
        "Llama-3.1-8B GPTQ, asymmetric",
        {**LLAMA_8B, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False}},
        5.3767 * GIB,
        131072,
        "vLLM's log of kaitchup/Meta-Llama-3.1-8B-Instruct-autoround-gptq-4bit-asym, in a public notebook",
    ),
    Known(
        "Llama-3.1-8B bitsandbytes",
        {**LLAMA_8B, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, **DOUBLE}},
        5.3541 * GIB,
        131072,
        "vLLM's log of unsloth/meta-llama-3.1-8b-instruct-bnb-4bit, in a public notebook",
    ),
    Known(
        "Qwen2.5-7B AWQ",
        {**llama(3584, 18944, 28, 28, 4, 152064, model_type="qwen2"), **AWQ},
        5.29 * GIB,
        57344,
        "vLLM's log of Qwen/Qwen2.5-7B-Instruct-AWQ; its files have 5.19 GiB",
    ),
    Known(
        "Qwen3-30B-A3B FP8",
        {
            **QWEN3_MOE,
            "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
        },
        29.0972 * GIB,
        98304,
        "vLLM's log of Qwen/Qwen3-30B-A3B-Instruct-2507-FP8, in a bug report",
    ),
    Known(
        "Qwen2.5-VL-7B",
        {
            **llama(3584, 18944, 28, 28, 4, 152064, model_type="qwen2_5_vl", max_position_embeddings=128000),
            "vision_config": {
                "model_type": "qwen2_5_vl",
                "depth": 32,
                "hidden_size": 1280,
                "intermediate_size": 3420,
                "num_heads": 16,
                "out_hidden_size": 3584,
                "patch_size": 14,
                "spatial_merge_size": 2,
            },
        },
        8292166656 * 2,
        57344,
        "parameters in the metadata of Qwen/Qwen2.5-VL-7B-Instruct",
    ),
)
