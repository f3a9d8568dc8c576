"""Decides what is wrong in the small files of a LLaMA of 2023, and mends them from its sentencepiece model.

The first converters wrote names that no library knows any more (LLaMAForCausalLM, LLaMATokenizer), a tokenizer without
the names of its special tokens, and 0, 1 and -1 as their numbers where the model has 1, 2 and none. Transformers 5 does
not load such a tokenizer (it recurses without end), and where it loads a bare tokenizer.model it leaves out the BOS
token that LLaMA was trained with.

Rule: the sentencepiece model is the truth; what is written is compared with it on samples before it is used.
"""

import json
from pathlib import Path
from typing import Any

MODEL = "tokenizer.model"
OLD_TOKENIZER = "LLaMATokenizer"
OLD_ARCHITECTURE = "LLaMAForCausalLM"
PLAIN_TOKENIZER = "PreTrainedTokenizerFast"
FAMILY = {"llama", "mistral", "mixtral"}
"""The model types whose sentencepiece models are read like LLaMA's."""
SAMPLES = (
    "Patient: I have had a fever of 38.5 degrees for 3 days.",
    "If you are a doctor, please answer the medical questions based on the patient's description.",
    "naïve café, 漢字, сердце 🙂\n\tand tabs",
    "  two  spaces, and three   ",
)
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class TokenizerUnlike(Exception):
    """The tokenizer that was made does not split text as the sentencepiece model does."""


def reasons(folder: Path, config: dict[str, Any]) -> list[str]:
    """What of the small files in `folder` vLLM 0.32 with Transformers 5 does not load, or reads wrongly."""
    if config.get("model_type") not in FAMILY:
        return []
    found = []
    if OLD_ARCHITECTURE in config.get("architectures", []):
        found.append(f"its configuration has the name {OLD_ARCHITECTURE} of 2023")
    if config.get("bos_token_id") == 0 and config.get("eos_token_id") == 1:
        found.append("its configuration has the wrong numbers of the special tokens (BOS 0, EOS 1) of 2023's files")
    tokenizer = read(folder / "tokenizer_config.json")
    if tokenizer.get("tokenizer_class") == OLD_TOKENIZER:
        found.append(f"its tokenizer is a {OLD_TOKENIZER}, which Transformers 5 does not load")
    elif (folder / MODEL).is_file() and not (folder / "tokenizer.json").is_file():
        found.append("its tokenizer is a sentencepiece model only, which Transformers 5 reads without BOS")
    return found


def mend(folder: Path) -> list[str]:
    """Mend the small files in `folder`. Returns what was done.

    Raises: TokenizerUnlike.
    """
    pieces = _pieces(folder)
    done = []
    for name in ("config.json", "generation_config.json"):
        content = read(folder / name)
        if content and (mended := _mended(content, pieces)) != content:
            write(folder / name, mended)
            changed = sorted(key for key in mended if mended[key] != content.get(key))
            done.append(f"{name}: {', '.join(changed)} as LLaMA's tokenizer has them")
    config = read(folder / "tokenizer_config.json")
    is_old = config.get("tokenizer_class") == OLD_TOKENIZER
    is_there = (folder / "tokenizer.json").is_file()
    if pieces is not None and (is_old or not is_there):
        _write_tokenizer(folder, config, pieces)
        done.append("tokenizer.json written from tokenizer.model, with BOS")
    elif is_old and is_there:
        write(folder / "tokenizer_config.json", {**config, "tokenizer_class": PLAIN_TOKENIZER})
        done.append("tokenizer_config.json: tokenizer_class in today's spelling")
    return done


def _pieces(folder: Path) -> Any:
    """The sentencepiece model, or None where there is none."""
    if not (folder / MODEL).is_file():
        return None
    import sentencepiece  # type: ignore[import-not-found, unused-ignore]

    return sentencepiece.SentencePieceProcessor(str(folder / MODEL))


def _mended(config: dict[str, Any], pieces: Any) -> dict[str, Any]:
    """`config` with today's name, and with the numbers of special tokens where what it has names another of them.

    Without a sentencepiece model LLaMA's own are taken: <unk> 0, <s> 1, </s> 2.
    """
    unknown, bos, eos = (0, 1, 2) if pieces is None else (pieces.unk_id(), pieces.bos_id(), pieces.eos_id())
    mended = dict(config)
    if OLD_ARCHITECTURE in config.get("architectures", []):
        mended["architectures"] = ["LlamaForCausalLM"]
    for key, right in (("bos_token_id", bos), ("eos_token_id", eos), ("pad_token_id", None)):
        number = config.get(key)
        if not isinstance(number, int):
            continue
        if number < 0 or (right is not None and number in {unknown, bos, eos}):  # padding with one of them is usual
            mended[key] = right
    return mended


def _write_tokenizer(folder: Path, config: dict[str, Any], pieces: Any) -> None:
    """Write tokenizer.json and tokenizer_config.json from the sentencepiece model.

    Its class is the plain one: Transformers 5 gives a LlamaTokenizer rules of its own, which lose leading spaces.

    Raises: TokenizerUnlike.
    """
    from tokenizers import normalizers  # type: ignore[import-not-found, unused-ignore]
    from transformers import AutoTokenizer, LlamaTokenizer

    names = {f"{role}_token": pieces.id_to_piece(getattr(pieces, f"{role}_id")()) for role in ("unk", "bos", "eos")}
    adds = {"add_bos_token": config.get("add_bos_token", True), "add_eos_token": config.get("add_eos_token", False)}
    for name in ("tokenizer.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    kept = {key: value for key, value in config.items() if value != "" and not key.startswith("sp_model")}
    own = {**kept, **names, **adds}
    write(folder / "tokenizer_config.json", {**own, "tokenizer_class": "LlamaTokenizer"})
    backend = LlamaTokenizer.from_pretrained(folder).backend_tokenizer
    # As sentencepiece does it: one more space before the text, then a mark for each space.
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    backend.pre_tokenizer = None
    backend.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", {**own, "tokenizer_class": PLAIN_TOKENIZER})
    made = AutoTokenizer.from_pretrained(folder)
    first = [pieces.bos_id()] if adds["add_bos_token"] else []
    last = [pieces.eos_id()] if adds["add_eos_token"] else []
    for sample in SAMPLES:
        if made(sample).input_ids != [*first, *pieces.encode(sample), *last]:
            raise TokenizerUnlike(f"the tokenizer made from {MODEL} splits {sample!r} differently than it")


def read(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is no such file."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


def write(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n")
