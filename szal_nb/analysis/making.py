"""What an expression makes, told without walking through code; for `surroundings.NotebookName.made`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from szal_nb.analysis import mocking
from szal_nb.analysis.surroundings import NameKind, NotebookName, module_of
from szal_nb.analysis.tables import DRAWINGS, GENERATOR_KINDS, IMMUTABLE, USED_UP, gives_drawing, makes_drawing

_NUMBERS = ("bool", "int", "float", "complex")
_BUILTINS = {
    **{kind: kind for kind in ("int", "float", "complex", "str", "bytes", "bool", "range")},
    "len": "int", "ord": "int", "hash": "int", "repr": "str", "chr": "str", "ascii": "str", "open": "file",
}  # fmt: skip


def kind_made(node: ast.expr, names: Mapping[str, NotebookName]) -> str:
    """The kind of what cannot change, is used up by going through it, is drawn on or patches; "" of all else.

    >>> [kind_made(ast.parse(text, mode="eval").body, {}) for text in ("60 * 1.5", "iter([1])", "[1]")]
    ['float', 'iter', '']
    """
    match node:
        case ast.Constant(value=value):
            kind = "None" if value is None else type(value).__name__
            return kind if kind in IMMUTABLE else ""
        case ast.JoinedStr():
            return "str"
        case ast.GeneratorExp():
            return "generator"
        case ast.UnaryOp(operand=operand):
            kind = kind_made(operand, names)
            return kind if kind in _NUMBERS else ""
        case ast.BinOp(left=left, right=right):
            return _of_both(kind_made(left, names), kind_made(right, names))
        case ast.Tuple(elts=elements):
            return "tuple" if all(kind_made(element, names) in IMMUTABLE for element in elements) else ""
        case ast.Name(id=name) if name in names:
            return names[name].made
        case ast.Call(func=function):
            return _of_call(_dotted(function, names), node, names) or _on_drawing(function, names)
        case ast.Attribute() | ast.Subscript():
            return _on_drawing(node, names)
    return ""


def is_told(kind: str) -> bool:
    """Whether this is the kind of what is drawn on or drawn from, or of a patcher, as `kind_made` tells it."""
    return kind.startswith(DRAWINGS) or kind in GENERATOR_KINDS or bool(mocking.put_by(kind))


def _on_drawing(node: ast.expr, names: Mapping[str, NotebookName]) -> str:
    """The kind of what is a part of a drawing, or on it, as `axes[0]` and `fig.add_subplot()`; "" of all else."""
    match node:
        case ast.Attribute(value=owner, attr=name) if gives_drawing(name):
            kind = kind_made(owner, names)
        case ast.Subscript(value=owner):
            kind = kind_made(owner, names)
        case _:
            return ""
    return kind if kind.startswith(DRAWINGS) else ""


def _of_both(left: str, right: str) -> str:
    if left in _NUMBERS and right in _NUMBERS:
        return max(left, right, key=_NUMBERS.index)
    return left if left == right and left in ("str", "bytes") else ""


def _of_call(dotted: str, node: ast.Call, names: Mapping[str, NotebookName]) -> str:
    if dotted in mocking.PATCHERS:
        refs = [_dotted(argument, names) for argument in node.args]
        return mocking.patcher_kind(mocking.patched_by(dotted, node, refs))
    if dotted in _BUILTINS:
        return _BUILTINS[dotted]
    is_known = (
        dotted in USED_UP or dotted in GENERATOR_KINDS or dotted.startswith("itertools.") or makes_drawing(dotted)
    )
    return dotted if is_known else ""


def _dotted(node: ast.expr, names: Mapping[str, NotebookName]) -> str:
    """The dotted thing that an expression names; "" if it names none."""
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    if not isinstance(node, ast.Name):
        return ""
    known = names.get(node.id)
    if known is None:
        return node.id
    return module_of(node.id, known) if known.kind == NameKind.MODULE else ""
