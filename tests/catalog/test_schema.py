"""The types as JSON Schema and as rows: limits, defaults, and what the source says of each key."""

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from catalog.schema import Key, keys, said_of, schema
from catalog.spec import Gib


class Inner(msgspec.Struct):
    """Inside."""

    size: int = 1
    """How large."""


class Outer(msgspec.Struct, rename={"memory_bytes": "memory_gib"}):
    """Outside."""

    name: Annotated[str, Meta(min_length=1, max_length=9, description="short")]
    """What it is
    called."""
    memory_bytes: Gib
    """What it takes."""
    unsaid: bool = False
    parts: tuple[Inner, ...] = ()
    """What it is made of."""
    level: Annotated[int, Meta(ge=1, le=2)] | None = None
    """Which."""
    more: dict[str, str] = {}
    """And so on."""


def test_the_string_behind_a_field_is_what_is_said_of_it_by_its_name_in_yaml() -> None:
    said = said_of(Outer)
    assert said["name"] == "What it is called."
    assert said["memory_gib"] == "What it takes."
    assert "unsaid" not in said


def test_a_row_has_type_limits_and_default_in_words() -> None:
    assert list(keys(Outer)) == [
        Key("name", "text, of at most 9 (short)", None, "What it is called."),
        Key("memory_gib", "GiB, above 0", None, "What it takes."),
        Key("unsaid", "true or false", "false", ""),
        Key("parts", "list of [Inner](#inner)", "empty", "What it is made of."),
        Key("level", "whole number, at least 1, at most 2", "absent", "Which."),
        Key("more", "names with text each", "empty", "And so on."),
    ]


def test_the_schema_has_what_is_said_for_editors_also_of_what_is_inside() -> None:
    definitions = schema(Outer)["$defs"]
    assert definitions["Outer"]["properties"]["name"]["description"] == "What it is called. (short)"
    assert definitions["Outer"]["properties"]["memory_gib"]["description"] == "What it takes. (GiB)"
    assert definitions["Inner"]["properties"]["size"]["description"] == "How large."


def test_what_is_no_class_has_no_fields() -> None:
    with pytest.raises(TypeError):
        said_of(test_what_is_no_class_has_no_fields)  # type: ignore[arg-type]
