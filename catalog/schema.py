"""The types of a YAML file as JSON Schema, with what is said of each key; and the same as rows for the reference. Pure.

What a key is for stands behind it in the source, as a string, where Python keeps it for nobody: it is read from there.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from catalog.spec import Gib

_LIMITS = (("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"), ("maxLength", "of at most"))
_WORDS = {"integer": "whole number", "string": "text", "boolean": "true or false"}
_MANY = 3
"""Of more types than so many it is said that it may be any."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a file: its type and limits in words, its default as it would be written, what it is for."""

    name: str
    type: str
    default: str | None
    """None: it must be given."""
    what: str


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema of `kind`, a struct."""
    made = msgspec.json.schema(kind, schema_hook=_gib_schema)
    for name, definition in made.get("$defs", {}).items():
        said = said_of(_structs(kind)[name])
        for key, told in definition.get("properties", {}).items():
            if key in said:
                told["description"] = f"{said[key]} ({told['description']})" if "description" in told else said[key]
    return made


def keys(kind: type) -> Iterator[Key]:
    """The keys of `kind`, a struct, as they stand in YAML."""
    made = msgspec.json.schema(kind, schema_hook=_gib_schema)
    definition, said = made["$defs"][kind.__name__], said_of(kind)
    for name, told in definition["properties"].items():
        is_needed = name in definition.get("required", ())
        default = None if is_needed else _written(told.get("default"))
        yield Key(name, _in_words(told), default, said.get(name, ""))


def said_of(kind: type) -> dict[str, str]:
    """What the source says of each field of `kind`, by the name that it has in YAML."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    if not isinstance(tree, ast.ClassDef):
        raise TypeError(f"{kind} is no class")
    names = {one.name: one.encode_name for one in msgspec.structs.fields(kind)}
    said: dict[str, str] = {}
    for field, behind in zip(tree.body, tree.body[1:], strict=False):
        match field, behind:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                said[names[name]] = " ".join(text.split())
            case _:
                pass
    return said


def _structs(kind: type) -> dict[str, type]:
    """`kind` and all structs that it is made of, by name."""
    info = msgspec.inspect.type_info(kind)
    found: dict[str, type] = {}

    def look(one: Any) -> None:
        if isinstance(one, msgspec.inspect.StructType) and one.cls.__name__ not in found:
            found[one.cls.__name__] = one.cls
            for field in one.fields:
                look(field.type)
        for name in ("types", "item_types"):
            for part in getattr(one, name, ()):
                look(part)
        for name in ("item_type", "value_type", "type"):
            if (part := getattr(one, name, None)) is not None:
                look(part)

    look(info)
    return found


def _gib_schema(kind: type) -> dict[str, Any]:
    if kind is Gib:
        return {"type": "number", "exclusiveMinimum": 0, "description": "GiB"}
    raise NotImplementedError(kind)


def _in_words(told: dict[str, Any]) -> str:
    """A property's type, with its limits."""
    if "anyOf" in told:
        if len(told["anyOf"]) > _MANY:
            return "any value"
        return " or ".join(words for one in told["anyOf"] if (words := _in_words(one)) not in ("null", ""))
    if "$ref" in told:
        name = told["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    kind = told.get("type", "any value")
    if kind == "array":
        return f"list of {_in_words(told.get('items', {}))}"
    if kind == "object":
        inner = told.get("additionalProperties")
        return f"names with {_in_words(inner)} each" if isinstance(inner, dict) and inner else "names with values"
    limits = [f"{word} {told[name]}" for name, word in _LIMITS if name in told]
    described = told.get("description")
    unit = "GiB" if described == "GiB" else _WORDS.get(kind, kind)
    return ", ".join([unit, *limits]) + (f" ({described})" if described not in (None, "GiB") else "")


def _written(default: object) -> str:
    match default:
        case None:
            return "absent"
        case bool():
            return str(default).lower()
        case [] | () | {} | "":
            return "empty"
        case float():
            return f"{default:g}"
        case _:
            return str(default)
