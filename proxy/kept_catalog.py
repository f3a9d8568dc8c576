"""Keeps a copy of the last catalog that counted: a proxy that comes back to a broken file goes on serving by it.

Rule: the copy is used only where the folder itself cannot be loaded, only for that same folder, and never in silence.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from catalog.load import load
from catalog.spec import Catalog
from catalog.yaml_file import CatalogError

log = logging.getLogger(__name__)

_FOLDER_FILE = "FOLDER"
"""Says of which folder the files beside it are a copy."""


class KeptCatalog:
    """The copy in `place`; relative paths in its files are taken from `root`, the project folder."""

    def __init__(self, place: Path, root: Path) -> None:
        self._place = place
        self._root = root

    def __repr__(self) -> str:
        return f"<KeptCatalog {self._place}>"

    def keep(self, catalog: Catalog) -> None:
        """Keep `catalog`, which has just been loaded. A disk that is full costs the copy, not the service."""
        new, old = self._place.with_suffix(".new"), self._place.with_suffix(".old")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for path in catalog.folder.glob("*.yaml"):
                shutil.copyfile(path, new / path.name)
            (new / _FOLDER_FILE).write_text(str(catalog.folder.resolve()))
            load(new, self._root)  # it may be edited at this moment: what is kept must be sound
            if self._place.exists():
                shutil.rmtree(old, ignore_errors=True)
                self._place.rename(old)
            new.rename(self._place)
            shutil.rmtree(old, ignore_errors=True)
        except (OSError, CatalogError) as error:
            log.warning("no copy of the catalog was kept: %s", error)

    def load(self, folder: Path, check: Callable[[Catalog], None]) -> tuple[Catalog, str | None]:
        """The catalog in `folder`; where that cannot be served its kept copy, and what is wrong with the folder.

        `check` raises CatalogError for what is sound by itself and cannot be served here.

        Raises: CatalogError where there is no copy of it either.
        """
        try:
            catalog = load(folder, self._root)
            check(catalog)
            return catalog, None
        except CatalogError as error:
            try:
                of = (self._place / _FOLDER_FILE).read_text()
                kept = load(self._place, self._root)
                check(kept)
            except (OSError, CatalogError):
                raise error from None
            if of != str(folder.resolve()):
                raise
            return msgspec.structs.replace(kept, folder=folder), str(error)
