"""All names that a tree mentions, and those that it may bind at top level: one quick pass, with no idea of order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from szal_nb.analysis.scope import bound_by, outside_of

_WORD = re.compile(r"[^\W\d]\w*")
# A longer text is prose, not a query or a shell line.
_LONGEST_TEXT = 5000
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_BINDING = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
    ast.MatchMapping,
)


@dataclass(slots=True)
class Survey:
    """`mentioned` are identifiers and words of strings; `imports` and what is `bound` stand outside of functions.

    `attributes` are the names behind dots, `classes` those that the module defines at its top.
    """

    mentioned: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    classes: list[ast.ClassDef] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)


def survey(tree: ast.AST) -> Survey:
    """What a module mentions, binds and imports."""
    found = Survey()
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, is_own = todo.pop()
        if type(node) is ast.Name:
            found.mentioned.add(node.id)
            if is_own and type(node.ctx) is ast.Store:
                found.bound.add(node.id)
        elif type(node) is ast.Constant:
            if isinstance(node.value, str) and len(node.value) < _LONGEST_TEXT:
                found.mentioned.update(_WORD.findall(node.value))
        else:
            _note(node, found, is_own=is_own)
            outside = {id(part) for part in outside_of(node)} if is_own and isinstance(node, _SCOPES) else None
            todo += [(child, is_own and (outside is None or id(child) in outside)) for child in _children(node)]
    found.imports.reverse()
    found.classes = [node for node in getattr(tree, "body", ()) if isinstance(node, ast.ClassDef)]
    return found


def _note(node: ast.AST, found: Survey, *, is_own: bool) -> None:
    if isinstance(node, ast.Attribute):
        found.attributes.add(node.attr)
    elif isinstance(node, ast.Global):
        found.mentioned.update(node.names)
        found.bound.update(node.names)
    elif is_own and isinstance(node, _BINDING):
        found.bound.update(bound_by(node))
    elif is_own and isinstance(node, ast.Import | ast.ImportFrom):
        found.imports.append(node)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    # As `ast.iter_child_nodes`, at half the price.
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            for part in value:
                if isinstance(part, ast.AST):
                    yield part
        elif isinstance(value, ast.AST):
            yield value
