import argparse
from pathlib import Path

import pytest

from proxy.settings import Layout
from proxy.verbs import engines, plan, service
from proxy.verbs.verbs import Verbs


@pytest.fixture
def verbs(tmp_path: Path) -> Verbs:
    programs = Layout(tmp_path).programs
    programs.mkdir()
    for name in ("chat", "claims"):
        (programs / f"engine-{name}.conf").write_text("")
    return Verbs(Layout(tmp_path))


def test_the_models_are_those_that_there_are_programs_for(verbs: Verbs) -> None:
    assert verbs.models == ["chat", "claims"]


def test_a_folder_without_a_catalog_knows_no_model_and_still_explains_itself(tmp_path: Path) -> None:
    assert Verbs(Layout(tmp_path)).models == []


def test_a_verb_takes_one_model_or_several_and_suggests_the_nearest(
    verbs: Verbs, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(_: Layout, __: argparse.Namespace) -> int:
        return 0

    verbs.takes_model(verbs.add("one", nothing, "One."))
    verbs.takes_model(verbs.add("many", nothing, "Many."), nargs="*")
    assert verbs.parser.parse_args(["one", "chat"]).model == "chat"
    assert verbs.parser.parse_args(["many"]).models == []
    assert verbs.parser.parse_args(["many", "chat", "claims"]).models == ["chat", "claims"]
    with pytest.raises(SystemExit):
        verbs.parser.parse_args(["one", "claim"])
    assert "there is no 'claim'. Did you mean 'claims'? (choose from 'chat', 'claims')" in capsys.readouterr().err


def test_each_kind_adds_its_verbs(verbs: Verbs) -> None:
    engines.add_to(verbs)
    plan.add_to(verbs)
    service.add_to(verbs)
    assert {"status", "plan", "start-service", "logs"} <= set(verbs.names)
