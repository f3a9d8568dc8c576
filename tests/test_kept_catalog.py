from pathlib import Path

import pytest
import yaml

from catalog.load import load
from catalog.spec import Catalog
from catalog.yaml_file import CatalogError
from proxy.kept_catalog import KeptCatalog

MODEL = {"name": "a", "weights": "w", "port": 8101, "memory_gib": 2, "kv_cache_gib": 1, "max_model_len": 9}


def fine(_catalog: Catalog) -> None:
    """Nothing is wrong with it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalog with one model."""
    path = tmp_path / "catalog"
    path.mkdir()
    (path / "a.yaml").write_text(yaml.safe_dump(MODEL))
    (path / "agents.yaml").write_text("agent_types: {Chat: {model: a}}\n")
    return path


@pytest.fixture
def kept(tmp_path: Path) -> KeptCatalog:
    return KeptCatalog(tmp_path / "state" / "catalog", tmp_path)


def test_a_sound_folder_is_loaded_itself(folder: Path, kept: KeptCatalog) -> None:
    catalog, problem = kept.load(folder, fine)
    assert (list(catalog.models), problem) == (["a"], None)


def test_a_broken_folder_is_served_by_its_copy_and_what_is_wrong_is_told(
    tmp_path: Path, folder: Path, kept: KeptCatalog
) -> None:
    kept.keep(load(folder, tmp_path))
    (folder / "a.yaml").write_text("name: a\nport: none\n")
    catalog, problem = kept.load(folder, fine)
    assert (catalog.models["a"].weights, catalog.folder) == (str(tmp_path / "w"), folder)
    assert problem is not None
    assert "a.yaml:2: port: " in problem


def test_the_last_one_that_counted_is_the_one_that_is_kept(tmp_path: Path, folder: Path, kept: KeptCatalog) -> None:
    kept.keep(load(folder, tmp_path))
    (folder / "a.yaml").write_text(yaml.safe_dump({**MODEL, "port": 8102}))
    kept.keep(load(folder, tmp_path))
    (folder / "agents.yaml").unlink()
    assert kept.load(folder, fine)[0].models["a"].port == 8102


def test_without_a_copy_or_with_that_of_another_folder_it_is_an_error(
    tmp_path: Path, folder: Path, kept: KeptCatalog
) -> None:
    other = tmp_path / "other"
    with pytest.raises(CatalogError, match="there is no such folder"):
        kept.load(other, fine)
    kept.keep(load(folder, tmp_path))
    with pytest.raises(CatalogError, match="there is no such folder"):
        kept.load(other, fine)


def test_what_cannot_be_kept_costs_the_copy_only(
    tmp_path: Path, folder: Path, kept: KeptCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = load(folder, tmp_path)
    (tmp_path / "state").write_text("a file in its place")
    kept.keep(catalog)
    assert "no copy of the catalog was kept" in caplog.text


def test_a_folder_that_cannot_be_served_here_is_as_good_as_broken(
    tmp_path: Path, folder: Path, kept: KeptCatalog
) -> None:
    kept.keep(load(folder, tmp_path))
    (folder / "a.yaml").write_text(yaml.safe_dump({**MODEL, "port": 8000}))

    def check(catalog: Catalog) -> None:
        if catalog.models["a"].port == 8000:
            raise CatalogError(folder / "a.yaml", 3, "port", "is the proxy's own")

    catalog, problem = kept.load(folder, check)
    assert (catalog.models["a"].port, problem is not None) == (8101, True)
