import configparser
import json
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from catalog.load import load
from catalog.render import (
    CUDA_CONTEXT_BYTES,
    OWN_FLAGS,
    STOP_WAIT_S,
    Seat,
    canonical_flag,
    identity,
    launch,
    program_text,
    schemas,
)
from catalog.spec import GIB, Gib, ModelSpec
from catalog.yaml_file import fields_of
from tests.fake_flags import parse
from tests.installation import CHECKOUT

DEMO = load(CHECKOUT / "catalog" / "demo", CHECKOUT)


def spec_of(**more: Any) -> ModelSpec:
    fixed = {"name": "a", "weights": "/w", "port": 8101, "max_model_len": 2048}
    return ModelSpec(**{**fixed, "memory_bytes": Gib(10 * GIB), "kv_cache_bytes": Gib(GIB), **more})


def seat(spec: ModelSpec, total_bytes: int | None = None, **more: Any) -> Seat:
    fixed = {"awake_bytes": spec.memory_bytes, "kv_cache_bytes": spec.kv_cache_bytes, "total_bytes": total_bytes}
    return Seat(**{**fixed, **more})


def argv_of(spec: ModelSpec, total_bytes: int | None = None, **more: Any) -> list[str]:
    return launch(spec, "/vllm", seat(spec, total_bytes, **more)).argv


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


def test_both_the_share_and_the_kv_cache_come_from_the_ledger_so_that_vllms_start_check_passes() -> None:
    spec = spec_of(kv_cache_bytes=None)
    parsed = parse(argv_of(spec, 100 * GIB, awake_bytes=20 * GIB, kv_cache_bytes=3 * GIB)[1:])
    assert (parsed.gpu_memory_utilization, parsed.kv_cache_memory_bytes) == (0.195, 3 * GIB)


def test_where_no_kv_cache_is_given_vllm_measures_it_on_a_gpu_and_is_refused_without_one() -> None:
    spec = spec_of(kv_cache_bytes=None)
    assert "--kv-cache-memory-bytes" not in argv_of(spec, 100 * GIB)
    with pytest.raises(ValueError, match="a: without a GPU, kv_cache_gib must be given"):
        argv_of(spec)


def test_an_engine_on_several_devices_is_told_so() -> None:
    assert parse(argv_of(spec_of(device_count=2), 100 * GIB)[1:]).tensor_parallel_size == 2
    assert "--tensor-parallel-size" not in argv_of(spec_of(), 100 * GIB)


def test_sleep_mode_is_for_those_that_may_sleep_and_its_flag_for_gpus_only() -> None:
    awake, asleep = (launch(spec_of(), "v", seat(spec_of(), 80 * GIB, can_sleep=can)) for can in (False, True))
    assert "--enable-sleep-mode" in asleep.argv
    assert "--enable-sleep-mode" not in awake.argv
    assert (asleep.env["VLLM_SERVER_DEV_MODE"], "VLLM_SERVER_DEV_MODE" in awake.env) == ("1", False)
    on_cpu = launch(spec_of(), "v", seat(spec_of(), can_sleep=True))
    assert "--enable-sleep-mode" not in on_cpu.argv
    assert on_cpu.env["VLLM_SERVER_DEV_MODE"] == "1"


def test_the_environment_of_the_seat_wins_over_the_specs() -> None:
    spec = spec_of(env={"A": "b"})
    env = launch(spec, "v", seat(spec, env={"CUDA_VISIBLE_DEVICES": "GPU-1"})).env
    assert (env["A"], env["CUDA_VISIBLE_DEVICES"]) == ("b", "GPU-1")


@pytest.mark.parametrize(
    "same", [{"port": 9}, {"description": "x"}, {"aliases": ("x",)}, {"memory_bytes": Gib(9 * GIB)}]
)
def test_what_takes_no_memory_does_not_change_the_identity(same: dict[str, Any]) -> None:
    assert identity(spec_of(**same), True) == identity(spec_of(), True)


@pytest.mark.parametrize(
    "other",
    [{"max_num_seqs": 3}, {"vllm_args": {"x": 1}}, {"env": {"A": "b"}}, {"kv_cache_bytes": Gib(5)}, {"dtype": "half"}],
)
def test_what_changes_the_memory_changes_the_identity(other: dict[str, Any]) -> None:
    assert identity(spec_of(**other), True) != identity(spec_of(), True)
    assert identity(spec_of(), False) != identity(spec_of(), True)


def test_where_vllm_measures_the_kv_cache_the_identity_has_the_memory_it_measures_in() -> None:
    small, large = (spec_of(kv_cache_bytes=None, memory_bytes=Gib(n * GIB)) for n in (9, 10))
    assert identity(small, True) != identity(large, True)


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
    argv = argv_of(spec_of(embedder=True, chat_template="t", device_count=2), GIB, can_sleep=True)
    rendered = {canonical_flag(word) for word in argv if word.startswith("--")}
    harmless = {"enable-request-id-headers", "disable-uvicorn-access-log", "middleware", "no-log-error-stack"}
    assert rendered - set(OWN_FLAGS) == harmless


def test_the_specs_environment_wins_over_rotas_and_nothing_goes_to_the_hub() -> None:
    assert launch(spec_of(), "v", seat(spec_of())).env["HF_HUB_OFFLINE"] == "1"
    env = launch(spec_of(env={"VLLM_NO_USAGE_STATS": "0", "A": "b"}), "v", seat(spec_of())).env
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
    sent = launch(DEMO.models["demo-chat"], "v", seat(DEMO.models["demo-chat"]))
    assert msgspec.json.decode(msgspec.json.encode(sent), type=type(sent)) == sent
