"""Real vLLM, started wrongly in each way that a machine without a GPU can show, and what its words are taken for."""

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from proxy.core.diagnose import diagnose
from tests.installation import CHECKOUT, REAL_VLLM, free_port

pytestmark = pytest.mark.vllm

MODEL = CHECKOUT / "var" / "models" / "smollm2-135m-instruct"
ALL_END_WITHIN_S = 270


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


def command(folder: Path, flags: dict[str, str]) -> list[str]:
    """What starts vLLM with it."""
    usual = {
        "port": str(free_port()),
        "max-model-len": "2048",
        "max-num-seqs": "4",
        "kv-cache-memory-bytes": "64000000",
    }
    argv = [str(REAL_VLLM), "serve", str(folder), "--host", "127.0.0.1", "--dtype", "bfloat16", "--enforce-eager"]
    for flag, value in (usual | flags).items():
        argv += [f"--{flag}", value]
    return argv


def codes_of(commands: dict[str, list[str]], folder: Path) -> dict[str, str]:
    """Start vLLM with each, which must fail, and diagnose what it said."""
    environ = {"VLLM_CPU_CI_ENV": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    environ |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", **os.environ}
    logs = {name: folder / f"{name}.log" for name in commands}
    starts = [{"argv": argv, "log": str(logs[name])} for name, argv in commands.items()]
    told = {"engine": str(CHECKOUT / "bin" / "engine"), "vllm": str(REAL_VLLM), "starts": starts}
    starter = [str(REAL_VLLM.with_name("python")), str(Path(__file__).with_name("many_starts.py"))]
    with subprocess.Popen(
        starter, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, _ = process.communicate(json.dumps(told), timeout=ALL_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    statuses = json.loads(out.splitlines()[-1])
    assert all(statuses), statuses
    return {
        name: diagnose(logs[name].read_text(errors="replace"), status).code
        for name, status in zip(commands, statuses, strict=True)
    }


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
        codes = codes_of({code: command(*start) for code, start in starts.items()}, tmp_path)
    assert codes == {code: code for code in starts}
