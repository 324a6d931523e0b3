"""Where the files of a run are now: projects are moved and copied together with their stores.

Where its store was when a run began is told by where its notebook was saved, if nobody named another place for that.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from szal_nb.store.locate import FILE, FOLDER


class FilesOfRun(Protocol):
    """What is recorded of the files of a run."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def notebook_path(self) -> str | None:
        """The notebook that it was started from."""

    @property
    def output_path(self) -> str | None:
        """Where the executed notebook was saved."""


def file_stem(run_id: str) -> str:
    """A run's id as a part of a file's name. One that a foreign store has brought along leads nowhere else.

    >>> file_stem("3f9a"), file_stem("../../notes")
    ('3f9a', '______notes')
    """
    return re.sub(r"[^\w-]", "_", run_id)


def usual_output(store: Path, run_id: str) -> Path:
    """Where the executed notebook of a run is saved if nobody names a place."""
    return store.parent / "runs" / f"{file_stem(run_id)}.ipynb"


def notebook_of(run: FilesOfRun, store: Path) -> Path | None:
    """The notebook that a run was started from; it need not be there. None if there was none."""
    if run.notebook_path is None:
        return None
    then, folder = Path(run.notebook_path), store.absolute().parent
    was = _folder_then(run)
    if was is not None and was != folder:
        now = Path(os.path.normpath(folder / os.path.relpath(then, was)))
        return now if now.is_file() else then
    if then.is_file() or was is not None:
        return then
    return _below(folder.parent if folder.name == FOLDER else folder, then) or then


def output_of(run: FilesOfRun, store: Path) -> Path:
    """Where the executed notebook of a run is to be saved when it goes on: where it was, unless that was moved."""
    usual = usual_output(store, run.id)
    if run.output_path is None or _folder_then(run) is not None or not Path(run.output_path).parent.is_dir():
        return usual
    return Path(run.output_path)


def _folder_then(run: FilesOfRun) -> Path | None:
    """The folder of the store when the run began, if it can be told."""
    if run.output_path is None:
        return None
    folder = Path(run.output_path).parent.parent
    return folder if Path(run.output_path) == usual_output(folder / FILE, run.id) else None


def _below(folder: Path, then: Path) -> Path | None:
    """The file below `folder` that shares most of the end of its path with one that is not there any more."""
    ends = (folder.joinpath(*then.parts[first:]) for first in range(1, len(then.parts)))
    return next((path for path in ends if path.is_file()), None)
