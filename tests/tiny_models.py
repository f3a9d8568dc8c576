"""Makes tiny random checkpoints of the five architectures, each laid out as its repository on the Hub is.

It runs in vLLM's environment: `.venv-vllm/bin/python -m tests.tiny_models FOLDER`. Everything comes from one seed, the
tokenizers are trained on a few sentences. The weights are drawn wide enough that attention is sharp: a fold or an
unpacking that is wrong changes the answers.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from vllm.platforms import current_platform

GROUP = 128
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbouring columns lies in each nibble, the lowest first.

Source: AutoAWQ, awq/utils/packing_utils.py; vLLM 0.32 has the reverse of it in quantization/auto_awq.py.
"""

SENTENCES = [
    "The patient reports chest pain and shortness of breath since this morning.",
    "Please book an appointment with the cardiologist on Monday at nine.",
    "Aspirin reduces the risk of myocardial infarction in adults with diabetes.",
    "The claim for the radiograph of 12 March is approved; the bill is 345.60 euros.",
    "If you are a doctor, please answer the medical questions based on the patient's description.",
    "Blood pressure 120 over 80, heart rate 72, temperature 36.9 degrees.",
    '{"decision": "approve", "reason": "covered", "amount": 100}',
]
PROMPT = list(range(20, 60, 3))
EVIDENCE = SENTENCES[2]
TEXT = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}
LLAMA3 = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<image>",
    "<pad>",
)
LLAMA3_TEMPLATE = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
CHATML_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def has_int4_kernel() -> bool:
    """Whether vLLM's compiled part for this CPU has what AWQ and GPTQ weights need; without AVX-512 it has not."""
    current_platform.import_kernels()
    return hasattr(torch.ops._C, "cpu_gemm_wna16")


def main(folder: Path) -> None:
    torch.manual_seed(5)
    llava(folder / "MBZUAI" / "BiMediX2-8B-hf")
    old_tokenizer(folder / "decapoda-research" / "llama-7b-hf")
    write(
        folder / "references.json",
        prompt=PROMPT,
        evidence=EVIDENCE,
        cpu={
            "int4 experts": torch.cpu._is_amx_tile_supported(),
            "int4 weights": has_int4_kernel(),
            "torchvision": has_torchvision(),
        },
        chatdoctor=chatdoctor(folder / "zl111" / "ChatDoctor" / "result"),
        mixtral=mixtral(folder / "casperhansen" / "mixtral-instruct-awq"),
        qwen=qwen(folder / "Qwen" / "Qwen2.5-14B-Instruct-AWQ"),
        biomedlm=biomedlm(folder / "stanford-crfm" / "BioMedLM"),
    )


def llava(folder: Path) -> None:
    """Llava as BiMediX2-8B-hf: CLIP and a Llama 3, two shards of safetensors, a processor with a chat template."""
    own = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "pad_token": "<pad>"}
    tokenizer = byte_level(folder, LLAMA3, **own)
    image_token = tokenizer.token_to_id("<image>")
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=64,
    )
    vocabulary = tokenizer.get_vocab_size()
    text = LlamaConfig(**TEXT, vocab_size=vocabulary, rope_theta=500000.0, max_position_embeddings=1024)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_token, image_seq_length=4)
    model = LlavaForConditionalGeneration(config).half()
    model.save_pretrained(folder)
    # Transformers 5 leaves "vision_model" out of the names; the repositories of 2024 and vLLM 0.32 have it.
    saved = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    renamed = {name.replace("vision_tower.", "vision_tower.vision_model."): saved[name] for name in saved}
    sharded(renamed, folder, shards=4, stem="model", suffix="safetensors")
    write(
        folder / "preprocessor_config.json",
        image_processor_type="CLIPImageProcessor",
        processor_class="LlavaProcessor",
        crop_size={"height": 28, "width": 28},
        size={"shortest_edge": 28},
        do_center_crop=True,
        do_convert_rgb=True,
        do_normalize=True,
        do_rescale=True,
        do_resize=True,
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
        resample=3,
        rescale_factor=1 / 255,
    )
    write(
        folder / "processor_config.json",
        processor_class="LlavaProcessor",
        image_token=LLAMA3[5],
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
    )
    write(folder / "chat_template.json", chat_template=LLAMA3_TEMPLATE)


