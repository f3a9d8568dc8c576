"""Says why an engine did not start: from its exit and its last words to a cause, a remedy, and how long it lasts.

vLLM exits with 1 for every start-up failure, so only its log tells them apart. The phrases are those of vLLM 0.32
(`v1/worker/utils.py`, the start check; `v1/core/kv_cache_utils.py`; `v1/worker/gpu_worker.py`, profiling;
`config/model.py`; its argument parser) and what PyTorch, safetensors and huggingface_hub say below it.
Pure: text in, words out.

1. The first rule that matches wins: causes stand before their echoes ("Engine core initialization failed").
2. A PASSING cause may be gone the next time. A LASTING one is in the catalog or in the files: the same start fails
   again until somebody changes something. Of an UNKNOWN one nothing is promised.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Lasts(StrEnum):
    """Whether trying the same start again can help."""

    PASSING = "passing"
    LASTING = "lasting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`code` is for programs, `cause` and `remedy` are whole sentences for people."""

    code: str
    cause: str
    remedy: str
    lasts: Lasts


UNKNOWN = Diagnosis(
    "unknown",
    "It ended for a reason that is not known here.",
    "`bin/manage_vllm.sh status` shows the last lines of its log.",
    Lasts.UNKNOWN,
)

BAD_FLAG_EXIT = 2
"""argparse's exit status for arguments that it does not understand."""

SIGNAL_EXIT = -1
"""What supervisord says of a process that a signal ended, whichever it was."""

_BAD_FLAG = Diagnosis(
    "bad_flag",
    "vLLM does not understand one of its flags.",
    "Correct vllm_args in the model's file; `vllm serve --help=all` lists the flags.",
    Lasts.LASTING,
)

