"""Migrations of flows that are defined by notebooks: the new version from a file or the kernel, and what it declares.

The functions that a notebook decorates with `@szal.migration(…)` are the only code of it that is executed here, with
its imports: the rest is read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from szal_nb.analysis.graph import build_graph
from szal_nb.api.fingerprints import fingerprinted
from szal_nb.api.migration import NewVersion
from szal_nb.errors import MigrationError
from szal_nb.notebook.document import Notebook, parse_notebook, parse_python, python_of, read_notebook
from szal_nb.notebook.flags import spelled_in
from szal_nb.notebook.reader import read_flow
from szal_nb.store.runs import RunStore


def version_in(path: str | Path, flow: str) -> NewVersion:
    """The version of a flow that a notebook defines, with the migrations that it declares."""
    notebook = read_notebook(path)
    found = read_flow(notebook, name=flow)
    graph = fingerprinted(build_graph(found.definition, found.surroundings), found.surroundings)
    declare_from(notebook)
    return NewVersion(graph=graph, notebook=notebook.text, notebook_path=Path(path).absolute())


def version_run(store: RunStore, flow: str, version: int) -> NewVersion:
    """The newest run of this version of a flow, as what others may be carried to, with what its notebook declares.

    One that was imported does not count: its code is somebody else's.
    """
    for run in store.runs(flow=flow):
        if run.version == version and not run.imported:
            path = Path(run.notebook_path) if run.notebook_path else None
            text = store.notebook(run.id)
            if text is not None:
                declare_from(parse_notebook(text, path=path))
            return NewVersion(graph=store.graph(run.id), notebook=text, notebook_path=path)
    raise MigrationError(
        f"No run of version {version} of flow {flow!r} is in {store.path}; name the notebook that defines it."
    )


def declare_from(notebook: Notebook) -> None:
    """Declares the migrations that the cells of a notebook define."""
    definitions = list(_definitions(notebook))
    if not any(isinstance(node, ast.FunctionDef) for node in definitions):
        return
    # Written by whoever runs this, in the notebook that they name.
    space: dict[str, Any] = {"__name__": "__main__"}
    for node in definitions:
        code = compile(ast.Module([node], []), f"<{notebook.label}>", "exec")
        try:
            exec(code, space)  # noqa: S102 the declarations of the notebook that was named
        except ImportError:
            # Needed by other cells, perhaps; a function that needs it says so when it is called.
            continue
        except (Exception, SystemExit) as error:
            raise MigrationError(
                f"{notebook.label}: the cell that declares a migration failed: {type(error).__name__}: {error}"
            ) from error


def _definitions(notebook: Notebook) -> Iterator[ast.stmt]:
    """The notebook's imports, and the functions that declare migrations, in their order."""
    for cell in notebook.code:
        if spelled_in(cell.source) is not None:
            continue
        try:
            tree = parse_python(python_of(cell.source))
        except (SyntaxError, ValueError):
            continue
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom) or (
                isinstance(node, ast.FunctionDef) and any(map(_declares, node.decorator_list))
            ):
                yield node


def _declares(decorator: ast.expr) -> bool:
    match decorator:
        case ast.Call(func=ast.Attribute(attr="migration") | ast.Name(id="migration")):
            return True
    return False
