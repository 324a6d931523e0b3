"""Which store is meant when none is named, and what it promises.

What a search finds above the place where work begins must belong to this user, to the system, or to whom that place
belongs: anybody may put a `.szal/` into a folder such as `/tmp`.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from pathlib import Path
from typing import Any

from szal_nb.store.failure import StoreUnusable

FOLDER = ".szal"
FILE = "runs.db"
_PROJECT = "pyproject.toml"


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


def durability_of(store: Path) -> str:
    """What a store at this path promises if nobody says it: `SZAL_DURABILITY`, `[tool.szal] durability`, else full."""
    named = os.environ.get("SZAL_DURABILITY")
    if named:
        return named
    folder = store.parent.parent if store.parent.name == FOLDER else store.parent
    try:
        _, settings = _settings(folder)
    except StoreUnusable:
        return "full"
    return str(settings.get("durability", "full"))


def _configured(folder: Path) -> Path | None:
    place, settings = _settings(folder)
    store = settings.get("store")
    if store is not None and not isinstance(store, str):
        raise StoreUnusable(place / _PROJECT, "[tool.szal] store must be a path")
    return None if store is None else place / Path(store).expanduser()


def _settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    """`[tool.szal]` of the nearest pyproject.toml, and where that is."""
    for upper in (folder, *folder.parents):
        file = upper / _PROJECT
        if not file.is_file() or not _may_be_meant(file, folder):
            continue
        try:
            settings = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("szal", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise StoreUnusable(file, f"[tool.szal] could not be read: {error}") from error
        return upper, settings if isinstance(settings, dict) else {}
    return folder, {}


def _may_be_meant(found: Path, start: Path) -> bool:
    """Whether a search from the folder `start` may pick what it has found, which is that file or in that folder."""
    if found.parent == start or not hasattr(os, "getuid"):
        return True
    ours = {os.getuid(), 0}
    with contextlib.suppress(OSError):
        ours.add(start.lstat().st_uid)
    return all(path.lstat().st_uid in ours for path in (found, found / FILE) if path.exists())
