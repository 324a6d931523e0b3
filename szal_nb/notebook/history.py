"""What has been executed in this kernel, and how it fits the saved notebook: cells, their order, the snapshot."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from szal_nb.analysis.surroundings import NotebookName
from szal_nb.notebook.document import InvalidNotebook, Notebook, parse_python, python_of, read_notebook
from szal_nb.notebook.flags import spelled_in
from szal_nb.notebook.surroundings import names_bound


@dataclass(frozen=True, slots=True)
class Executed:
    """A cell as it was last executed. `key` is its id, or a name of our own where the front end sends no ids."""

    key: str
    source: str


@dataclass
class History:
    """The executed cells in the order of their first execution, and the names that their text binds.

    `seeds` tells whether any of them speaks of a seed of random numbers.
    """

    cells: dict[str, Executed] = field(default_factory=dict)
    names: dict[str, NotebookName] = field(default_factory=dict)
    seeds: bool = False
    _with_code: tuple[dict[str, NotebookName] | None, tuple[str, ...]] = (None, ())

    @property
    def with_code(self) -> tuple[str, ...]:
        """The names that have a source."""
        names, found = self._with_code
        if names is not self.names:
            found = tuple(name for name, one in self.names.items() if one.source)
            self._with_code = self.names, found
        return found

    def add(self, key: str, source: str) -> None:
        """Takes in a cell that is about to be executed."""
        self.cells[key] = Executed(key, source)
        self.read(source)

    def read(self, source: str) -> None:
        """Takes in the names that a cell binds, without the cell: one that was executed before we watched."""
        self.names = _names_after(source, self.names)
        self.seeds = self.seeds or "seed" in source

    def delete(self, keys: Iterable[str]) -> None:
        """The cells are no longer in the notebook; what they bound is still there."""
        for key in keys:
            self.cells.pop(key, None)


@lru_cache(maxsize=10_000)
def bound_in(source: str) -> Mapping[str, NotebookName]:
    """What an ordinary cell binds; nothing if it is a step."""
    return _names_after(source, {})


def _names_after(source: str, before: dict[str, NotebookName]) -> dict[str, NotebookName]:
    if spelled_in(source) is not None:
        return before
    try:
        python = python_of(source)
        return names_bound(python, parse_python(python), before)
    except (SyntaxError, ValueError):
        # The kernel says so itself; nothing of the cell is executed.
        return before


def notebook_path(live: Mapping[str, Any]) -> Path | None:
    """The file of the running notebook, where its front end says it (`live` is the notebook's namespace)."""
    for name in ("SZAL_NOTEBOOK", "JPY_SESSION_NAME"):
        if os.environ.get(name):
            return Path(os.environ[name])
    path = live.get("__vsc_ipynb_file__")
    return Path(path) if path else None


class SavedNotebook:
    """The file of the running notebook, read again only when it has changed: its outputs may be large."""

    def __init__(self) -> None:
        self._seen: tuple[Path, int, int] | None = None
        self._notebook: Notebook | None = None

    def read(self, path: Path | None) -> Notebook | None:
        """The notebook as it was last saved; None if there is no file, or none that can be read just now."""
        if path is None or path.suffix != ".ipynb":
            return None
        try:
            state = path.stat()
            seen = (path, state.st_mtime_ns, state.st_size)
            if seen != self._seen:
                self._notebook = read_notebook(path)
                self._seen = seen
        except (OSError, InvalidNotebook):
            return None
        return self._notebook


def document_order(keys: list[str], saved: Notebook | None) -> list[str]:
    """`keys` of cells, in the order of the saved file; those that it does not know keep their places."""
    known = saved.numbers if saved is not None else {}
    placed = iter(sorted((key for key in keys if key in known), key=known.__getitem__))
    return [next(placed) if key in known else key for key in keys]


def snapshot(history: History, saved: Notebook | None) -> str:
    """The whole notebook as this run sees it, as nbformat's JSON: saved cells with their executed text, no outputs."""
    cells: list[dict[str, Any]] = []
    left = dict(history.cells)
    metadata: Mapping[str, Any] = {}
    if saved is not None:
        metadata = saved.metadata
        for cell in saved.cells:
            executed = left.pop(cell.id, None) if cell.id is not None else None
            source = executed.source if executed is not None else cell.source
            cells.append(_cell(cell.id or f"cell-{cell.number}", cell.kind, source, cell.tags))
    cells += [_cell(key, "code", executed.source, ()) for key, executed in left.items()]
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": dict(metadata), "cells": cells}
    return json.dumps(content, ensure_ascii=False, indent=1)


def _cell(key: str, kind: str, source: str, tags: tuple[str, ...]) -> dict[str, Any]:
    metadata = {"tags": list(tags)} if tags else {}
    cell: dict[str, Any] = {"cell_type": kind, "id": key, "metadata": metadata, "source": source}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell
