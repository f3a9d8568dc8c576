from dataclasses import fields

import pytest

from proxy.core import engine_events, messages
from proxy.core.messages import Event


@pytest.mark.parametrize("name", [name for name in vars(engine_events) if name.startswith(("Gate", "Sleep"))])
def test_each_is_an_event_of_one_model_and_found_beside_the_others(name: str) -> None:
    kind = getattr(engine_events, name)
    assert getattr(messages, name) is kind
    assert kind in Event.__args__  # type: ignore[attr-defined]
    assert fields(kind)[0].name == "model"


def test_a_start_that_nobody_timed_has_no_phases() -> None:
    assert engine_events.EngineReady("a") == engine_events.EngineReady("a", {})
