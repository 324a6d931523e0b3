"""Which names of a notebook change with some of its parameters, read from its cells without running them."""

from __future__ import annotations

from collections.abc import Iterable

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.names import Context
from szal_nb.notebook.document import Notebook, python_of
from szal_nb.notebook.flags import spelled_in


def affected_names(notebook: Notebook, names: Iterable[str]) -> tuple[str, ...]:
    """`names`, and all that cells outside of steps bind from them, in turn."""
    found = dict.fromkeys(names)
    for cell in notebook.code if found else ():
        if spelled_in(cell.source) is not None or "parameters" in cell.tags:
            continue
        try:
            cell_names = analyze_cell(python_of(cell.source), Context())
        except (SyntaxError, ValueError):
            continue
        if any(read.name in found for read in cell_names.reads):
            found.update(dict.fromkeys(given.name for given in cell_names.gives))
            found.update(dict.fromkeys(change.name for change in cell_names.changes))
    return tuple(found)
