"""Which files a Jupyter server may show: notebooks below its root, and the stores that belong to them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from szal_nb.errors import SzalError
from szal_nb.store.locate import find_store


class OutOfPlace(SzalError):
    """A request names what the server does not show. The text tells nothing of what is there."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path!r}: {self.problem}"


class Place:
    """The folder that a server shows. Links are followed before they are judged: one that leads out is refused."""

    def __init__(self, root: Path, *, shows_hidden: bool = False) -> None:
        self.root = root.resolve()
        self._shows_hidden = shows_hidden

    def notebook(self, path: str) -> Path:
        """The file of the notebook at `path`, which is relative to the root with `/` between its parts."""
        parts = [part for part in path.split("/") if part]
        if not parts or ".." in parts or "\0" in path or "\\" in path or not path.endswith(".ipynb"):
            raise OutOfPlace(path, "this is no path of a notebook.")
        if not self._shows_hidden and any(part.startswith(".") for part in parts):
            raise OutOfPlace(path, "there is no such notebook.")
        file = self.root.joinpath(*parts)
        # Not said apart from a file that is missing, so that nothing outside can be felt for.
        if not self._holds(file):
            raise OutOfPlace(path, "there is no such notebook.")
        return file

    def store(self, notebook: Path) -> Path | None:
        """The store of a notebook, as its kernel would find it; None if no run made it yet.

        It may be outside of the root only where the server's own environment names it.
        """
        store = notebook.parent / find_store(notebook)
        if not os.environ.get("SZAL_STORE") and not self._covers(store):
            raise OutOfPlace(
                notebook.name,
                "its store is outside of the folder that this server shows. If that is meant, start the server with "
                "SZAL_STORE naming the store.",
            )
        return store if store.is_file() else None

    def _holds(self, file: Path) -> bool:
        try:
            return self._covers(file) and stat.S_ISREG(file.stat().st_mode)
        except OSError:
            return False

    def _covers(self, file: Path) -> bool:
        return file.resolve().is_relative_to(self.root)
