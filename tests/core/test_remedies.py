"""Every error of the proxy's own has a remedy, and a word about when it occurs."""

import re

from catalog.spec import AgentRoute, Agents, ModelSpec
from catalog.yaml_file import fields_of
from proxy.core.remedies import REMEDIES
from proxy.reference import all_errors
from proxy.settings import Settings


def test_every_error_has_one_and_no_other_has() -> None:
    assert set(REMEDIES) == set(all_errors())


def test_each_is_a_sentence_and_so_is_when_it_occurs() -> None:
    for kind, remedy in REMEDIES.items():
        assert remedy.endswith("."), kind
        assert (kind.__doc__ or "").strip().endswith("."), kind


def test_settings_and_keys_that_they_name_exist() -> None:
    known = {name for kind in (Settings, ModelSpec, AgentRoute, Agents) for name in fields_of(kind)}
    for remedy in REMEDIES.values():
        named = set(re.findall(r"`([a-z]+_[a-z_]+)[`:]", remedy))
        assert named <= known, remedy