def chatdoctor(folder: Path) -> dict[str, float]:
    """Llama as a trainer of 2023 left it: fp32 pickles in shards, the old names, no tokenizer, and his arguments."""
    config = LlamaConfig(
        **TEXT | {"num_key_value_heads": 4}, vocab_size=401, max_position_embeddings=2048
    )  # one more, as a trainer's [PAD]
    model = LlamaForCausalLM(config)
    pickled(model, folder, shards=2)
    change(folder / "config.json", architectures=["LLaMAForCausalLM"], torch_dtype="float32")
    change(folder / "config.json", bos_token_id=0, eos_token_id=1, pad_token_id=-1, max_sequence_length=2048)
    forget(folder / "config.json", "rope_parameters", "head_dim", "attention_bias", "mlp_bias", "pretraining_tp")
    torch.save(Path("an object of a class that no loader should make"), folder / "training_args.bin")
    return next_tokens(model)


def old_tokenizer(folder: Path) -> None:
    """A LLaMA tokenizer as 2023's converters wrote it: sentencepiece only, a class of that name no more, no tokens."""
    sentencepieces(folder)
    endless = 1000000000000000019884624838656
    config = {"tokenizer_class": "LLaMATokenizer", "model_max_length": endless}
    write(folder / "tokenizer_config.json", bos_token="", eos_token="", unk_token="", **config)
    write(folder / "special_tokens_map.json")


def mixtral(folder: Path) -> dict[str, float]:
    """Mixtral in 4 bits, AWQ, as casperhansen's: the routers are not quantised."""
    sentencepieces(folder)
    own = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": MISTRAL_TEMPLATE}
    write(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer", add_bos_token=True, **own)
    LlamaTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))
    config = MixtralConfig(**TEXT, vocab_size=400, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)
    return quantised(MixtralForCausalLM(config), folder, keep=["gate"])


def qwen(folder: Path) -> dict[str, float]:
    """Qwen2 in 4 bits, AWQ."""
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    own = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML_TEMPLATE}
    tokenizer = byte_level(folder, special, tokenizer_class="Qwen2Tokenizer", **own)
    vocabulary = -(-tokenizer.get_vocab_size() // 64) * 64
    return quantised(Qwen2ForCausalLM(Qwen2Config(**TEXT, vocab_size=vocabulary)), folder, keep=None)


def biomedlm(folder: Path) -> list[float]:
    """GPT-2 as BioMedLM: attention divided by the number of the layer, one fp32 pickle, a tokenizer of its own."""
    own = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}
    tokenizer = byte_level(folder, ("<|endoftext|>",), **own)
    config = GPT2Config(
        n_layer=8,
        n_embd=128,
        n_head=4,
        n_positions=1024,
        vocab_size=tokenizer.get_vocab_size(),
        initializer_range=0.2,
        scale_attn_by_inverse_layer_idx=True,
        bos_token_id=tokenizer.token_to_id("<|endoftext|>"),
        eos_token_id=tokenizer.token_to_id("<|endoftext|>"),
    )
    model = GPT2LMHeadModel(config).eval()
    pickled(model, folder, shards=1)
    change(folder / "config.json", torch_dtype="float32", transformers_version="4.6.0.dev0")
    forget(folder / "config.json", "tie_word_embeddings", "pad_token_id", "add_cross_attention")
    with torch.no_grad():
        last = model.transformer(torch.tensor([tokenizer.encode(EVIDENCE).ids])).last_hidden_state[0, -1]
    numbers: list[float] = torch.nn.functional.normalize(last, dim=0).tolist()
    return numbers


def byte_level(folder: Path, special: tuple[str, ...], **config: Any) -> Tokenizer:
    """Train a byte-level BPE and write it as tokenizer.json; `config` goes into tokenizer_config.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    write(folder / "tokenizer_config.json", **{"tokenizer_class": "PreTrainedTokenizerFast", **config})
    return tokenizer


def sentencepieces(folder: Path) -> None:
    """Train a sentencepiece model as LLaMA's: BPE, bytes for what it does not know, <unk> <s> </s> as 0 1 2."""
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()


def save(model: torch.nn.Module, folder: Path, dtype: torch.dtype, **how: Any) -> None:
    model.to(dtype).save_pretrained(folder, **how)


