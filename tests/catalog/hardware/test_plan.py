import json

from catalog.hardware.plan import as_json, plan_of
from catalog.spec import AgentRoute
from tests.catalog.hardware.plans import ALL, MIXTRAL_8X7B, QWEN_14B_4BIT, RESERVE_BYTES, ROUTES, RTX_3090


def test_the_json_has_what_others_read_from_it() -> None:
    told = json.loads(json.dumps(as_json(plan_of(ALL, RTX_3090, ROUTES, RESERVE_BYTES))))
    assert told["devices"] == [
        {
            "name": "RTX 3090",
            "sold_gib": 24.0,
            "total_gib": 23.69,
            "total_is_reckoned": False,
            "for_models_gib": 23.19,
            "reserve_gib": 0.5,
            "vllm_share": 0.92,
            "is_gpu": True,
            "compute_capability": "8.6",
        }
    ]
    models = {one["model"]: one for one in told["models"]}
    assert set(models) == {one.spec.name for one in ALL}
    mixtral = models["mixtral"]
    assert (mixtral["fits"], mixtral["max_context"]) == (False, 0)
    assert 25 < mixtral["need_gib"] < 26
    assert mixtral["instead"] == "qwen answers for Billing, Claims"
    assert mixtral["estimate"]["parts"][0]["part"] == "weights"
    assert models["qwen"]["on"] == ["RTX 3090"]
    assert {"models": ["bimedix2", "chatdoctor"], "short_gib": 10.81} in told["apart"]
    assert {
        "agent_type": "Claims",
        "model": "mixtral",
        "answered_by": "qwen",
        "why": "mixtral does not fit; qwen answers",
    } in (told["agents"])
    assert told["sets"][0]["models"] == ["biomedlm", "pubmedbert", "qwen"]
    assert told["sets_are_all"]
    assert told["is_served"]


def test_a_model_that_only_stands_in_is_asked_and_not_shown() -> None:
    plan = plan_of([MIXTRAL_8X7B, QWEN_14B_4BIT], RTX_3090, ROUTES, RESERVE_BYTES, {"mixtral"})
    assert [one.spec.name for one in plan.fits] == ["mixtral"]
    assert [(one.agent_type, one.by) for one in plan.answers] == [("Billing", "qwen"), ("Claims", "qwen")]
    assert plan.is_served


def test_a_model_that_does_not_fit_and_has_nobody_in_its_place_is_not_served() -> None:
    assert not plan_of([MIXTRAL_8X7B], RTX_3090, {}, RESERVE_BYTES).is_served
    alone = {"Claims": AgentRoute(model="mixtral")}
    assert not plan_of([MIXTRAL_8X7B, QWEN_14B_4BIT], RTX_3090, alone, RESERVE_BYTES).is_served
    assert plan_of([QWEN_14B_4BIT], RTX_3090, {}, RESERVE_BYTES).is_served
