"""What `unittest.mock.patch` puts into modules and classes: told from the texts and names that it is called with."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from szal_nb.model.kept import UNTOLD

_PATCH = "unittest.mock.patch"
PATCHERS = frozenset({_PATCH, f"{_PATCH}.object", f"{_PATCH}.dict", f"{_PATCH}.multiple"})
# Takes away all that any step has put in place.
STOPPING_ALL = f"{_PATCH}.stopall"
# Methods of a patcher that put something in place, or take it away.
STARTING = frozenset({"start", "stop", "__enter__", "__exit__"})


def patched_by(name: str, call: ast.Call, refs: Sequence[str]) -> list[str]:
    """The dotted things that this call puts something in place of; none if they cannot be told.

    `name` is what is called, `refs` are the dotted things that its arguments are ("" for others).
    """
    target = _dotted(call.args[0], refs[0]) if call.args else ""
    if not target:
        return []
    if name == f"{_PATCH}.object":
        attribute = _dotted(call.args[1], "") if len(call.args) > 1 else ""
        return [f"{target}.{attribute}"] if attribute.isidentifier() else []
    if name == f"{_PATCH}.multiple":
        return [f"{target}.{keyword.arg}" for keyword in call.keywords if keyword.arg is not None]
    return [target]


def patcher_kind(found: Sequence[str]) -> str:
    """The kind of a patcher of these dotted things."""
    return " ".join((_PATCH, *found))


def put_by(kind: str) -> list[str]:
    """What a patcher of this kind puts something in place of; `UNTOLD` if the code does not tell, none for all else.

    >>> put_by("unittest.mock.patch math.pi"), put_by("unittest.mock.patch"), put_by("list")
    (['math.pi'], ['?'], [])
    """
    name, *found = kind.split(" ")
    return (found or [UNTOLD]) if name in PATCHERS else []


def _dotted(node: ast.expr, ref: str) -> str:
    return ref or dotted_in(node)


def dotted_in(node: ast.expr) -> str:
    """The dotted name that a text in the code is; "" if it is another thing."""
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) and all(map(str.isidentifier, text.split("."))) else ""
