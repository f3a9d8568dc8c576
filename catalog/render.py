"""Renders a spec: the `vllm serve` command line and environment, and the text of its supervisord program.

Rule: pure. Nothing here reads a file, a clock or the environment; equal specs give equal text.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from catalog.schema import schema
from catalog.spec import GIB, Agents, FlagValue, ModelSpec

CUDA_CONTEXT_BYTES = GIB // 2
"""What a process holds on a GPU outside `--gpu-memory-utilization`: 0.3 to 0.5 GiB of CUDA context are usual."""

STOP_WAIT_S = 10
"""supervisord's patience before SIGKILL. An engine has drained before it is stopped; what takes longer hangs."""

GUARD = "rota_engine_guard.Guard"
"""vLLM's middleware that asks for the engine's key, in `bin/in_engine`."""

_AMONG_THEMSELVES = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "VLLM_HOST_IP": "127.0.0.1"}
"""Where an engine's processes find each other: without them on the interface that the host's name leads to."""

UNWRITTEN = "it would write what people say into the engine's log, and that is kept nowhere"

OWN_FLAGS = {
    "host": "engines listen on the loopback only",
    "port": "use the key 'port'",
    "uds": "engines listen on their 'port'",
    "served-model-name": "use the keys 'name' and 'aliases'",
    "max-model-len": "use the key 'max_model_len'",
    "max-num-seqs": "use the key 'max_num_seqs'",
    "dtype": "use the key 'dtype'",
    "chat-template": "use the key 'chat_template'",
    "runner": "use the key 'embedder'",
    "kv-cache-memory-bytes": "use the key 'kv_cache_gib'",
    "kv-cache-memory": "use the key 'kv_cache_gib'",
    "gpu-memory-utilization": "use the key 'memory_gib'",
    "device-memory-utilization": "use the key 'memory_gib'",
    "tensor-parallel-size": "use the key 'device_count'",
    "pipeline-parallel-size": "it would take devices that the ledger does not know of",
    "data-parallel-size": "it would take devices that the ledger does not know of",
    "enable-sleep-mode": "use the key 'sleep_levels'",
    "no-enable-sleep-mode": "use the key 'sleep_levels'",
    "shutdown-timeout": "the stop is Rota's",
    "api-key": "engines are reached through the proxy only",
    "ssl-keyfile": "engines are reached through the proxy only",
    "ssl-certfile": "engines are reached through the proxy only",
    "enable-log-requests": UNWRITTEN,
    "enable-log-outputs": UNWRITTEN,
    "log-error-stack": UNWRITTEN,
    "config": "a second file of flags could undo the ledger's; use the key 'vllm_args'",
}
"""Flags that `vllm_args` may not hold, because Rota sets them, and what to use instead."""

OWN_VARIABLES = {
    "CUDA_VISIBLE_DEVICES": "use the key 'devices'",
    "HIP_VISIBLE_DEVICES": "use the key 'devices'",
    "VLLM_SERVER_DEV_MODE": "use the key 'sleep_levels'",
    "VLLM_DEBUG_LOG_API_SERVER_RESPONSE": UNWRITTEN,
    "VLLM_API_KEY": "engines are reached through the proxy only, which makes them a key at each start",
}
"""Variables that `env` may not hold, because Rota sets them, and what to use instead."""

