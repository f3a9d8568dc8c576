"""What can only be seen with PyTorch: conversions, and what Transformers computes before and after.

It runs once in vLLM's environment, for all the tests that look at a part of it, and prints one JSON object:
`.venv-vllm/bin/python -m tests.catalog.convert.in_vllm FOLDER`.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import sentencepiece
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from catalog.convert import weights as writing
from catalog.convert.convert import ConversionError, convert, needs_conversion
from catalog.convert.weights import WeightsUnusable, files_of, rewrite
from tests.tiny_models import change, chatdoctor, old_tokenizer, pickled

MIB = 2**20
BIOMEDLM = {"n_layer": 32, "n_positions": 1024, "initializer_range": 0.2, "scale_attn_by_inverse_layer_idx": True}
"""BioMedLM's depth, context and flag; narrower, and its weights drawn wide, so that attention is sharp."""


def gpt2(folder: Path, **more: Any) -> GPT2LMHeadModel:
    """A random GPT-2 of BioMedLM's configuration, scaled down, and its pickle in `folder`."""
    config = GPT2Config(**{**BIOMEDLM, **more}, n_embd=64, n_head=2, vocab_size=512, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    pickled(model, folder, shards=2)
    return model


def logits(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.arange(200).reshape(2, 100) * 7 % 512
    with torch.no_grad():
        scores: torch.Tensor = model.float().eval()(tokens).logits
    return scores


def fold(folder: Path) -> dict[str, Any]:
    """Logits of the original, of the folded model, and of one whose flag was only set false."""
    found: dict[str, Any] = {}
    cases: dict[str, dict[str, Any]] = {
        "inverse layer": {},
        "upcast": {"reorder_and_upcast_attn": True},
        # Drawn less wide: without the division its attention is so sharp that rounding alone is seen.
        "unscaled": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": False, "initializer_range": 0.1},
    }
    for name, more in cases.items():
        original = gpt2(folder / name, **more)
        before = logits(original)
        convert(folder / name, folder / f"{name}-32", dtype="keep")
        convert(folder / name, folder / f"{name}-16")
        ignored = {"scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True}
        unfolded = GPT2LMHeadModel(GPT2Config(**original.config.to_dict() | ignored))
        unfolded.load_state_dict(original.state_dict())
        found[name] = {
            "spread": (before.max() - before.min()).item(),
            "folded": difference(before, GPT2LMHeadModel.from_pretrained(folder / f"{name}-32", dtype=torch.float32)),
            "float16": difference(before, GPT2LMHeadModel.from_pretrained(folder / f"{name}-16", dtype=torch.float32)),
            "unfolded": difference(before, unfolded),
            "config": json.loads((folder / f"{name}-16" / "config.json").read_text()),
            "needs": [needs_conversion(folder / name), needs_conversion(folder / f"{name}-16")],
        }
    tensors = load_file(folder / "inverse layer-16" / "model.safetensors")
    found["names"] = sorted(tensors)
    found["dtypes"] = sorted({str(tensor.dtype) for tensor in tensors.values()})
    return found


def difference(before: torch.Tensor, model: torch.nn.Module) -> float:
    return (before - logits(model)).abs().max().item()


def llama(folder: Path) -> dict[str, Any]:
    """The LLaMA of 2023, converted; and one whose safetensors are right and whose tokenizer is not."""
    chatdoctor(folder / "old")
    old_tokenizer(folder / "tokenizer")
    done = convert(folder / "old", folder / "new", folder / "tokenizer")
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer" / "tokenizer.model"))
    made = AutoTokenizer.from_pretrained(folder / "new")
    texts = ["Patient: I have a fever.", "  two  spaces\nand a line", "naïve 漢字 🙂"]
    right = LlamaForCausalLM(LlamaConfig(hidden_size=64, num_hidden_layers=1, intermediate_size=64, vocab_size=400))
    right.half().save_pretrained(folder / "right")
    for path in (folder / "tokenizer").iterdir():
        (folder / "right" / path.name).write_bytes(path.read_bytes())
    convert(folder / "right", folder / "mended")
    # The same, with today's tokenizer under the old name, and no sentencepiece model.
    shutil.copytree(folder / "right", folder / "named")
    (folder / "named" / "tokenizer.model").unlink()
    shutil.copy(folder / "new" / "tokenizer.json", folder / "named")
    change(folder / "named" / "config.json", architectures=["LLaMAForCausalLM"], bos_token_id=0, eos_token_id=1)
    convert(folder / "named", folder / "renamed")
    renamed = json.loads((folder / "renamed" / "config.json").read_text())
    weights = [folder / name / "model.safetensors" for name in ("right", "mended")]
    return {
        "done": done,
        "config": json.loads((folder / "new" / "config.json").read_text()),
        "files": sorted(path.name for path in (folder / "new").iterdir()),
        "modes": sorted({oct(path.stat().st_mode & 0o777) for path in (folder / "new").iterdir()}),
        "note": json.loads((folder / "new" / "rota-conversion.json").read_text()),
        "ids": [made(text).input_ids for text in texts],
        "pieces": [[pieces.bos_id(), *pieces.encode(text)] for text in texts],
        "special": [made.bos_token, made.eos_token, made.unk_token],
        "needs": [needs_conversion(folder / name) for name in ("old", "new", "right", "mended", "named", "renamed")],
        "renamed": [renamed["architectures"], renamed["bos_token_id"], renamed["eos_token_id"]],
        "renamed ids": AutoTokenizer.from_pretrained(folder / "renamed")(texts[0]).input_ids,
        "same file": weights[0].samefile(weights[1]),
    }


def weights(folder: Path) -> dict[str, Any]:
    """Pickles of several kinds, good and bad."""
    folder.mkdir()
    shared = torch.arange(12.0).reshape(3, 4)
    views = {"rows": shared[1:], "columns": shared.T, "half": shared.bfloat16(), "n": torch.tensor(3)}
    state = {"a": shared, "b": shared, **views}
    torch.save(state, folder / "zip.bin")
    torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"w": torch.tensor([1e6])}, folder / "large.bin")
    torch.save({"w": torch.tensor([float("inf"), 1.0])}, folder / "infinite.bin")
    torch.save({"w": Trap(folder / "sprung")}, folder / "trap.bin")
    torch.save({"w": [1, 2]}, folder / "list.bin")
    (folder / "cut.bin").write_bytes((folder / "zip.bin").read_bytes()[:900])
    found: dict[str, Any] = {}
    for name in ("zip", "legacy", "large", "infinite", "trap", "list", "cut"):
        target = folder / f"{name}-out"
        target.mkdir()
        try:
            rewrite([folder / f"{name}.bin"], target, "float16", lambda _, tensor: tensor)
            tensors = load_file(target / "model.safetensors")
            found[name] = {key: [str(tensor.dtype), tensor.tolist()] for key, tensor in tensors.items()}
        except WeightsUnusable as error:
            found[name] = str(error)
    found["sprung"] = (folder / "sprung").exists()
    found["streamed"] = streamed(folder)
    return found


class Trap:
    """What unpickling it without care would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def streamed(folder: Path) -> dict[str, Any]:
    """256 MiB of float32 in one pickle, written in shards of 32 MiB: how much memory that took, beyond mapped files."""
    torch.save({f"w{number:02}": torch.full((4 * MIB,), float(number)) for number in range(16)}, folder / "big.bin")
    (folder / "big").mkdir()
    before, peak = anonymous_bytes(), 0

    def watch(name: str, tensor: torch.Tensor) -> torch.Tensor | None:
        nonlocal peak
        peak = max(peak, anonymous_bytes())
        return None if name == "w07" else tensor

    total = rewrite([folder / "big.bin"], folder / "big", "bfloat16", watch, shard_bytes=32 * MIB)
    again = {name: tensor[0].item() for path in files_of(folder / "big") for name, tensor in load_file(path).items()}
    shards = [path.name for path in files_of(folder / "big")]
    return {"total": total, "peak": peak - before, "values": again, "shards": shards}


def anonymous_bytes() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def refusals(folder: Path) -> dict[str, str]:
    """What is refused, and how; and that nothing is left of it."""
    old = folder / "llama" / "old"
    writer = gguf.GGUFWriter(folder / "strange.gguf", "rwkv99")
    writer.add_tensor("token_embd.weight", torch.zeros(2, 32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / "t.converting").mkdir()  # a conversion that was killed left it
    found = {
        "gguf": convert_error(folder / "strange.gguf", folder / "t"),
        "no tokenizer": convert_error(old, folder / "t", tokenizer=folder),
        "there": convert_error(old, folder / "llama" / "new"),
    }
    change(old / "pytorch_model.bin.index.json", weight_map={"a": "../elsewhere.bin"})
    found["outside"] = convert_error(old, folder / "t")
    return {**found, "left": ", ".join(path.name for path in folder.glob("t*"))}


def convert_error(source: Path, target: Path, **how: Any) -> str:
    try:
        convert(source, target, **how)
    except ConversionError as error:
        return str(error)
    return "converted"


def main(folder: Path) -> None:
    torch.manual_seed(7)
    assert writing.SHARD_BYTES == 2 * 2**30
    found = {"fold": fold(folder / "fold"), "llama": llama(folder / "llama"), "weights": weights(folder / "weights")}
    print(json.dumps({**found, "refusals": refusals(folder)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
