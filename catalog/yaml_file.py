"""Decodes one YAML file into one typed struct, and says exactly where a wrong file is wrong.

Rule: a wrong file gives a `CatalogError` that names the file, the line, the key, what is wrong and what is allowed.
msgspec says what is wrong and at which path (`$.env.PORT`); the YAML node tree, kept beside the values, says on
which line that path stands.
"""

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from catalog.spec import GIB, Gib
from catalog.suggest import nearest

T = TypeVar("T", bound=msgspec.Struct)

_AT_PATH = re.compile(r"^(?P<what>.*) - at (?:`key` in )?`(?P<path>\$[^`]*)`$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<field>.*)`")
_MISSING_FIELD = re.compile(r"missing required field `(?P<field>.*)`")
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
_MAP, _STRING = "tag:yaml.org,2002:map", "tag:yaml.org,2002:str"
_START = yaml.Mark("", 0, 0, 0, None, 0)
_WHAT_YAML_LETS_THROUGH = (ValueError, KeyError, AttributeError, TypeError, RecursionError)
"""What Python raises in its constructors for a date that is none, a bad tag, a loop of anchors."""


class CatalogError(Exception):
    """A file of the catalog, or the settings, is wrong; the message says where and how."""

    def __init__(self, path: Path, line: int | None, key: str | None, what: str) -> None:
        self.path, self.line, self.key, self.what = path, line, key, what
        where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{where}: {key}: {what}" if key else f"{where}: {what}")


def read_struct(path: Path, type_: type[T]) -> T:
    """Read the YAML file at `path` as a `type_`.

    Raises: CatalogError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(path, None, None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(path, None, None, "is not UTF-8 text") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader) or yaml.MappingNode(_MAP, [], _START, _START)
        if not isinstance(node, yaml.MappingNode):
            allowed = ", ".join(fields_of(type_))
            raise CatalogError(path, 1, None, f"must be a mapping of keys to values; keys: {allowed}")
        _check_keys(path, node)
        values = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise CatalogError(path, line, None, f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise CatalogError(path, None, None, f"is not YAML: {error}") from error
    except _WHAT_YAML_LETS_THROUGH as error:
        raise CatalogError(path, None, None, f"is not YAML that can be read: {error}") from error
    try:
        return msgspec.convert(values, type_, dec_hook=decode_gib)
    except msgspec.ValidationError as error:
        raise _located(path, node, type_, str(error), values) from error


def decode_gib(type_: type[Any], value: Any) -> Any:
    """Turn a YAML number of GiB into bytes (msgspec's `dec_hook`).

    Raises: ValueError for what is no positive finite number, NotImplementedError for another type.
    """
    if type_ is not Gib:
        raise NotImplementedError(type_)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"Expected a number of GiB, got `{type(value).__name__}`")
    if not 1 <= value * GIB < 2**50:
        raise ValueError("Expected a number of GiB above 0 and below 1048576")
    return Gib(round(value * GIB))


def fields_of(type_: type[msgspec.Struct]) -> list[str]:
    """The keys that a file of `type_` may have, as they are written in YAML."""
    return [field.encode_name for field in msgspec.structs.fields(type_)]


def wrong_at(path: Path, keys: list[str], what: str) -> CatalogError:
    """The error for a value that has the right type and still cannot stand: found after the file was read."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = None if node is None else _line(node, keys)
    return CatalogError(path, line, ".".join(keys), what)


def _check_keys(path: Path, node: yaml.Node) -> None:
    """YAML lets a repeated key win in silence, and reads `yes` as true; here both are errors.

    Raises: CatalogError, RecursionError for an anchor inside itself.
    """
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag != _STRING:
                what = f"a key must be text, and YAML reads this one as {key.tag.rpartition(':')[2]}: put it in quotes"
                name = key.value if isinstance(key, yaml.ScalarNode) else None
                raise CatalogError(path, key.start_mark.line + 1, name, what)
            if key.value in seen:
                raise CatalogError(path, key.start_mark.line + 1, key.value, "stands twice in the same mapping")
            seen.add(key.value)
            _check_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, item)


def _located(path: Path, node: yaml.Node, type_: type[msgspec.Struct], message: str, values: Any) -> CatalogError:
    """Turn msgspec's message into one with a line and, for a wrong key, with the keys that are allowed."""
    match = _AT_PATH.match(message)
    what, where = (match["what"], match["path"]) if match else (message, "$")
    keys = [step["key"] or step["index"] for step in _STEP.finditer(where)]
    if "..." in keys:
        keys[keys.index("...")] = _entry_at_fault(type_, values, keys[: keys.index("...")], message)
    owner = _struct_at(type_, keys)
    if unknown := _UNKNOWN_FIELD.search(what):
        keys.append(unknown["field"])
        allowed = fields_of(owner)
        what = f"is not a known key.{nearest(unknown['field'], allowed)} Allowed: {', '.join(allowed)}"
    elif missing := _MISSING_FIELD.search(what):
        what = f"the required key '{missing['field']}' is missing"
    return CatalogError(path, _line(node, keys), ".".join(keys) or None, what)


def _entry_at_fault(type_: type[msgspec.Struct], values: Any, keys: list[str], message: str) -> str:
    """Which entry of the mapping at `keys` gives this message; msgspec's path says `[...]` for all of them."""
    match keys:
        case []:
            trials = {key: {key: value} for key, value in values.items()}
        case [only]:
            trials = {key: {**values, only: {key: value}} for key, value in values[only].items()}
        case _:
            return "..."
    for key, trial in trials.items():
        try:
            msgspec.convert(trial, type_, dec_hook=decode_gib)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return "..."


def _struct_at(type_: type[msgspec.Struct], keys: list[str]) -> type[msgspec.Struct]:
    """The struct that the value at `keys` is decoded into: the last one met on the way."""
    owner: type[msgspec.Struct] = type_
    reached: Any = msgspec.inspect.type_info(type_)
    for key in keys:
        if isinstance(reached, msgspec.inspect.UnionType):
            structs = [kind for kind in reached.types if isinstance(kind, msgspec.inspect.StructType)]
            reached = structs[0] if structs else None
        match reached:
            case msgspec.inspect.StructType(fields=fields):
                reached = next((field.type for field in fields if field.encode_name == key), None)
            case msgspec.inspect.DictType(value_type=value_type):
                reached = value_type
            case _:
                return owner
        structs = [
            kind for kind in getattr(reached, "types", (reached,)) if isinstance(kind, msgspec.inspect.StructType)
        ]
        if structs:
            owner = structs[0].cls
    return owner


def _line(node: yaml.Node, keys: list[str]) -> int:
    """The line on which the value at `keys` begins, or the nearest one around it that is there."""
    line: int = node.start_mark.line + 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == key), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit():
            node = node.value[int(key)]
            line = node.start_mark.line + 1
    return line
