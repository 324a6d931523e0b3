"""The types that a notebook's parameters can have, read from an annotation or a default, and their JSON Schema."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a type is made of, named as JSON Schema and messages need it."""

    ANY = "any value"
    BOOL = "true or false"
    INT = "a whole number"
    FLOAT = "a number"
    STR = "text"
    NONE = "none"
    LIST = "a list"
    TUPLE = "a tuple"
    SET = "a set"
    DICT = "a dictionary"
    CHOICE = "a choice"
    UNION = "one of several types"
    PATH = "a path"
    DATE = "a date"
    DATETIME = "a date with time"
    SECRET = "a secret"  # noqa: S105 - the name of a type


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterType:
    """A type. `items` are the types inside it; `written` is its Python text, by which the notebook knows it."""

    kind: Kind = Kind.ANY
    items: tuple[ParameterType, ...] = ()
    choices: tuple[Any, ...] = ()
    written: str = ""

    @property
    def is_secret(self) -> bool:
        """Whether a value of this type must never be shown or kept."""
        return self.kind is Kind.SECRET or any(item.is_secret for item in self.items)

    def __str__(self) -> str:
        if self.kind is Kind.CHOICE:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        if self.kind is Kind.UNION:
            return " or ".join(str(item) for item in self.items)
        if self.items and self.kind is not Kind.DICT:
            return f"{self.kind.value} ({', '.join(str(item) for item in self.items)})"
        return self.kind.value


_NAMED = {
    "bool": Kind.BOOL,
    "int": Kind.INT,
    "float": Kind.FLOAT,
    "str": Kind.STR,
    "None": Kind.NONE,
    "list": Kind.LIST,
    "List": Kind.LIST,
    "Sequence": Kind.LIST,
    "Iterable": Kind.LIST,
    "tuple": Kind.TUPLE,
    "Tuple": Kind.TUPLE,
    "set": Kind.SET,
    "Set": Kind.SET,
    "frozenset": Kind.SET,
    "dict": Kind.DICT,
    "Dict": Kind.DICT,
    "Mapping": Kind.DICT,
    "Path": Kind.PATH,
    "PurePath": Kind.PATH,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "Secret": Kind.SECRET,
}


def type_of_annotation(node: ast.expr) -> ParameterType:
    """The type that an annotation means; one that is not known takes any value."""
    written = ast.unparse(node)
    match node:
        case ast.Constant(value=None):
            return ParameterType(kind=Kind.NONE, written=written)
        case ast.Constant(value=str(text)):
            try:
                return type_of_annotation(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return ParameterType(written=text)
        case ast.BinOp(op=ast.BitOr()):
            return _union([type_of_annotation(node.left), type_of_annotation(node.right)], written)
        case ast.Subscript():
            return _subscripted(node, written)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return ParameterType(kind=_NAMED.get(name, Kind.ANY), written=written)
    return ParameterType(written=written)


def type_of_default(node: ast.expr) -> ParameterType:
    """The type of a parameter that has only a default."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _NAMED:
            return ParameterType(kind=_NAMED[name], written=ast.unparse(node.func))
        case ast.Call(func=ast.Attribute(value=owner, attr="fromisoformat" | "today" | "now")):
            return type_of_annotation(owner)
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError):
        return ParameterType()
    kind = _NAMED.get(type(value).__name__, Kind.ANY)
    return ParameterType(kind=Kind.ANY if value is None else kind, written=type(value).__name__)


def _subscripted(node: ast.Subscript, written: str) -> ParameterType:
    name = ast.unparse(node.value).rpartition(".")[2]
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        try:
            return ParameterType(kind=Kind.CHOICE, choices=tuple(map(ast.literal_eval, inner)), written=written)
        except ValueError:
            return ParameterType(written=written)
    if name in ("Annotated", "Final", "Required"):
        return type_of_annotation(inner[0])
    types = [type_of_annotation(item) for item in inner if not _is_ellipsis(item)]
    if name == "Optional":
        return _union([*types, ParameterType(kind=Kind.NONE, written="None")], written)
    if name == "Union":
        return _union(types, written)
    return ParameterType(kind=_NAMED.get(name, Kind.ANY), items=tuple(types), written=written)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _union(types: Sequence[ParameterType], written: str) -> ParameterType:
    flat = [item for each in types for item in (each.items if each.kind is Kind.UNION else (each,))]
    return ParameterType(kind=Kind.UNION, items=tuple(flat), written=written)


def json_schema(type_: ParameterType) -> dict[str, Any]:
    """The type in JSON Schema (draft 2020-12)."""
    items = [json_schema(item) for item in type_.items]
    match type_.kind:
        case Kind.ANY:
            return {}
        case Kind.CHOICE:
            return {"enum": list(type_.choices)}
        case Kind.UNION:
            return {"anyOf": items}
        case Kind.LIST:
            return {"type": "array", **({"items": items[0]} if items else {})}
        case Kind.SET:
            return {"type": "array", "uniqueItems": True, **({"items": items[0]} if items else {})}
        case Kind.TUPLE if type_.written.endswith("...]"):
            return {"type": "array", "items": items[0]}
        case Kind.TUPLE:
            return {"type": "array", **({"prefixItems": items, "items": False} if items else {})}
        case Kind.DICT:
            return {"type": "object", **({"additionalProperties": items[1]} if len(items) == 2 else {})}
        case Kind.SECRET:
            return {"type": "string", "writeOnly": True}
    return {
        Kind.BOOL: {"type": "boolean"},
        Kind.INT: {"type": "integer"},
        Kind.FLOAT: {"type": "number"},
        Kind.NONE: {"type": "null"},
        Kind.DATE: {"type": "string", "format": "date"},
        Kind.DATETIME: {"type": "string", "format": "date-time"},
    }.get(type_.kind, {"type": "string"})