# ROTA_ENGINE is the launch mark by which left-over processes are known; SPT_NOENV keeps vLLM's setproctitle from
# overwriting it: without it the environment of VLLM::EngineCore cannot be read (seen with vLLM 0.32).
_PROGRAM = """\
; Rendered from the catalog by `make render`: change the catalog, not this file.
; supervisord never restarts an engine by itself: that is the scheduler's decision.
[program:{name}]
command="%(here)s/../.venv/bin/python" -I "%(here)s/../bin/engine" {name}
directory=%(here)s/..
environment=ROTA_ENGINE="{name}",ROTA_GATE="%(here)s/../var/run/gate.sock",SPT_NOENV="1"
autostart=false
autorestart=false
startsecs=0
startretries=0
stopsignal=TERM
stopasgroup=false
killasgroup=true
stopwaitsecs={stop_wait_s}
redirect_stderr=true
stdout_logfile=%(here)s/../var/log/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""


class Launch(msgspec.Struct, frozen=True):
    """What the gate hands to `bin/engine`: the command line, and the variables to add to its environment."""

    argv: list[str]
    env: dict[str, str]


class Preparation(msgspec.Struct, frozen=True):
    """What `bin/engine` may do before it has leave: import what the Python script `executable` will, with `env`.

    `forks` is whether vLLM's other processes may be forked from it then. None where nothing may be done ahead: with
    a vLLM that was not tried, on several devices, or on AMD's, where the variables that say which devices to use must
    be there before ROCm is.
    """

    executable: str | None
    env: dict[str, str]
    forks: bool = False


@dataclass(frozen=True, slots=True)
class Seat:
    """Where an engine starts, and what it may take there.

    `total_bytes` is the smallest whole memory of its GPUs, or None where its device is no GPU; `awake_bytes` what the
    ledger reserves on each; `kv_cache_bytes` the spec's own or learned figure, None to let vLLM measure; `env` makes
    the process see its devices and no others.
    """

    awake_bytes: int
    kv_cache_bytes: int | None
    total_bytes: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    can_sleep: bool = False


def launch(spec: ModelSpec, vllm: str, on: Seat) -> Launch:
    """The command line and environment of `spec`'s engine; `vllm` is the executable for specs that name none.

    On a GPU vLLM's start-up check asks for the share of `--gpu-memory-utilization` even where the KV cache is given
    in bytes, so both are (vLLM 0.32, `v1/worker/gpu_worker.py`).

    Raises: ValueError where neither a GPU nor KV cache bytes are given: vLLM would take most of the host's memory.
    """
    if on.kv_cache_bytes is None and on.total_bytes is None:
        raise ValueError(f"{spec.name}: without a GPU, kv_cache_gib must be given in the model's file")
    argv = [spec.vllm or vllm, "serve", spec.weights, "--served-model-name", spec.name]
    argv += ["--host", "127.0.0.1", "--port", str(spec.port)]
    argv += ["--max-model-len", str(spec.max_model_len), "--max-num-seqs", str(spec.max_num_seqs)]
    argv += ["--dtype", spec.dtype]
    if on.kv_cache_bytes is not None:
        argv += ["--kv-cache-memory-bytes", str(on.kv_cache_bytes)]
    if on.total_bytes is not None:
        argv += ["--gpu-memory-utilization", f"{_utilization(on.awake_bytes, on.total_bytes):.4f}"]
    if spec.device_count > 1:
        argv += ["--tensor-parallel-size", str(spec.device_count)]
    if on.can_sleep and on.total_bytes is not None:
        argv += ["--enable-sleep-mode"]  # the CPU build refuses it, and sleeps (freeing nothing) without it
    if spec.embedder:
        argv += ["--runner", "pooling"]
    if spec.chat_template is not None:
        argv += ["--chat-template", spec.chat_template]
    if spec.system_prompt is not None:
        argv += ["--default-chat-template-kwargs", json.dumps({"default_system_prompt": spec.system_prompt})]
    # No drain of vLLM's own: the proxy drains before it stops, and with any time-out above 0 even an idle vLLM 0.32
    # takes 5 s to end instead of 0.6 s (measured on the CPU build).
    argv += ["--shutdown-timeout", "0", "--enable-request-id-headers"]
    argv += ["--disable-uvicorn-access-log"]  # it holds what clients put into URLs; the audit knows who has asked
    # Before what the catalog gives: the last one that is named is the first that is asked.
    argv += ["--middleware", GUARD]
    argv += ["--no-log-error-stack"]  # the default where there is sleep, and its stacks hold what a client has sent
    for flag, value in spec.vllm_args.items():
        argv += _flag(flag, value)
    return Launch(argv, {**static_env(spec, on.can_sleep), **on.env})


def static_env(spec: ModelSpec, can_sleep: bool) -> dict[str, str]:
    """The variables of `spec`'s engine that do not depend on where it runs."""
    own = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **_AMONG_THEMSELVES}
    # The endpoints for sleep and wake exist only so. They are on the loopback, like all of the engine.
    dev_mode = {"VLLM_SERVER_DEV_MODE": "1"} if can_sleep else {}
    return {**own, **spec.env, **dev_mode}


def identity(spec: ModelSpec, can_sleep: bool) -> str:
    """A short name for all of `spec` that decides how much memory its engine takes: a hash, 16 hex digits."""
    return _short(_takes(spec, can_sleep))


def answers_as(spec: ModelSpec, can_sleep: bool, chat_template: str) -> str:
    """A short name for all of `spec` that decides what its engine answers, beside the weights: a hash, as above.

    `chat_template` is what stands in the file of it.
    """
    more = {
        "vllm": spec.vllm,
        "chat_template": chat_template,
        "system_prompt": spec.system_prompt,
        "request_defaults": spec.request_defaults,
    }
    return _short(_takes(spec, can_sleep) | more)


def _takes(spec: ModelSpec, can_sleep: bool) -> dict[str, object]:
    return {
        "weights": spec.weights,
        "max_model_len": spec.max_model_len,
        "max_num_seqs": spec.max_num_seqs,
        "dtype": spec.dtype,
        "embedder": spec.embedder,
        "device_count": spec.device_count,
        # Where vLLM measures the KV cache, it takes what memory_gib leaves.
        "kv_cache": spec.kv_cache_bytes or f"of {int(spec.memory_bytes)}",
        "vllm_args": spec.vllm_args,
        "env": spec.env,
        "can_sleep": can_sleep,
    }


def _short(what: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]


def program_text(spec: ModelSpec) -> str:
    """The supervisord program file of `spec`: static, since devices and flags come from the gate."""
    return _PROGRAM.format(name=spec.name, stop_wait_s=STOP_WAIT_S)


def schemas() -> dict[str, str]:
    """The JSON Schemas of the catalog's files, by file name, for editors."""
    named = {"model.schema.json": ModelSpec, "agents.schema.json": Agents}
    return {name: json.dumps(schema(kind), indent=2) + "\n" for name, kind in named.items()}


def canonical_flag(flag: str) -> str:
    """vLLM takes `--max_num_seqs` for `--max-num-seqs`; compare flags in one spelling."""
    return flag.lstrip("-").replace("_", "-")


def _utilization(memory_bytes: int, total_bytes: int) -> float:
    """The share that vLLM's start-up check asks to be free, after this process's own CUDA context.

    Rounded down, so that the check passes whenever the reservation is really free. Source: vLLM 0.32,
    `v1/worker/utils.py` request_memory: the share is of the total, not of what is free.
    """
    share = (memory_bytes - CUDA_CONTEXT_BYTES) / total_bytes
    return min(max(int(share * 10_000) / 10_000, 0.01), 0.99)


def _flag(flag: str, value: FlagValue) -> list[str]:
    name = "--" + canonical_flag(flag)
    match value:
        case True:
            return [name]
        case False:
            return ["--no-" + canonical_flag(flag)]
        case list():
            return [name, *map(str, value)]
        case dict():
            return [name, json.dumps(value, default=str)]
        case _:
            return [name, str(value)]
