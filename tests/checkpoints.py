"""The five models of the catalog as tiny random checkpoints, each laid out as its repository on the Hub is.

`lay_out` gives them raw, as they would be downloaded; `SOURCES` says what the catalog says of them, and `ready` makes
of them what vLLM serves: the seam where a download can take the place of the folder.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.convert import needs_conversion
from tests.installation import CHECKOUT

PYTHON = CHECKOUT / ".venv-vllm" / "bin" / "python"

SOURCES: dict[str, dict[str, str]] = {
    "bimedix2": {"repo": "MBZUAI/BiMediX2-8B-hf"},
    "chatdoctor": {
        "repo": "zl111/ChatDoctor",
        "path": "result",
        "tokenizer_repo": "decapoda-research/llama-7b-hf",
    },
    "mixtral": {"repo": "casperhansen/mixtral-instruct-awq"},
    "qwen": {"repo": "Qwen/Qwen2.5-14B-Instruct-AWQ"},
    "biomedlm": {"repo": "stanford-crfm/BioMedLM"},
}
"""The `source` of each model in a catalog, by the model's name here."""


@dataclass(frozen=True, slots=True)
class Five:
    """The repositories by name, and what else is known of them, computed by Transformers from the original models.

    `facts` holds `prompt`, the numbers of some tokens, and by model the log probabilities of the likeliest five after
    them, by number (of 4-bit models: with the dequantised weights); `evidence`, a text, and biomedlm's normalised last
    hidden state after it; `cpu`, by name what vLLM's CPU build can run on this machine.
    """

    repositories: dict[str, Path]
    facts: dict[str, Any]


def lay_out(folder: Path) -> Five:
    """Make the repositories under `folder`, as OWNER/NAME. It takes about five seconds."""
    argv = [PYTHON, "-W", "ignore", "-m", "tests.tiny_models", folder]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = {f"{path.parent.name}/{path.name}": path for path in sorted(folder.glob("*/*")) if path.is_dir()}
    return Five(found, json.loads((folder / "references.json").read_text()))


def ready(five: Five, model: str, target: Path) -> Path:
    """Make folder `target` of what `model`'s source names: converted where it must be, copied otherwise."""
    source = SOURCES[model]
    raw = five.repositories[source["repo"]] / source.get("path", "")
    if needs_conversion(raw) is None:
        return Path(shutil.copytree(raw, target))
    argv: list[str | Path] = [PYTHON, "-m", "catalog.convert", raw, target]
    if "tokenizer_repo" in source:
        argv += ["--tokenizer", five.repositories[source["tokenizer_repo"]]]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return target
