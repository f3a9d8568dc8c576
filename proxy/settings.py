"""The settings: `settings.yaml` in the project folder, each key also as an environment variable, which wins.

Paths are relative to the project folder. The README has the table; a test holds the two together.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from catalog.spec import Catalog, Gib, Seconds
from catalog.suggest import nearest
from catalog.yaml_file import CatalogError, decode_gib, fields_of, read_struct, wrong_at

SETTINGS_FILE = "settings.yaml"
ENV_PREFIX = "ROTA_"
NOT_SETTINGS = frozenset({"ROTA_ROOT", "ROTA_GATE", "ROTA_ENGINE", "ROTA_UNIT"})
"""Variables with the prefix that are set by Rota itself, and by its units of systemd."""


class Settings(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={
        "device_memory_bytes": "device_memory_gib",
        "device_reserve_bytes": "device_reserve_gib",
        "sleep_host_bytes": "sleep_host_gib",
    },
):
    """What can be set. Seconds, bytes and paths are in the names."""

    catalog: str = "catalog/demo"
    listen_host: str = "127.0.0.1"
    open_to_all: bool = False
    audit: bool = True
    audit_required: bool = True
    audit_strict: bool = False
    audit_segment_mib: Annotated[int, Meta(ge=1, le=4096)] = 64
    audit_keep_days: Annotated[int, Meta(ge=1)] | None = None
    trusted_proxies: tuple[str, ...] = ()
    tls_certificate: str | None = None
    tls_key: str | None = None
    listen_port: Annotated[int, Meta(ge=1, le=65535)] = 8000
    vllm: str = ".venv-vllm/bin/vllm"
    hub_endpoint: str | None = None
    hub_folder: str | None = None
    device_memory_bytes: Gib | None = None
    device_reserve_bytes: Gib = Gib(2**29)
    max_body_mib: Annotated[int, Meta(ge=1)] = 64
    max_waiting_mib: Annotated[int, Meta(ge=1)] = 1024
    wait_comment_s: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    stream_keep_alive_s: Annotated[float, Meta(ge=0, le=3600)] = 15.0
    realtime_idle_s: Annotated[float, Meta(ge=1, le=86400)] = 300.0
    max_wait_s: Seconds = 120.0
    queue_timeout_s: Seconds = 600.0
    max_queue: Annotated[int, Meta(ge=1)] = 2000
    overlap: bool = True
    park: bool = True
    fork: bool = True
    cool_down_s: Seconds = 15.0
    sleep_host_bytes: Gib | None = None
    sleep_timeout_s: Seconds = 120.0
    settle_timeout_s: Seconds = 30.0
    hang_timeout_s: Seconds = 60.0
    blocked_s: Seconds = 10.0
    start_after_stop_by_hand: bool = False
    poll_interval_s: Annotated[float, Meta(ge=0.05, le=5)] = 0.5


class Layout(msgspec.Struct, frozen=True):
    """Where things are, below the project folder."""

    root: Path

    @property
    def programs(self) -> Path:
        """supervisord's configuration and the rendered programs."""
        return self.root / "supervisor.d"

    @property
    def supervisord_conf(self) -> Path:
        """supervisord's configuration."""
        return self.programs / "supervisord.conf"

    @property
    def run(self) -> Path:
        """Sockets, pid and lock files."""
        return self.root / "var" / "run"

    @property
    def supervisord_socket(self) -> Path:
        """supervisord's XML-RPC."""
        return self.run / "supervisord.sock"

    @property
    def gate_socket(self) -> Path:
        """The gate and the verbs that only the box's own people may use."""
        return self.run / "gate.sock"

    @property
    def hand_over_socket(self) -> Path:
        """Where who restarts the proxy keeps its port meanwhile."""
        return self.run / "hand-over.sock"

    @property
    def lock(self) -> Path:
        """Held by the one proxy that runs here."""
        return self.run / "proxy.lock"

    @property
    def state(self) -> Path:
        """What was learned, and what people decided, in small JSON files."""
        return self.root / "var" / "state"

    @property
    def keys(self) -> Path:
        """The keys, as hashes."""
        return self.root / "var" / "keys" / "keys.json"

    @property
    def audit(self) -> Path:
        """The audit, and its key."""
        return self.root / "var" / "audit"

    @property
    def kept_catalog(self) -> Path:
        """A copy of the last catalog that counted."""
        return self.state / "catalog"

    @property
    def caches(self) -> Path:
        """What vLLM compiles at first starts."""
        return self.root / "var" / "cache"

    @property
    def scratch(self) -> Path:
        """The engines' temporary files."""
        return self.run / "tmp"

    @property
    def logs(self) -> Path:
        """One log per program."""
        return self.root / "var" / "log"

    def log_of(self, program: str) -> Path:
        """The log of one program."""
        return self.logs / f"{program}.log"


def layout() -> Layout:
    """The project folder: `ROTA_ROOT`, or the checkout that this module is in."""
    return Layout(Path(os.environ.get("ROTA_ROOT") or Path(__file__).parents[1]).resolve())


def load_settings(root: Path, environ: Mapping[str, str]) -> Settings:
    """Read the file, if there is one, then the environment.

    Raises: CatalogError, which names the file and line, or the variable.
    """
    path = root / SETTINGS_FILE
    settings = read_struct(path, Settings) if path.exists() else Settings()
    known = fields_of(Settings)
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX) or variable in NOT_SETTINGS:
            continue
        key = variable.removeprefix(ENV_PREFIX).lower()
        if key not in known:
            allowed = [ENV_PREFIX + name.upper() for name in known]
            what = f"is no setting.{nearest(variable, allowed)} Allowed: {', '.join(allowed)}"
            raise CatalogError(Path(variable), None, None, what)
        if not environ[variable]:
            continue  # `ROTA_CATALOG= make run`: as good as not set
        settings = _with(settings, key, environ[variable], variable)
    return settings


def check_port(settings: Settings, catalog: Catalog) -> None:
    """Raises: CatalogError for a model that would listen where the proxy does."""
    for spec in catalog.models.values():
        if spec.port == settings.listen_port:
            what = f"{spec.port} is the proxy's own port (setting listen_port): give {spec.name} another"
            raise wrong_at(catalog.folder / f"{spec.name}.yaml", ["port"], what)


def _with(settings: Settings, key: str, text: str, variable: str) -> Settings:
    """`settings` with the one in `variable` set to `text`. Raises: CatalogError."""
    field = next(field for field in msgspec.structs.fields(Settings) if field.encode_name == key)
    try:
        value: object = float(text) if key.endswith("_gib") else text
        if isinstance(field.default, tuple):
            value = [one.strip() for one in text.split(",")]
        converted = msgspec.convert(value, field.type, strict=False, dec_hook=decode_gib)
    except (msgspec.ValidationError, ValueError) as error:
        raise CatalogError(Path(variable), None, None, f"{error}; it is '{text}'") from error
    return msgspec.structs.replace(settings, **{field.name: converted})
