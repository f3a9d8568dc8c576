"""The commands that mend what `check` finds. Pure.

Rule: each works as it is written, in the state in which it is told: `download` leaves alone what is there and has no
manifest of its own, and converts only what it brings.
"""

import shlex

from catalog.spec import ModelSpec


def download(spec: ModelSpec) -> str:
    """Brings it where nothing is, or goes on with it."""
    return f"bin/manage_vllm.sh download {spec.name}"


def again(spec: ModelSpec, *, has_manifest: bool, repo: str | None) -> str:
    """Brings what is wrong of a model that is there, downloaded from `repo` if its manifest is there to say so."""
    if spec.source is None:
        return "put it there again: the catalog names no source for it"
    named = spec.source.repo or spec.source.file
    is_of_another = repo is not None and named is not None and repo != named
    return f"{download(spec)} --repair" if has_manifest and not is_of_another else anew(spec)


def anew(spec: ModelSpec) -> str:
    """Brings all of a model in the place of what is there."""
    folder = str(spec.folder)
    return f"move {folder} away, then {download(spec)}"


def convert(spec: ModelSpec) -> str:
    """Converts a checkpoint that was put in place as it is."""
    at, original = shlex.quote(spec.weights), shlex.quote(f"{spec.weights}.original")
    return f"in the project folder: mv {at} {original} && .venv-vllm/bin/python -m catalog.convert {original} {at}"
