"""Real vLLM, started wrongly in each way that a machine without a GPU can show, and what its words are taken for."""

import json
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.core.diagnose import diagnose
from tests.installation import CHECKOUT, REAL_VLLM, free_port

pytestmark = pytest.mark.vllm

MODEL = CHECKOUT / "var" / "models" / "smollm2-135m-instruct"
AT_ONCE = 2
STARTS_WITHIN_S = 150


def altered(folder: Path, without: tuple[str, ...] = (), **config: object) -> Path:
    """The demo's chat model with another configuration, or without some of its files."""
    folder.mkdir()
    for path in MODEL.iterdir():
        if path.name not in (*without, "config.json"):
            (folder / path.name).symlink_to(path)
    (folder / "config.json").write_text(json.dumps(json.loads((MODEL / "config.json").read_text()) | config))
    return folder


def cut_off(folder: Path) -> Path:
    """The model with the last part of its weights missing, as after a broken download."""
    altered(folder, without=("model.safetensors",))
    shutil.copy(MODEL / "model.safetensors", folder / "model.safetensors")
    os.truncate(folder / "model.safetensors", 100_000_000)
    return folder


def code_of(folder: Path, flags: dict[str, str]) -> str:
    """Start vLLM, which must fail, and diagnose what it said."""
    usual = {
        "port": str(free_port()),
        "max-model-len": "2048",
        "max-num-seqs": "4",
        "kv-cache-memory-bytes": "64000000",
    }
    argv = [str(REAL_VLLM), "serve", str(folder), "--host", "127.0.0.1", "--dtype", "bfloat16", "--enforce-eager"]
    for flag, value in (usual | flags).items():
        argv += [f"--{flag}", value]
    environ = {"VLLM_CPU_CI_ENV": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    environ |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", **os.environ}
    done = subprocess.run(
        argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=STARTS_WITHIN_S, check=False
    )
    assert done.returncode != 0
    return diagnose(done.stdout.decode(errors="replace"), done.returncode).code


def test_real_vllm_started_wrongly_is_diagnosed(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        starts: dict[str, tuple[Path, dict[str, str]]] = {
            "bad_flag": (MODEL, {"no-such-flag": "1"}),
            "context_too_long": (MODEL, {"max-model-len": "9000"}),
            "architecture_not_supported": (altered(tmp_path / "a", architectures=["LlavaLlamaForCausalLM"]), {}),
            "files_missing": (altered(tmp_path / "f", without=("tokenizer.json", "tokenizer_config.json")), {}),
            "weights_damaged": (cut_off(tmp_path / "w"), {}),
            "port_taken": (MODEL, {"port": str(taken.getsockname()[1])}),
            "no_chat_template": (MODEL, {"chat-template": str(tmp_path / "none.jinja")}),
            "kv_cache_too_small": (MODEL, {"kv-cache-memory-bytes": "1000000"}),
        }
        with ThreadPoolExecutor(AT_ONCE) as pool:
            codes = dict(zip(starts, pool.map(lambda start: code_of(*start), starts.values()), strict=True))
    assert codes == {code: code for code in starts}
