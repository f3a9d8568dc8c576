from pathlib import Path

import pytest
import yaml

from catalog.yaml_file import CatalogError
from proxy.daemon import DaemonError
from proxy.settings import Layout
from proxy.verbs.catalogs import PRODUCTION, catalog_folder, catalog_of, catalog_to_start, is_catalog_set, picked


def write(folder: Path, *names: str, port: int) -> None:
    folder.mkdir(parents=True)
    for name in names:
        model = {"name": name, "weights": "w", "port": port, "memory_gib": 2, "kv_cache_gib": 1, "max_model_len": 9}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(model))
        port += 1
    (folder / "agents.yaml").write_text(yaml.safe_dump({"agent_types": {"Chat": {"model": names[0]}}}))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("ROTA_CATALOG", raising=False)
    write(tmp_path / "catalog/demo", "demo-chat", "both", port=8101)
    write(tmp_path / PRODUCTION, "mixtral", "both", port=8201)
    return Layout(tmp_path)


def test_the_catalog_is_the_one_that_is_named_or_that_of_the_settings(here: Layout) -> None:
    assert set(catalog_of(here).models) == {"demo-chat", "both"}
    assert set(catalog_of(here, PRODUCTION).models) == {"mixtral", "both"}
    assert not is_catalog_set(here)
    (here.root / "settings.yaml").write_text("catalog: catalog/models\n")
    assert set(catalog_of(here).models) == {"mixtral", "both"}
    assert is_catalog_set(here)


def test_a_catalog_on_the_proxys_own_port_is_refused(here: Layout) -> None:
    (here.root / "settings.yaml").write_text("listen_port: 8101\n")
    with pytest.raises(CatalogError, match="8101 is the proxy's own port"):
        catalog_of(here)


def test_without_names_all_models_are_meant(here: Layout) -> None:
    assert [spec.name for spec in picked(here, catalog_of(here), [])] == ["both", "demo-chat"]


def test_a_model_of_the_production_catalog_is_found_whatever_the_settings_say(here: Layout) -> None:
    found = picked(here, catalog_of(here), ["mixtral", "both", "mixtral"])
    assert [(spec.name, spec.port) for spec in found] == [("mixtral", 8201), ("both", 8102)]


def test_a_name_that_no_catalog_has_is_refused_with_the_nearest(here: Layout) -> None:
    with pytest.raises(
        DaemonError,
        match=r"there is no model 'mixtra'\. Did you mean 'mixtral'\? Models of catalog/demo and catalog/models: ",
    ):
        picked(here, catalog_of(here), ["mixtra"])


def test_each_model_that_was_picked_is_known_by_its_own_catalogs_folder(here: Layout) -> None:
    catalog = catalog_of(here)
    found = {spec.name: catalog_folder(here, catalog, spec) for spec in picked(here, catalog, ["mixtral", "both"])}
    assert found == {"mixtral": here.root / PRODUCTION, "both": catalog.folder}


def test_where_no_catalog_is_named_that_of_the_running_proxy_is_meant_and_the_settings_come_before_it(
    here: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `make run CATALOG=...`: one rule for all verbs but those that start the service."""
    running = {"catalog": str(here.root / PRODUCTION)}
    monkeypatch.setattr("proxy.daemon.running_proxy", lambda _here: running)
    assert "mixtral" in catalog_of(here).models
    assert "demo-chat" in catalog_to_start(here).models
    write(here.root / "catalog/mine", "own", port=8301)
    (here.root / "settings.yaml").write_text("catalog: catalog/mine\n")
    assert set(catalog_of(here).models) == {"own"}
