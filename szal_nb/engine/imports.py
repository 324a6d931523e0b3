"""What steps have imported that do not run in this process: a module leaves more behind than its name.

A library registers its colour maps, its accessors of tables, its codecs. Other steps use these without naming it.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Iterator

from szal_nb.model.step import Executor, Step, StepKind

log = logging.getLogger(__name__)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def import_again(steps: Iterable[Step]) -> None:
    """Imports what the bodies of these steps import, in their order. What cannot be imported any more is left out.

    Called in a worker thread: modules may take seconds, and thousands of bodies are read.
    """
    for step, module, names in _imports(steps):
        try:
            __import__(module, fromlist=names)
        except Exception as error:  # noqa: BLE001  the code of any module; a step that needs it will say so
            log.info("%s, which step %r has imported, cannot be imported again: %s", module, step, error)


def _imports(steps: Iterable[Step]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The step, a module, and names that may be modules in it, of each import of bodies that ran in this process."""
    for step in steps:
        if "import" in step.source and step.executor is not Executor.PROCESS:
            yield from ((step.name, *found) for found in _imports_of(step))


def _imports_of(step: Step) -> Iterator[tuple[str, tuple[str, ...]]]:
    try:
        todo: list[ast.AST] = list(ast.parse(step.source).body)
    except SyntaxError:
        return
    if step.kind is StepKind.FUNCTION:
        todo = [part for node in todo if isinstance(node, _FUNCTIONS) for part in node.body]
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, tuple(alias.name for alias in node.names if alias.name != "*")
        elif not isinstance(node, _FUNCTIONS):
            todo += [part for part in ast.iter_child_nodes(node) if not isinstance(part, ast.expr)]
