"""Flags and templates that vLLM refuses, each put to the installed one."""

import json
import re
from pathlib import Path

import pytest

from catalog.check.check import Aspect
from catalog.check.vllm_question import Case, Fault
from catalog.load import load
from tests.catalog.check.vllm_cases import BERT, CONFIGS, LLAMA, asked, asked_of, put_to_vllm
from tests.installation import CHECKOUT

pytestmark = pytest.mark.vllm

BAD: list[tuple[Case, str, str]] = [
    (
        asked("typo", vllm_args={"enforce-eagr": True}),
        "this vLLM has no flag 'enforce-eagr'",
        "Did you mean 'enforce-eager'?",
    ),
    (asked("unknown", vllm_args={"zzz": 1}), "this vLLM has no flag 'zzz'", "take it out of 'vllm_args'"),
    (asked("wrong-type", vllm_args={"max-num-batched-tokens": "many"}), "^--max-num-batched-tokens: .*many", ""),
    (asked("wrong-choice", dtype="float17"), "^--dtype: .*'float17'", ""),
    (asked("too-many", vllm_args={"seed": [1, 2]}), "more values than it takes: 2", ""),
    (asked("wrong-key", BERT, embedder=True, vllm_args={"pooler-config": {"pooling": "MEAN"}}), "pooling", ""),
    (asked("ends", vllm_args={"help": True}), "makes vLLM end at once", ""),
    (asked("half", vllm_args={"enable-auto-tool-choice": True}), "requires --tool-call-parser", ""),
]


@pytest.fixture(scope="module")
def bad_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("t") / "bad.jinja"
    path.write_text("{%- for message in messages -%}\n{{ message['content'] }\n{%- endfor -%}")
    return path


@pytest.fixture(scope="module")
def found(bad_template: Path) -> dict[str, list[Fault]]:
    cases = [case for case, _, _ in BAD]
    cases += [asked("template", chat_template=str(bad_template)), asked("no-template", chat_template="/no/such.jinja")]
    cases += [asked("good"), asked("known-by-flags-alone", None)]
    for folder in ("models", "demo"):
        for spec in load(CHECKOUT / "catalog" / folder, CHECKOUT).models.values():
            shipped = CONFIGS / f"{spec.name}.json"
            cases.append(asked_of(spec, json.loads(shipped.read_text()) if shipped.exists() else None))
    return put_to_vllm(cases)


@pytest.mark.parametrize(("case", "what", "remedy"), BAD, ids=[case.model for case, _, _ in BAD])
def test_a_flag_that_vllm_refuses_is_one_line_that_says_what_and_what_to_do(
    found: dict[str, list[Fault]], case: Case, what: str, remedy: str
) -> None:
    [fault] = found[case.model]
    assert (fault.aspect, bool(re.search(what, fault.what))) == (Aspect.FLAGS, True), fault
    assert remedy in (fault.remedy or ""), fault
    assert "\n" not in fault.what


def test_good_flags_have_no_fault_also_where_nothing_else_is_known(found: dict[str, list[Fault]]) -> None:
    assert (found["good"], found["known-by-flags-alone"]) == ([], [])


def test_a_template_that_does_not_parse_is_told_with_its_line(
    found: dict[str, list[Fault]], bad_template: Path
) -> None:
    [fault] = found["template"]
    assert fault.aspect is Aspect.TEMPLATE
    assert f"{bad_template}, line 2 does not parse" in fault.what


def test_a_template_that_is_not_there_is_told(found: dict[str, list[Fault]]) -> None:
    [fault] = found["no-template"]
    assert (fault.aspect, "/no/such.jinja" in fault.what) == (Aspect.TEMPLATE, True)


def test_both_catalogs_of_this_project_are_such_as_vllm_takes(found: dict[str, list[Fault]]) -> None:
    names = [name for name in found if (CONFIGS / f"{name}.json").exists() or name.startswith("demo-")]
    faults = {name: found[name] for name in names if found[name]}
    assert len(names) == 10
    assert faults == {}


def test_the_variables_of_one_model_are_not_there_for_the_next(found: dict[str, list[Fault]]) -> None:
    allowed = asked("long", LLAMA, max_model_len=4096, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})
    told = put_to_vllm([allowed, asked("longer", LLAMA, max_model_len=4096)])
    assert (told["long"], [fault.aspect for fault in told["longer"]]) == ([], [Aspect.CONTEXT])
