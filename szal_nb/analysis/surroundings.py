"""What the notebook itself binds outside of steps, as far as the analysis needs to know it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from szal_nb.analysis.scope import imported_names
from szal_nb.analysis.tables import CONVENTIONS


class NameKind(StrEnum):
    """What a name of the notebook is bound to.

    module: also whatever an import statement bound. function: a plain function, which is looked through. class, and
    callable (a decorated function, a closure, any other thing that is called): used as they are. data: an input of
    the run.
    """

    MODULE = "module"
    FUNCTION = "function"
    CLASS = "class"
    CALLABLE = "callable"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class NotebookName:
    """One name of the notebook. `source`: its text, dedented. `statement`: the import statement that bound it.

    `attributes`: of a function or class, what the notebook assigned to it since, with the statement.
    `reads`: the globals that the code in it reads, where that was seen in the object and not in its text. `made`: of
    data, the kind (see `names.Given`), where it is one that cannot change, or is used up by going through it.
    """

    kind: str
    source: str | None = None
    statement: str | None = None
    reads: tuple[str, ...] = ()
    made: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


class Watch(Protocol):
    """Looks at names of a notebook, and knows at little cost which of them have changed."""

    def look(self, name: str) -> NotebookName | None:
        """What the notebook binds under the name now."""
        ...

    def changed(self, seen: Mapping[str, NotebookName | None]) -> list[str]:
        """Those of the names that are something else by now than when they were last looked at, which is in `seen`."""
        ...

    def names(self) -> Iterable[str]:
        """All names of the notebook."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that the notebook binds outside of steps. `with_code` may say which of the names have a source.

    `watch` looks at the same names, and stays the same while cells are executed.
    """

    names: Mapping[str, NotebookName] = field(default_factory=dict)
    with_code: Collection[str] | None = None
    watch: Watch | None = None


def module_of(name: str, known: NotebookName) -> str:
    """The dotted thing that a module's name stands for."""
    if known.statement:
        try:
            body = ast.parse(known.statement).body
        except SyntaxError:
            body = []
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for bound, _, dotted in imported_names(node):
                    if bound == name:
                        return dotted
    return CONVENTIONS.get(name, name)


IPYTHON_NAMES = frozenset({"get_ipython", "display", "In", "Out", "exit", "quit", "_", "__", "___"})
NAMES_OF_PYTHON = frozenset(dir(builtins)) | IPYTHON_NAMES
