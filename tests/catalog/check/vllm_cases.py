"""Models to put to the installed vLLM, all of a test module in one process, as `check` does it."""

import json
import subprocess
from typing import Any

import msgspec

from catalog.check.vllm_question import Answer, Case, Fault, Question
from catalog.render import Seat, launch
from catalog.spec import GIB, Gib, ModelSpec
from tests.installation import CHECKOUT

CONFIGS = CHECKOUT / "catalog" / "models" / "configs"
LLAMA = json.loads((CONFIGS / "chatdoctor-7b-fp16.json").read_text())
AWQ = json.loads((CONFIGS / "qwen2.5-14b-4bit.json").read_text())
BERT = json.loads((CONFIGS / "pubmedbert-embed.json").read_text())


def asked(
    name: str, config: dict[str, Any] | None = LLAMA, capability: tuple[int, int] | None = None, **more: Any
) -> Case:
    """About one model that is a good one but for `more`."""
    fixed = {"weights": "/nothing/here", "port": 8101, "max_model_len": 512, "dtype": "float16"}
    amounts = {"memory_bytes": Gib(10 * GIB), "kv_cache_bytes": Gib(GIB)}
    spec = ModelSpec(**{"name": name, **fixed, **amounts, **more})
    return asked_of(spec, config, capability)


def asked_of(spec: ModelSpec, config: dict[str, Any] | None, capability: tuple[int, int] | None = None) -> Case:
    """About one model of a catalog."""
    seat = Seat(awake_bytes=spec.memory_bytes, kv_cache_bytes=spec.kv_cache_bytes)
    return Case(
        model=spec.name,
        argv=launch(spec, "vllm", seat).argv[1:],
        env=spec.env,
        config=config,
        embedder=spec.embedder,
        capability=capability,
    )


def put_to_vllm(cases: list[Case]) -> dict[str, list[Fault]]:
    """What it finds, by model."""
    argv = [str(CHECKOUT / ".venv-vllm" / "bin" / "python"), "-m", "catalog.check.vllm_check"]
    text = msgspec.json.encode(Question(cases=cases))
    done = subprocess.run(argv, input=text, capture_output=True, cwd=CHECKOUT, check=False, timeout=200)
    assert done.returncode == 0, done.stderr.decode()
    answer = msgspec.json.decode(done.stdout, type=Answer)
    assert answer.vllm.startswith("0.")
    found: dict[str, list[Fault]] = {case.model: [] for case in cases}
    for fault in answer.faults:
        found[fault.model].append(fault)
    return found