_RULES: tuple[tuple[str, Diagnosis], ...] = (
    (
        r"unrecognized arguments:|error: argument |the following arguments are required|expected one argument",
        _BAD_FLAG,
    ),
    (
        r"Free memory on device .* is less than desired|Available memory on node .* is less than desired",
        Diagnosis(
            "not_enough_free_memory",
            "Less memory was free on the device than the engine asks for.",
            "Somebody else holds memory there: see nvidia-smi, or lower memory_gib in the model's file.",
            Lasts.PASSING,
        ),
    ),
    (
        r"Error in memory profiling",
        Diagnosis(
            "neighbour_freed_memory",
            "Another process freed memory on the device while vLLM measured it.",
            "It is tried again.",
            Lasts.PASSING,
        ),
    ),
    (
        r"No available memory for the cache blocks|To serve at least one request with the model's max seq len",
        Diagnosis(
            "kv_cache_too_small",
            "The KV cache is too small for one request of the model's whole context.",
            "Raise kv_cache_gib (and memory_gib with it), or lower max_model_len, in the model's file.",
            Lasts.LASTING,
        ),
    ),
    (
        r"greater than the derived max_model_len",
        Diagnosis(
            "context_too_long",
            "max_model_len is more than the model was made for.",
            "Lower max_model_len in the model's file to the model's own limit.",
            Lasts.LASTING,
        ),
    ),
    (
        r"Model architectures .* (?:are not supported|failed to be inspected)|does not recognize this architecture",
        Diagnosis(
            "architecture_not_supported",
            "vLLM has no implementation of this model's architecture.",
            "Take a checkpoint in a layout that vLLM supports, or a newer vLLM.",
            Lasts.LASTING,
        ),
    ),
    (
        r"It looks like the config file at '[^']*\.gguf' is not a valid JSON file",
        Diagnosis(
            "no_gguf_plugin",
            "This vLLM cannot serve a GGUF file: its plugin for that is not installed.",
            "Install vllm-gguf-plugin beside it, or have the file converted (source: {file: ...}).",
            Lasts.LASTING,
        ),
    ),
    (
        r"assert not config\.scale_attn_by_inverse_layer_idx",
        Diagnosis(
            "attention_scaled_by_layer",
            "vLLM does not compute a GPT-2 whose attention is scaled by layer (scale_attn_by_inverse_layer_idx).",
            "Move its folder away and convert it: .venv-vllm/bin/python -m catalog.convert OLD NEW",
            Lasts.LASTING,
        ),
    ),
    (
        r"SafetensorError|invalid header|incomplete metadata|header too (?:large|small)|PytorchStreamReader failed",
        Diagnosis(
            "weights_damaged",
            "A file of the weights is cut off or damaged.",
            "Have it mended: bin/manage_vllm.sh download MODEL --repair (or move its folder away and fetch it again).",
            Lasts.LASTING,
        ),
    ),
    (
        r"GatedRepoError|Access to model .* is restricted|401 Client Error|403 Client Error",
        Diagnosis(
            "gated_repository",
            "The model's repository gives its files only to those who have been let in.",
            "Accept its terms, fetch the files with a token, and serve the folder.",
            Lasts.LASTING,
        ),
    ),
    (
        r"Invalid repository ID or local directory|Cannot find any model weights|does not appear to have a file named"
        r"|No such file or directory.*\.safetensors|Can't load tokenizer|Couldn't instantiate the backend tokenizer",
        Diagnosis(
            "files_missing",
            "Files of the model are missing.",
            "Fetch the model again with bin/download_models.py.",
            Lasts.LASTING,
        ),
    ),
    (
        r"chat template string .* appears path-like, but doesn't exist",
        Diagnosis(
            "no_chat_template",
            "The chat template that the model's file names is not there.",
            "Correct chat_template in the model's file.",
            Lasts.LASTING,
        ),
    ),
    (
        r"CUDA out of memory|torch\.OutOfMemoryError|CUDA error: out of memory|Cannot allocate memory|bad_alloc",
        Diagnosis(
            "out_of_memory",
            "The engine ran out of memory while it started.",
            "Raise memory_gib, or lower max_num_seqs or max_model_len, in the model's file.",
            Lasts.UNKNOWN,
        ),
    ),
    (
        r"Address already in use",
        Diagnosis(
            "port_taken",
            "Somebody else listens on the engine's port.",
            "Free the port, or change 'port' in the model's file.",
            Lasts.PASSING,
        ),
    ),
)

_COMPILED = tuple((re.compile(pattern), diagnosis) for pattern, diagnosis in _RULES)

_ENDED_BY_SIGNAL = Diagnosis(
    "ended_by_signal",
    "A signal ended it: somebody killed it, or it crashed.",
    "See the last lines of its log (`bin/manage_vllm.sh status`), and `dmesg`.",
    Lasts.UNKNOWN,
)


_OOM_KILLED = Diagnosis(
    "killed_for_memory",
    "The kernel killed a process because the machine's memory ran out, while this one was ended by a signal.",
    "Free host memory, or lower what sleepers may pin (sleep_host_gib); `dmesg` tells which process it was.",
    Lasts.PASSING,
)


def all_diagnoses() -> list[Diagnosis]:
    """Every one that there is, in the order of the rules."""
    found = [*(diagnosis for _, diagnosis in _RULES), _OOM_KILLED, _ENDED_BY_SIGNAL, UNKNOWN]
    return list(dict.fromkeys(found))


def diagnose(last_words: str, exit_status: int, oom_kills: int = 0) -> Diagnosis:
    """The cause of a failed start, from the log since that start began and supervisord's exit status.

    `oom_kills` is how many processes the kernel has killed for want of memory since then.
    """
    for pattern, diagnosis in _COMPILED:
        if pattern.search(last_words):
            return diagnosis
    if exit_status == BAD_FLAG_EXIT:
        return _BAD_FLAG
    if exit_status == SIGNAL_EXIT:
        return _OOM_KILLED if oom_kills > 0 else _ENDED_BY_SIGNAL
    return UNKNOWN
