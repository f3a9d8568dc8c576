from typing import Any

import pytest

from catalog.check.remedies import again, anew, convert, download
from catalog.spec import Gib, ModelSpec, Source


def spec_of(source: Source | None, weights: str = "/w/m") -> ModelSpec:
    fixed: dict[str, Any] = {"name": "m", "port": 8101, "max_model_len": 9, "memory_bytes": Gib(1)}
    return ModelSpec(**fixed, weights=weights, source=source)


ANEW = "move /w/m away, then bin/manage_vllm.sh download m"
REPAIR = "bin/manage_vllm.sh download m --repair"


@pytest.mark.parametrize(
    ("source", "has_manifest", "repo", "remedy"),
    [
        (Source(repo="o/m"), True, "o/m", REPAIR),
        (Source(repo="o/m"), True, "o/x", ANEW),
        (Source(repo="o/m"), False, None, ANEW),
        (Source(file="/x.gguf"), True, "/x.gguf", REPAIR),
        (Source(file="/x.gguf"), True, "/y.gguf", ANEW),
        (Source(pypi="p==1", path="x"), False, None, ANEW),
        (None, True, "o/m", "put it there again: the catalog names no source for it"),
    ],
)
def test_what_is_damaged_is_repaired_where_that_can_be_done(
    source: Source | None, has_manifest: bool, repo: str | None, remedy: str
) -> None:
    assert again(spec_of(source), has_manifest=has_manifest, repo=repo) == remedy


def test_of_a_gguf_file_that_is_served_the_folder_is_moved_away() -> None:
    assert anew(spec_of(None, "/w/g/m.gguf")) == "move /w/g away, then bin/manage_vllm.sh download m"
    assert download(spec_of(None)) == "bin/manage_vllm.sh download m"


def test_a_path_with_a_blank_is_one_word_of_the_command() -> None:
    assert convert(spec_of(None, "/w/a b")) == (
        "in the project folder: mv '/w/a b' '/w/a b.original' && .venv-vllm/bin/python -m catalog.convert "
        "'/w/a b.original' '/w/a b'"
    )
