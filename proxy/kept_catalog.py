"""Keeps a copy of the last catalog that counted: a proxy that comes back to a broken file goes on serving by it.

Rule: the copy is used only where the folder itself cannot be loaded, only for that same folder, and never in silence.
"""

import logging
import shutil
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
        new = self._place.with_suffix(".new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for path in catalog.folder.glob("*.yaml"):
                shutil.copyfile(path, new / path.name)
            (new / _FOLDER_FILE).write_text(str(catalog.folder.resolve()))
            load(new, self._root)  # nobody has edited it since
            shutil.rmtree(self._place, ignore_errors=True)
            new.rename(self._place)
        except (OSError, CatalogError) as error:
            log.warning("no copy of the catalog was kept: %s", error)

    def load(self, folder: Path) -> tuple[Catalog, str | None]:
        """The catalog in `folder`; where that cannot be loaded its kept copy, and what is wrong with the folder.

        Raises: CatalogError where there is no copy of it either.
        """
        try:
            return load(folder, self._root), None
        except CatalogError as error:
            try:
                of = (self._place / _FOLDER_FILE).read_text()
                kept = load(self._place, self._root)
            except (OSError, CatalogError):
                raise error from None
            if of != str(folder.resolve()):
                raise
            return msgspec.structs.replace(kept, folder=folder), str(error)
