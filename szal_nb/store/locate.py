"""Which store is meant when none is named.

What a search finds above the place where work begins must belong to this user, to the system, or to whom that place
belongs: anybody may put a `.szal/` into a folder such as `/tmp`.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from pathlib import Path

from szal_nb.store.failure import StoreUnusable

FOLDER = ".szal"
FILE = "runs.db"


def find_store(start: Path | None = None) -> Path:
    """The store for work that begins at `start`: a notebook, a folder, or (None) the working directory.

    `SZAL_STORE`, else `[tool.szal] store` of the nearest pyproject.toml, else the store beside the notebook, else the
    nearest `.szal/` upwards, else `.szal/runs.db` in the folder (it need not exist).
    """
    named = os.environ.get("SZAL_STORE")
    if named:
        return Path(named).expanduser()
    place = (Path.cwd() if start is None else start).absolute()
    folder = place if place.is_dir() else place.parent
    configured = _configured(folder)
    if configured is not None:
        return configured
    beside = folder / FOLDER / FILE
    for upper in (folder, *folder.parents):
        if (upper / FOLDER / FILE).is_file() and _may_be_meant(upper / FOLDER, folder):
            # A notebook's own store is made beside it; only what has no place of its own looks further up.
            return beside if place.suffix == ".ipynb" and upper != folder else upper / FOLDER / FILE
    return beside


def _configured(folder: Path) -> Path | None:
    for upper in (folder, *folder.parents):
        file = upper / "pyproject.toml"
        if not file.is_file() or not _may_be_meant(file, folder):
            continue
        try:
            settings = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("szal", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise StoreUnusable(file, f"[tool.szal] could not be read: {error}") from error
        store = settings.get("store") if isinstance(settings, dict) else None
        if store is not None and not isinstance(store, str):
            raise StoreUnusable(file, "[tool.szal] store must be a path")
        return None if store is None else upper / Path(store).expanduser()
    return None


def _may_be_meant(found: Path, start: Path) -> bool:
    """Whether a search from the folder `start` may pick what it has found, which is that file or in that folder."""
    if found.parent == start or not hasattr(os, "getuid"):
        return True
    ours = {os.getuid(), 0}
    with contextlib.suppress(OSError):
        ours.add(start.lstat().st_uid)
    return all(path.lstat().st_uid in ours for path in (found, found / FILE) if path.exists())
