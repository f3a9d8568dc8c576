"""The hardware plan as a person reads it, at 100 columns. Pure."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100


def hardware_lines(plan: Mapping[str, Any], *, explain: bool = False) -> Iterator[str]:
    """The devices, the models, what does not fit and what can, what fits at once, who answers; then, if `explain`, the
    parts of every estimate with their formulas and sources.
    """
    yield from _devices(plan["devices"])
    yield ""
    yield from _table(plan["models"])
    for model in plan["models"]:
        yield from _refused(model)
    yield from _together(plan)
    yield from _agents(plan["agents"])
    yield from _notes(plan["models"])
    if explain:
        for model in plan["models"]:
            yield from _explained(model)


def _devices(devices: list[Mapping[str, Any]]) -> Iterator[str]:
    for device in devices:
        sold = "" if device["sold_gib"] is None else f"sold as {device['sold_gib']:g} GB; a driver shows "
        shown = f"{device['total_gib']:.2f} GiB"
        yield from _wrapped(f"{device['name']}: {sold}{shown}; models together may use {device['for_models_gib']:.2f}")
    if reckoned := [device["name"] for device in devices if device["total_is_reckoned"]]:
        what = f"what a driver shows of {', '.join(reckoned)} is reckoned in proportion to an RTX 3090's, 23.69 of 24"
        yield from _wrapped(f"({what})", hang=1)


def _table(models: list[Mapping[str, Any]]) -> Iterator[str]:
    wide = max([len(model["model"]) for model in models] + [5]) + 1
    heads = f"{'NEEDS':>7}{'DECLARES':>10}  {'FITS':<5}{'CONTEXT':>8}{'LONGEST':>9}{'AT ONCE':>9}{'ALONE':>10}"
    yield f"{'MODEL':<{wide}}{heads}"
    for model in models:
        cells = [
            f"{model['model']:<{wide}}",
            f"{_number(model['need_gib'], '.2f'):>7}",
            f"{model['declared_gib']:>10.2f}",
            f"  {'yes' if model['fits'] else 'NO':<5}",
            f"{model['max_model_len']:>8}",
            f"{_number(model['max_context'], 'd'):>9}",
            f"{_number(model['max_concurrency'], 'd'):>9}",
            f"{_number(model['alone_kv_tokens'], 'd'):>10}",
        ]
        yield "".join(cells)
    yield from _wrapped(
        "NEEDS: the estimate with one request of full length, GiB a device. DECLARES: memory_gib, what the ledger "
        "reserves. LONGEST: the longest context of which one request fits. AT ONCE: requests of full length. Both "
        "within what models may use. ALONE: tokens of KV cache at vLLM's own share, 0.92 of what the driver shows."
    )


def _refused(model: Mapping[str, Any]) -> Iterator[str]:
    if model["fits"]:
        return
    yield ""
    yield from _wrapped(f"{model['model']} does not fit: {model['reason']}")
    first, *others = model["options"] or ["nothing that is known here"]
    yield from _wrapped(f"    instead: {first}")
    for other in others:
        yield from _wrapped(f"         or: {other}")


def _together(plan: Mapping[str, Any]) -> Iterator[str]:
    if not plan["sets"]:
        return
    yield ""
    yield "Awake at once:"
    for one in plan["sets"]:
        left = ", ".join(f"{name} {free:.2f}" for name, free in one["free_gib"].items())
        yield from _wrapped(f"  {' + '.join(one['models'])}  (GiB left: {left})")
    if not plan["sets_are_all"]:
        yield "  ... and more: not all were looked at"
    if plan["apart"]:
        yield "Not at once, each the other's swap:"
        for one in plan["apart"]:
            yield from _wrapped(f"  {' and '.join(one['models'])}: {one['short_gib']:.2f} GiB short")


def _agents(agents: list[Mapping[str, Any]]) -> Iterator[str]:
    if not agents:
        return
    yield ""
    yield "Who answers:"
    wide = max(len(agent["agent_type"]) for agent in agents) + 1
    for agent in agents:
        is_first = agent["answered_by"] == agent["model"]
        said = f"{agent['model']} answers" if is_first else agent["why"]
        yield from _wrapped(f"  {agent['agent_type'] + ':':<{wide}} {said}")


def _notes(models: list[Mapping[str, Any]]) -> Iterator[str]:
    about: dict[str, list[str]] = {}
    for model in models:
        for note in model["notes"]:
            about.setdefault(note, []).append(model["model"])
    if about:
        yield ""
        yield "Assumed, or to look at:"
    for note, names in about.items():
        yield from _wrapped(f"  {', '.join(names)}: {note}")


def _explained(model: Mapping[str, Any]) -> Iterator[str]:
    told = model["estimate"]
    if told is None:
        return
    yield ""
    yield from _wrapped(f"{model['model']} ({told['architecture']}), {told['origin']}:")
    for part in told["parts"]:
        source = f" [{part['source']}]" if part["source"] else ""
        yield from _wrapped(f"  {part['gib']:>7.2f} GiB  {part['part']}: {part['formula']}{source}", hang=15)
    yield f"  {model['need_gib']:>7.2f} GiB  in all; {told['startup_peak_gib']:.2f} GiB at most while it starts"
    asked = f"KV for {model['max_num_seqs']} such requests at once: {told['kv_asked_gib']:.2f} GiB"
    limit = told["longest_context_of_the_model"]
    yield f"{'':15}{asked}" + ("" if limit is None else f"; the model's own limit: {limit} tokens")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _wrapped(line: str, hang: int | None = None) -> list[str]:
    indent = hang if hang is not None else len(line) - len(line.lstrip()) + 4
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False) or [""]