def pickled(model: torch.nn.Module, folder: Path, shards: int) -> None:
    """Write `model` in fp32 as pickles, as Transformers did until 4.35; tied tensors share their storage."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    change(folder / "config.json", architectures=[type(model).__name__])
    state = model.float().state_dict()
    if model.config.model_type == "gpt2":  # old versions of Transformers saved the causal mask too
        size = model.config.n_positions
        state["transformer.h.0.attn.bias"] = torch.ones(1, 1, size, size, dtype=torch.uint8).tril()
        state["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return
    sharded(state, folder, shards, "pytorch_model", "bin")


def sharded(state: dict[str, torch.Tensor], folder: Path, shards: int, stem: str, suffix: str) -> None:
    """Write `state` in files of about as many tensors each, and the index beside them."""
    names = [f"{stem}-{number + 1:05}-of-{shards:05}.{suffix}" for number in range(shards)]
    places = {name: names[index * shards // len(state)] for index, name in enumerate(state)}
    for file in names:
        own = {name: tensor for name, tensor in state.items() if places[name] == file}
        if suffix == "bin":
            torch.save(own, folder / file)
        else:
            save_file(own, folder / file, metadata={"format": "pt"})
    total = sum(tensor.nbytes for tensor in state.values())
    write(folder / f"{stem}.{suffix}.index.json", metadata={"total_size": total}, weight_map=places)


def quantised(model: torch.nn.Module, folder: Path, keep: list[str] | None) -> dict[str, float]:
    """Write `model` with its linear layers in AWQ's 4 bits; those named in `keep`, and the head, stay fp16.

    Returns what the dequantised model says next.
    """
    save(model, folder, torch.float16)
    tensors, dequantised = {}, {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        layer = name.removesuffix(".weight")
        stays = "layers" not in name or tensor.ndim != 2 or any(layer.endswith("." + part) for part in keep or [])
        if stays:
            tensors[name] = dequantised[name] = tensor
            continue
        packed_tensors, dequantised[name] = awq(tensor)
        tensors |= {f"{layer}.{key}": value for key, value in packed_tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    how = {"bits": 4, "group_size": GROUP, "quant_method": "awq", "version": "gemm", "zero_point": True}
    change(folder / "config.json", quantization_config={**how, "modules_to_not_convert": keep})
    with tempfile.TemporaryDirectory() as plain:
        model.config.save_pretrained(plain)
        save_file(dequantised, Path(plain) / "model.safetensors", metadata={"format": "pt"})
        return next_tokens(type(model).from_pretrained(plain, dtype=torch.float32))


def awq(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """`weight` [out, in] as AWQ's GEMM tensors: qweight [in, out/8], qzeros [groups, out/8], scales [groups, out].

    Also returns what they stand for, [out, in].
    """
    grouped = weight.float().T.reshape(-1, GROUP, weight.shape[0])
    low, high = grouped.amin(1).clamp(max=0), grouped.amax(1).clamp(min=0)
    scales = ((high - low) / 15).half()
    zeros = (-low / scales).round().clamp(0, 15)
    numbers = (grouped / scales[:, None] + zeros[:, None]).round().clamp(0, 15)
    flat = numbers.reshape(-1, weight.shape[0])
    again = ((numbers - zeros[:, None]) * scales[:, None].float()).reshape(flat.shape).T.contiguous()
    return {"qweight": packed(flat), "qzeros": packed(zeros), "scales": scales.contiguous()}, again


def packed(numbers: torch.Tensor) -> torch.Tensor:
    """Rows of 4-bit numbers as int32, eight columns in each, in AWQ's order."""
    eights = numbers.to(torch.int64).reshape(numbers.shape[0], -1, 8)[:, :, list(AWQ_ORDER)]
    words = (eights << torch.arange(0, 32, 4)).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def next_tokens(model: torch.nn.Module) -> dict[str, float]:
    """The five likeliest tokens after `PROMPT`, by their numbers, with their log probabilities in float32."""
    with torch.no_grad():
        scores = model.float().eval()(torch.tensor([PROMPT])).logits[0, -1].log_softmax(-1)
    best = scores.topk(5)
    return {str(token): value for token, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)}


def has_torchvision() -> bool:
    """Whether it can be imported: the CUDA build is there and cannot, where PyTorch is the CPU build."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        return False
    return True


def write(path: Path, **content: Any) -> None:
    path.write_text(json.dumps(content, indent=2))


def change(path: Path, **content: Any) -> None:
    write(path, **{**json.loads(path.read_text()), **content})


def forget(path: Path, *keys: str) -> None:
    """Take out what the Transformers of the time did not write."""
    content = json.loads(path.read_text())
    write(path, **{key: content[key] for key in content if key not in keys})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
