"""The five models of the catalog as tiny random checkpoints, each laid out as its repository on the Hub is.

They are raw, as they would be downloaded: `FakeHub(lay_out(folder).repositories)` serves them.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.installation import CHECKOUT

PYTHON = CHECKOUT / ".venv-vllm" / "bin" / "python"


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
