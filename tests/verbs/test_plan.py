import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.estimate.checkpoint import SHIPPED_CONFIGS
from proxy import cli
from proxy.verbs.catalogs import PRODUCTION
from tests.catalog.estimate.configurations import AWQ, MIXTRAL, QWEN_14B
from tests.installation import Installation

CARD = ["--gpu", "RTX 3090:24"]


def write(folder: Path, models: list[dict[str, Any]], agents: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, model in enumerate(models):
        whole = {"weights": f"var/models/{model['name']}", "port": 8101 + index, **model}
        (folder / f"{model['name']}.yaml").write_text(yaml.safe_dump(whole))
    (folder / "agents.yaml").write_text(yaml.safe_dump({"agent_types": agents}))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROTA_ROOT", str(tmp_path))
    monkeypatch.delenv("ROTA_CATALOG", raising=False)
    demo = {"name": "demo", "memory_gib": 2, "kv_cache_gib": 0.25, "max_model_len": 512}
    write(tmp_path / "catalog/demo", [demo], {"Chat": {"model": "demo"}})
    models: list[dict[str, Any]] = [
        {"name": "mixtral", "memory_gib": 26, "max_model_len": 8192},
        {"name": "qwen", "memory_gib": 13, "max_model_len": 8192},
    ]
    agents = {"Claims": {"model": "mixtral", "fallback": "qwen"}, "Documentation": {"model": "qwen"}}
    write(tmp_path / PRODUCTION, models, agents)
    (tmp_path / PRODUCTION / SHIPPED_CONFIGS).mkdir()
    for name, config in (("mixtral", MIXTRAL), ("qwen", QWEN_14B)):
        (tmp_path / PRODUCTION / SHIPPED_CONFIGS / f"{name}.json").write_text(json.dumps({**config, **AWQ}))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    status = cli.main(["plan", *argv, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_named_card_is_planned_for_with_the_production_catalog(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, plan = told(capsys, *CARD)
    assert status == 0, "Claims has its fallback"
    assert [(one["model"], one["fits"]) for one in plan["models"]] == [("mixtral", False), ("qwen", True)]
    assert plan["models"][0]["instead"] == "qwen answers for Claims"
    assert plan["agents"][0]["why"] == "mixtral does not fit; qwen answers"
    assert plan["devices"][0]["for_models_gib"] == 23.19


def test_the_text_form_is_a_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *CARD, "--explain"]) == 0
    text = capsys.readouterr().out
    assert "  Claims:        mixtral does not fit; qwen answers" in text
    assert "from the config.json that the catalog carries" in text


def test_a_catalog_that_is_set_is_the_one_that_is_meant(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = told(capsys, *CARD, "--catalog", "catalog/demo")
    assert [one["model"] for one in plan["models"]] == ["demo"]
    write(root / "catalog/own", [{"name": "own", "memory_gib": 2, "max_model_len": 9}], {"Chat": {"model": "own"}})
    monkeypatch.setenv("ROTA_CATALOG", "catalog/own")
    _, plan = told(capsys, *CARD)
    assert [one["model"] for one in plan["models"]] == ["own"]


def test_names_limit_the_plan_and_their_fallbacks_still_answer(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, plan = told(capsys, "mixtral", *CARD)
    assert [one["model"] for one in plan["models"]] == ["mixtral"]
    assert plan["agents"] == [
        {"agent_type": "Claims", "model": "mixtral", "answered_by": "qwen", "why": "mixtral does not fit; qwen answers"}
    ]
    assert status == 0
    with pytest.raises(SystemExit) as caught:
        cli.main(["plan", "mixtra", *CARD])
    assert caught.value.code == 2
    assert "argument MODEL: there is no model 'mixtra'. Did you mean 'mixtral'?" in capsys.readouterr().err


def test_an_agent_type_and_an_alias_stand_for_their_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"name": "other", "port": 8110, "memory_gib": 2, "max_model_len": 512, "aliases": ["Org/Other"]}
    write(root / PRODUCTION, [other], {"Claims": {"model": "mixtral", "fallback": "qwen"}})
    for name, model in (("Claims", "mixtral"), ("Org/Other", "other")):
        assert [one["model"] for one in told(capsys, name, *CARD)[1]["models"]] == [model]
        _, plan = told(capsys, name, *CARD, "--catalog", "catalog/demo")
        assert [one["model"] for one in plan["models"]] == [model], "also where it is the production catalog's"


def test_what_does_not_fit_and_has_nobody_in_its_place_is_exit_status_1(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "--gpu", "small:8")[0] == 1


def test_without_a_gpu_the_devices_are_those_that_are_here(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.adapters.nvml.has_nvidia", lambda: False)
    monkeypatch.setattr("proxy.adapters.amd.find_card", lambda: None)
    monkeypatch.setenv("ROTA_DEVICE_MEMORY_GIB", "3")
    status, plan = told(capsys)
    assert (status, [one["for_models_gib"] for one in plan["devices"]]) == (0, [3.0])
    assert [(one["model"], one["fits"], one["need_gib"]) for one in plan["models"]] == [("demo", True, None)]
    assert "nothing is known of this checkpoint" in plan["models"][0]["notes"][0]
    assert [one["model"] for one in told(capsys, "--catalog", PRODUCTION)[1]["models"]] == ["mixtral", "qwen"]


def test_a_reserve_that_takes_all_of_a_device_is_said(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.adapters.nvml.has_nvidia", lambda: False)
    monkeypatch.setattr("proxy.adapters.amd.find_card", lambda: None)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 0}))
    assert cli.main(["plan"]) == 1
    assert "has no memory left for models" in capsys.readouterr().err


@pytest.mark.parametrize("gpu", ["24", "Rocket 9", "RTX 3090:much", "99x L4:24"])
def test_a_gpu_that_is_none_is_a_wrong_argument(root: Path, capsys: pytest.CaptureFixture[str], gpu: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["plan", "--gpu", gpu])
    assert caught.value.code == 2
    assert "argument --gpu: " in capsys.readouterr().err


def test_a_flag_that_cannot_be_read_names_the_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"name": "odd", "memory_gib": 2, "max_model_len": 9, "vllm_args": {"max-num-batched-tokens": "many"}}
    write(root / "catalog/own", [odd], {"Chat": {"model": "odd"}})
    assert cli.main(["plan", "--catalog", "catalog/own", *CARD]) == 1
    assert "odd: vllm_args: max-num-batched-tokens must be a whole number" in capsys.readouterr().err


def test_of_models_alone_the_running_proxy_is_asked(service: Installation) -> None:
    done = service.manage("plan", "a")
    assert done.returncode == 0, done.stderr
    assert "it fits" in done.stdout
    assert json.loads(service.manage("plan", "a", "b", "--json").stdout)["fits"] in (True, False)
    assert "it fits" in service.manage("plan", "Chat").stdout
    done = service.manage("plan", "aa")
    assert done.returncode == 2
    assert "there is no 'aa'. Did you mean 'a'?" in done.stderr


def test_without_a_service_the_proxy_cannot_be_asked_and_the_hardware_plan_still_works(idle: Installation) -> None:
    assert idle.manage("plan", "a").returncode == 3
    done = idle.manage("plan", "--gpu", "L4:24", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"][0]["model"] == "a"
