import configparser
import json
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.load import load
from catalog.render import CUDA_CONTEXT_BYTES, OWN_FLAGS, STOP_WAIT_S, canonical_flag, launch, program_text, schemas
from catalog.spec import GIB, Gib, ModelSpec
from catalog.yaml_file import fields_of
from tests.fake_vllm import parse
from tests.installation import CHECKOUT

DEMO = load(CHECKOUT / "catalog" / "demo", CHECKOUT)


def spec_of(**more: Any) -> ModelSpec:
    fixed = {"name": "a", "weights": "/w", "port": 8101, "max_model_len": 2048}
    return ModelSpec(**{**fixed, "memory_bytes": Gib(10 * GIB), "kv_cache_bytes": Gib(GIB), **more})


def argv_of(spec: ModelSpec, device_total_bytes: int | None = None) -> list[str]:
    return launch(spec, "/vllm", device_total_bytes).argv


@pytest.mark.parametrize("total_bytes", [None, 80 * GIB], ids=["cpu", "gpu"])
@pytest.mark.parametrize("name", sorted(DEMO.models))
def test_the_strict_parser_takes_every_flag_of_the_demo(name: str, total_bytes: int | None) -> None:
    spec = DEMO.models[name]
    executable, *flags = argv_of(spec, total_bytes)
    parsed = parse(flags)
    assert (executable, parsed.model, parsed.served_model_name) == ("/vllm", spec.weights, [name])
    assert (parsed.host, parsed.port) == ("127.0.0.1", spec.port)
    assert parsed.kv_cache_memory_bytes == spec.kv_cache_bytes
    assert (parsed.max_model_len, parsed.max_num_seqs) == (spec.max_model_len, spec.max_num_seqs)
    assert (parsed.dtype, parsed.chat_template) == (spec.dtype, spec.chat_template)
    assert parsed.runner == ("pooling" if spec.embedder else "auto")
    assert parsed.enforce_eager == spec.vllm_args["enforce-eager"]
    prompt = None if spec.system_prompt is None else {"default_system_prompt": spec.system_prompt}
    assert parsed.default_chat_template_kwargs == prompt
    assert parsed.enable_request_id_headers


def test_an_engine_stops_by_itself_before_supervisord_loses_patience() -> None:
    assert parse(argv_of(spec_of())[1:]).shutdown_timeout < STOP_WAIT_S


def test_the_share_of_memory_is_given_on_a_gpu_only() -> None:
    assert "--gpu-memory-utilization" not in argv_of(spec_of())
    assert parse(argv_of(spec_of(), 100 * GIB)[1:]).gpu_memory_utilization == 0.095


@given(memory=st.integers(min_value=GIB, max_value=200 * GIB), spare=st.integers(min_value=0, max_value=200 * GIB))
def test_the_share_never_asks_for_more_than_is_reserved(memory: int, spare: int) -> None:
    total = memory + spare
    share = parse(argv_of(spec_of(memory_bytes=Gib(memory)), total)[1:]).gpu_memory_utilization
    assert 0.01 <= share <= 0.99
    if share > 0.01:
        assert share * total <= memory - CUDA_CONTEXT_BYTES + 1
        assert share == 0.99 or (share + 0.0001) * total >= memory - CUDA_CONTEXT_BYTES - 1, "not needlessly little"


def test_a_spec_with_an_executable_of_its_own_is_served_by_it() -> None:
    assert argv_of(spec_of(vllm="/mine"))[:3] == ["/mine", "serve", "/w"]


@pytest.mark.parametrize(
    ("flag", "value", "rendered"),
    [
        ("enforce-eager", True, ["--enforce-eager"]),
        ("enable_prefix_caching", False, ["--no-enable-prefix-caching"]),
        ("--max_num_batched_tokens", 512, ["--max-num-batched-tokens", "512"]),
        ("swap-space", 0.5, ["--swap-space", "0.5"]),
        ("quantization", "awq", ["--quantization", "awq"]),
        ("middleware", ["a.b", "c.d"], ["--middleware", "a.b", "c.d"]),
        ("hf-overrides", {"a": [1, None, True]}, ["--hf-overrides", '{"a": [1, null, true]}']),
    ],
)
def test_further_flags_are_rendered_by_their_type(flag: str, value: Any, rendered: list[str]) -> None:
    assert argv_of(spec_of(vllm_args={flag: value}))[-len(rendered) :] == rendered


def test_a_flag_that_vllm_does_not_have_is_passed_on_and_refused_there() -> None:
    with pytest.raises(SystemExit):
        parse(argv_of(spec_of(vllm_args={"no-such-flag": True}))[1:])


def test_what_a_key_of_the_spec_sets_cannot_be_set_by_vllm_args_too() -> None:
    argv = argv_of(spec_of(embedder=True, chat_template="t"), GIB)
    rendered = {canonical_flag(word) for word in argv if word.startswith("--")}
    assert rendered - set(OWN_FLAGS) == {"enable-request-id-headers", "disable-access-log-for-endpoints"}


def test_the_specs_environment_wins_over_rotas_and_nothing_goes_to_the_hub() -> None:
    assert launch(spec_of(), "v", None).env["HF_HUB_OFFLINE"] == "1"
    env = launch(spec_of(env={"VLLM_NO_USAGE_STATS": "0", "A": "b"}), "v", None).env
    assert (env["VLLM_NO_USAGE_STATS"], env["A"], env["HF_HUB_OFFLINE"]) == ("0", "b", "1")


def test_a_system_prompt_of_any_text_arrives_as_it_is() -> None:
    prompt = 'He said "no" — %(here)s {x}\n\\n'
    parsed = parse(argv_of(spec_of(chat_template="t", system_prompt=prompt))[1:])
    assert parsed.default_chat_template_kwargs == {"default_system_prompt": prompt}


def test_a_program_runs_its_own_model_and_is_never_restarted_by_supervisord() -> None:
    text = program_text(spec_of(name="llama-3.1_8b"))
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    program = parser["program:llama-3.1_8b"]
    assert shlex.split(program["command"])[-2:] == ["%(here)s/../bin/engine", "llama-3.1_8b"]
    assert 'ROTA_ENGINE="llama-3.1_8b"' in program["environment"]
    assert (program["autostart"], program["autorestart"], program["startretries"]) == ("false", "false", "0")
    assert (program["stopasgroup"], program["killasgroup"]) == ("false", "true")
    assert int(program["stopwaitsecs"]) == STOP_WAIT_S


def test_a_program_does_not_depend_on_what_the_gate_decides() -> None:
    other = spec_of(port=9999, memory_bytes=Gib(3 * GIB), env={"A": "b"}, vllm_args={"x": 1})
    assert program_text(other) == program_text(spec_of())


def test_the_schemas_offer_editors_the_keys_of_the_files() -> None:
    schema = json.loads(schemas()["model.schema.json"])["$defs"]["ModelSpec"]
    assert list(schema["properties"]) == fields_of(ModelSpec)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["memory_gib"]["type"] == "number"


def test_a_launch_travels_as_json() -> None:
    sent = launch(DEMO.models["demo-chat"], "v", None)
    assert msgspec.json.decode(msgspec.json.encode(sent), type=type(sent)) == sent
