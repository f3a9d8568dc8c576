"""The struct and the folder here are the test's own, so that what is tested is the reading, not the catalog."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st

from catalog.spec import GIB, Gib
from catalog.yaml_file import CatalogError, decode_gib, fields_of, read_struct, wrong_at


class Leaf(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    colour: str = ""


class Inner(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    model: str
    weight: int = 1
    leaf: Leaf | None = None


class Outer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"size_bytes": "size_gib"}):
    name: str
    size_bytes: Gib = Gib(GIB)
    tags: list[str] = []
    env: dict[str, str] = {}
    one: Inner | None = None
    by_name: dict[str, Inner] = {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outer.yaml"


def error_in(file: Path, text: str | bytes) -> CatalogError:
    """Read `text` from the file; returns the error, after checking that it names the file."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(CatalogError) as caught:
        read_struct(file, Outer)
    assert str(caught.value).startswith(f"{file}:")
    return caught.value


def test_a_good_file_is_read_with_gib_as_bytes(file: Path) -> None:
    file.write_text("# a comment\nname: ä\nsize_gib: 0.5\nby_name:\n  A: {model: m}\n")
    assert read_struct(file, Outer) == Outer(name="ä", size_bytes=Gib(GIB // 2), by_name={"A": Inner(model="m")})


def test_an_unknown_key_is_named_with_its_line_and_what_is_allowed(file: Path) -> None:
    error = error_in(file, "name: x\n\n# why\nsiz_gib: 3\n")
    assert (error.line, error.key) == (4, "siz_gib")
    assert "Did you mean 'size_gib'?" in error.what
    assert f"Allowed: {', '.join(fields_of(Outer))}" in error.what
    assert str(error) == f"{file}:4: siz_gib: {error.what}"


def test_an_unknown_key_like_none_gets_no_suggestion(file: Path) -> None:
    error = error_in(file, "name: x\nqqqqqq: 3\n")
    assert "Did you mean" not in error.what
    assert "Allowed: name, size_gib" in error.what


def test_a_missing_key_is_named(file: Path) -> None:
    error = error_in(file, "size_gib: 3\n")
    assert (error.line, error.what) == (1, "the required key 'name' is missing")


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("name: [x]\n", 1, "name", "Expected `str`, got `array`"),
        ("name:\n", 1, "name", "Expected `str`, got `null`"),
        ("name: yes\n", 1, "name", "Expected `str`, got `bool`"),
        ("name: x\ntags: y\n", 2, "tags", "Expected `array`, got `str`"),
        ("name: x\ntags:\n  - y\n  - 3\n", 4, "tags.1", "Expected `str`, got `int`"),
        ("name: x\nenv:\n  A: y\n  B: 1\n", 4, "env.B", "Expected `str`, got `int`"),
        ("name: x\nenv:\n  A: y\n  b.c: 1\n", 4, "env.b.c", "Expected `str`, got `int`"),
        ("name: x\none: y\n", 2, "one", "Expected `object | null`, got `str`"),
        ("name: x\none:\n  model: y\n  weight: z\n", 4, "one.weight", "Expected `int`, got `str`"),
        ("name: x\none:\n  weight: 2\n", 2, "one", "the required key 'model' is missing"),
        ("name: x\none:\n  model: y\n  wieght: 2\n", 4, "one.wieght", "Did you mean 'weight'? Allowed: model, weight"),
        (
            "name: x\none:\n  model: y\n  leaf: {color: z}\n",
            4,
            "one.leaf.color",
            "Did you mean 'colour'? Allowed: colour",
        ),
        ("name: x\nby_name: {A: {model: a}, B: {mdel: b}}\n", 2, "by_name.B.mdel", "Did you mean 'model'?"),
        ("name: x\nby_name:\n  A: {model: a}\n  B: {mdel: b}\n", 4, "by_name.B.mdel", "Allowed: model, weight"),
        ("name: x\nby_name:\n  A: {model: a}\n  B: {}\n", 4, "by_name.B", "the required key 'model' is missing"),
        ("name: x\nby_name:\n  A: {model: a}\n  B:\n", 4, "by_name.B", "Expected `object`, got `null`"),
        ("name: x\nby_name:\n  A: {model: a}\n  B:\n    model: 3\n", 5, "by_name.B.model", "Expected `str`, got `int`"),
        ("name: x\nname: y\n", 2, "name", "stands twice"),
        ("name: x\nby_name:\n  A:\n    model: a\n    model: b\n", 5, "model", "stands twice"),
        ("name: x\ntags:\n  - {a: 1, a: 2}\n", 3, "a", "stands twice"),
        ("name: x\r\nsize_gib: z\r\n", 2, "size_gib", "Expected a number of GiB, got `str`"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_key(file: Path, text: str, line: int, key: str, says: str) -> None:
    error = error_in(file, text)
    assert (error.line, error.key) == (line, key)
    assert says in error.what


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: x\n  size_gib: [\n", 2, "is not YAML: mapping values are not allowed"),
        ("name: x\n\tsize_gib: 1\n", 2, "is not YAML: found character '\\t'"),
        ("name: x\ntags: [a, b\n", 3, "is not YAML: expected ',' or ']'"),
        ("name: *x\n", 1, "is not YAML: found undefined alias"),
        ("name: x\nenv: !!python/object:os.system {}\n", 2, "is not YAML: could not determine a constructor"),
        ("name: x\n---\nname: y\n", 2, "is not YAML: but found another document"),
        ("name: x\n[a]: y\n", 2, "a key must be text, and YAML reads this one as seq"),
        ("name: \0\n", None, "is not YAML: unacceptable character"),
        (b"name: \xff\n", None, "is not UTF-8 text"),
        ("", 1, "the required key 'name' is missing"),
        ("# nothing\n", 1, "the required key 'name' is missing"),
        ("- name\n", 1, "must be a mapping of keys to values; keys: name, size_gib"),
        ("just words\n", 1, "must be a mapping"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_says_so(file: Path, text: str | bytes, line: int | None, says: str) -> None:
    error = error_in(file, text)
    assert (error.line, error.key) == (line, None)
    assert says in error.what


def test_a_file_that_is_not_there_and_one_that_is_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no\.yaml: cannot be read: No such file"):
        read_struct(tmp_path / "no.yaml", Outer)
    with pytest.raises(CatalogError, match="cannot be read: Is a directory"):
        read_struct(tmp_path, Outer)


@pytest.mark.parametrize("amount", ["0", "-1", ".nan", ".inf", "-.inf", "1048576", "true", "'2'", "2GiB", "null"])
def test_an_amount_that_is_no_positive_number_of_gib_is_refused(file: Path, amount: str) -> None:
    error = error_in(file, f"name: x\nsize_gib: {amount}\n")
    assert (error.line, error.key) == (2, "size_gib")
    assert "Expected a number of GiB" in error.what


@given(st.floats(min_value=2**-29, max_value=2**20, exclude_max=True))
def test_an_amount_in_gib_is_that_many_bytes_rounded_to_the_nearest(gib: float) -> None:
    assert abs(decode_gib(Gib, gib) - gib * GIB) <= 0.5


def test_a_value_found_wrong_after_reading_is_located_as_deep_as_the_file_goes(file: Path) -> None:
    file.write_text("name: x\nby_name:\n  A: {model: a}\n  B:\n    model: b\n")
    assert wrong_at(file, ["by_name", "B", "model"], "x").line == 5
    assert wrong_at(file, ["by_name", "A", "model"], "x").line == 3
    assert wrong_at(file, ["by_name", "C", "model"], "x").line == 2
