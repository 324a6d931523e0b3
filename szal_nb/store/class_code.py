"""What tells the code of a notebook's class from other code, in every process: it is recorded with its instances.

Two objects of one state are not the same if their methods are not.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from szal_nb.analysis.fingerprint import code_digest
from szal_nb.model.own_code import defined_members

NOTEBOOK = "__main__"
# What a digest was made of: those of different kinds cannot be compared. "code " was made of functions in an order that
# a class does not keep when it is stored.
_OF_TEXT, _OF_CODE = "text ", "made "
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def code_of_class(kind: type) -> str:
    """The digest of the class with those of its bases that the notebook defines; "" for one without code of its own."""
    own = [one for one in kind.__mro__ if one.__module__ == NOTEBOOK]
    found = [told for one in own if (told := _told_of(one))]
    if len(found) < 2:
        return "".join(found)
    is_of_text = all(one.startswith(_OF_TEXT) for one in found)
    return (_OF_TEXT if is_of_text else _OF_CODE) + _hash("\0".join(found))


def is_other_code(then: str, now: str) -> bool:
    """Whether two digests are known to be of different code."""
    return bool(then and now) and then[: len(_OF_TEXT)] == now[: len(_OF_TEXT)] and then != now


def _told_of(kind: type) -> str:
    """By the text of the class where that is known: with what is no method, without comments and layout."""
    parts = sorted(_functions_of(kind), key=lambda part: part[0])
    for _, function in parts:
        code = function.__code__
        text = _text_around(kind.__name__, code.co_firstlineno, "".join(linecache.getlines(code.co_filename)))
        if text is not None:
            return _OF_TEXT + code_digest(text)
    return (
        _OF_CODE + _hash(repr([(name, *_defaults(one), _told(one.__code__)) for name, one in parts])) if parts else ""
    )


def _functions_of(kind: type) -> Iterator[tuple[str, FunctionType]]:
    """The functions of a class, each with its name and what it is there."""
    for name, member in defined_members(kind).items():
        parts = (member.fget, member.fset, member.fdel) if isinstance(member, property) else (member,)
        for part in map(_unwrapped, parts):
            if isinstance(part, FunctionType):
                yield f"{name} {type(member).__name__}", part


def _defaults(function: FunctionType) -> Iterator[str]:
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        # What grows with each call is no part of the code.
        yield repr(default) if type(default) in _PLAIN else type(default).__name__


def _unwrapped(part: Any) -> Any:
    # Of a class method, a static one, a cached property, a partial method, and of what a decorator has wrapped.
    inner = getattr(part, "__func__", None) or getattr(part, "func", part)
    return getattr(inner, "__wrapped__", inner)


@lru_cache(maxsize=1000)
def _text_around(name: str, line: int, text: str) -> str | None:
    """The text of the class of this name that has this line of the whole text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= line <= (node.end_lineno or 0):
                return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
    return None


def _told(code: CodeType) -> object:
    """Code as plain data, the same in every process of one version of Python."""
    constants = [_told(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return code.co_name, code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants


def _constant(value: object) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
