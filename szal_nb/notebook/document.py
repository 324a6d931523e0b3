"""A notebook file as plain data: its cells, tags and ids, read from the raw JSON.

Importing nbformat costs seconds, so commands that only look at a notebook read it here.
"""

from __future__ import annotations

import ast
import difflib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from szal_nb.errors import DefinitionError


class InvalidNotebook(DefinitionError):
    """A file is not a notebook that can be run; `path` is as it was given."""

    def __init__(self, path: str, problem: str, advice: str = "") -> None:
        super().__init__(path, problem, advice)
        self.path = path
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" + (f" {self.advice}" if self.advice else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookCell:
    """One cell. `number` counts all cells of the notebook from 1; `id` is None in notebooks before format 4.5."""

    number: int
    id: str | None = None
    kind: str = "code"
    source: str = ""
    tags: tuple[str, ...] = ()

    def where(self, line: int | None = None) -> str:
        """The cell, and the line in it, as messages name it."""
        place = f"cell {self.number}" + (f" (id {self.id})" if self.id else "")
        return place + (f", line {line}" if line is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A notebook as read. `text` is the file's own text, `path` None for a notebook that is not a file.

    `numbers` are those of the cells that have ids.
    """

    path: Path | None = None
    text: str = ""
    cells: tuple[NotebookCell, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = {cell.id: cell.number for cell in self.cells if cell.id is not None}
        object.__setattr__(self, "numbers", numbers)

    @property
    def label(self) -> str:
        """What messages call the notebook."""
        return str(self.path) if self.path is not None else "the notebook"

    @property
    def code(self) -> tuple[NotebookCell, ...]:
        """The cells that are executed, in order."""
        return tuple(cell for cell in self.cells if cell.kind == "code" and cell.source.strip())

    def tagged(self, tag: str) -> NotebookCell | None:
        """The first code cell with this tag."""
        return next((cell for cell in self.cells if cell.kind == "code" and tag in cell.tags), None)


def read_notebook(path: str | Path) -> Notebook:
    """The notebook in the file `path`; `InvalidNotebook` says what is wrong with it."""
    path = Path(path)
    if not _is_text(str(path.absolute())):
        # Neither a notebook, which says where it was, nor the record can hold it.
        raise InvalidNotebook(str(path), "The name of the file, or of a folder above it, is not UTF-8: rename it.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InvalidNotebook(str(path), "There is no such file.", _nearest_file(path)) from None
    except IsADirectoryError:
        raise InvalidNotebook(str(path), "This is a directory, not a notebook.") from None
    except UnicodeDecodeError:
        raise InvalidNotebook(str(path), "This is not a notebook: it is not text in UTF-8.") from None
    except OSError as error:
        raise InvalidNotebook(str(path), f"The file cannot be read: {error.strerror or error}.") from None
    return parse_notebook(text, path=path)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_notebook(text: str, *, path: Path | None = None) -> Notebook:
    """The notebook that `text` holds in nbformat's JSON."""
    label = str(path) if path is not None else "the notebook"
    if not text.strip():
        raise InvalidNotebook(label, "The file is empty.")
    try:
        content = json.loads(text)
    except RecursionError:
        raise InvalidNotebook(label, "This is not a notebook: its JSON is nested too deeply.") from None
    except ValueError as error:
        raise InvalidNotebook(label, f"This is not valid JSON: {error}.", _advice_on_json(text)) from None
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise InvalidNotebook(label, "This is JSON, but not a notebook: it names no `nbformat`.")
    version = content["nbformat"]
    if version < 4:
        advice = f"Convert it: jupyter nbconvert --to notebook --nbformat 4 --inplace {label}"
        raise InvalidNotebook(label, f"This is a notebook of the old format {version}; format 4 is needed.", advice)
    if version > 4:
        raise InvalidNotebook(label, f"This is a notebook of format {version}, which is newer than this program.")
    metadata = content.get("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidNotebook(label, "This notebook is damaged: its metadata is no mapping.")
    _refuse_other_languages(label, metadata)
    cells = content.get("cells")
    if not isinstance(cells, list):
        raise InvalidNotebook(label, "This notebook is damaged: it has no list of cells.")
    return Notebook(
        path=path,
        text=text,
        cells=tuple(_cell(label, number, cell) for number, cell in enumerate(cells, start=1)),
        metadata=metadata,
    )


def python_of(source: str) -> str:
    """`source` as pure Python: IPython's own syntax becomes calls of `get_ipython()`, as the kernel does it.

    Text that is pure Python already is given back as it is.
    """
    try:
        parse_python(source)
    except (SyntaxError, ValueError):
        from IPython.core.inputtransformer2 import TransformerManager  # late: heavy

        return str(TransformerManager().transform_cell(source))
    return source


def parse_python(source: str) -> ast.Module:
    """The tree of `source`; what Python only warns of is for the kernel to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _cell(label: str, number: int, cell: object) -> NotebookCell:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
        raise InvalidNotebook(label, f"This notebook is damaged: cell {number} has no type.")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise InvalidNotebook(label, f"This notebook is damaged: the source of cell {number} is not text.")
    metadata = cell.get("metadata")
    tags = metadata.get("tags", ()) if isinstance(metadata, dict) else ()
    return NotebookCell(
        number=number,
        id=str(cell["id"]) if cell.get("id") else None,
        kind=cell["cell_type"],
        source=source,
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
    )


def _refuse_other_languages(label: str, metadata: Mapping[str, Any]) -> None:
    kernel, language = metadata.get("kernelspec"), metadata.get("language_info")
    found = (kernel.get("language") if isinstance(kernel, dict) else None) or (
        language.get("name") if isinstance(language, dict) else None
    )
    if found and not str(found).lower().startswith(("python", "ipython")):
        raise InvalidNotebook(label, f"This notebook is written in {found}; only Python notebooks can be run.")


def _advice_on_json(text: str) -> str:
    if any(line.startswith(("<<<<<<<", ">>>>>>>")) for line in text.splitlines()):
        return "It has markers of an unfinished merge; resolve them first."
    return ""


def _nearest_file(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix == ".ipynb"]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.4)
    return f"Did you mean {path.parent / near[0]}?" if near else ""
