"""All names that a tree mentions, and those that it may bind at top level: one quick pass, with no idea of order."""

from __future__ import annotations

import ast
import re
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
    """`mentioned` are identifiers and words of strings; `imports` stand outside of functions, as does what is `bound`."""

    mentioned: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)


def survey(tree: ast.AST) -> Survey:
    """What a module mentions, binds and imports."""
    found = Survey()
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, is_own = todo.pop()
        kind = type(node)
        if kind is ast.Name:
            found.mentioned.add(node.id)  # type: ignore[attr-defined]
            if is_own and type(node.ctx) is ast.Store:  # type: ignore[attr-defined]
                found.bound.add(node.id)  # type: ignore[attr-defined]
            continue
        if kind is ast.Constant:
            text = node.value  # type: ignore[attr-defined]
            if type(text) is str and len(text) < _LONGEST_TEXT:
                found.mentioned.update(_WORD.findall(text))
            continue
        if kind is ast.Global:
            found.mentioned.update(node.names)  # type: ignore[attr-defined]
            found.bound.update(node.names)  # type: ignore[attr-defined]
            continue
        if is_own and isinstance(node, _BINDING):
            found.bound.update(bound_by(node))
        elif is_own and isinstance(node, ast.Import | ast.ImportFrom):
            found.imports.append(node)
        outside = {id(part) for part in outside_of(node)} if is_own and isinstance(node, _SCOPES) else None
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                for part in value:
                    if isinstance(part, ast.AST):
                        todo.append((part, is_own and (outside is None or id(part) in outside)))
            elif isinstance(value, ast.AST):
                todo.append((value, is_own and (outside is None or isinstance(value, ast.arguments))))
    found.imports.reverse()
    return found
