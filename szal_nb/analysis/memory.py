"""Functions of the notebook that remember: they give again what they gave before, or count their calls.

Their decorators make them so. Whoever changes in place what such a function gave changes what all others get of it.
Told from the text of the decorators; of those of libraries from their names, since what they do is not looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from szal_nb.analysis import scope
from szal_nb.analysis.attributes import changed_place
from szal_nb.analysis.surroundings import NameKind, NotebookName, module_of

Look = Callable[[str], NotebookName | None]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NESTED = (*_FUNCTIONS, ast.Lambda)
# How decorators are called that keep what a function gives: `functools.lru_cache`, `cachetools.cached`, `memoize`.
_REMEMBERING = re.compile(r"cache|memo|singleton|once", re.IGNORECASE)
_CACHES = frozenset({"cache", "lru_cache", "cached", "memoize"})
# What looks up, puts down and throws away under a key: another call under the key gives the same again.
_LOOKING_UP = frozenset({"setdefault", "pop", "popitem", "clear", "update", "move_to_end", "cache_clear"})
# What it keeps is the object's own.
_PER_OBJECT = "cached_property"
# Begins the kind of the value that such a function is.
_KIND = "remembering "


def kind_of(name: str, memory: str) -> str:
    """The kind of the value that such a function is: under which name it is known, and under which it remembers."""
    return f"{_KIND}{name} {memory}"


def is_remembering(kind: str) -> bool:
    """Whether this is the kind of such a function."""
    return kind.startswith(_KIND)


def names_of(kind: str) -> tuple[str, str]:
    """What `kind_of` was made of."""
    _, name, memory = kind.split(" ")
    return name, memory


def remembers(source: str, look: Look) -> bool:
    """Whether a decorator of the function of this text makes it remember; `look` knows the names of the notebook."""
    return any(_makes_remember(decorator, look) for decorator in _decorators(source))


@lru_cache(maxsize=20_000)
def remembering_methods(source: str) -> frozenset[str]:
    """The methods of the class of this text that remember what they gave."""
    body = _parsed(source).body
    return frozenset(
        inner.name
        for node in body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, _FUNCTIONS) and is_remembering_method(inner)
    )


@lru_cache(maxsize=20_000)
def _decorators_of_methods(source: str) -> tuple[ast.expr, ...]:
    return tuple(
        decorator
        for node in _parsed(source).body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, _FUNCTIONS)
        for decorator in inner.decorator_list
    )


def notes_calls(source: str, look: Look) -> bool:
    """Whether a decorator of the notebook notes something with each call of a method of the class of this text."""
    for decorator in _decorators_of_methods(source):
        known = _known(decorator, look)
        if known is not None and known.kind != NameKind.MODULE and keeps_between_calls(known.source or ""):
            return True
    return False


def is_remembering_method(node: ast.AST) -> bool:
    """Whether a method remembers what it gave, for all objects of its class."""
    return any(
        is_remembering_name(decorator) and not ast.unparse(decorator).endswith(_PER_OBJECT)
        for decorator in getattr(node, "decorator_list", ())
    )


def counts(source: str, look: Look) -> bool:
    """Whether each call of the function of this text may give another answer, because a decorator counts the calls."""
    return any(
        (known := _known(decorator, look)) is not None
        and known.kind != NameKind.MODULE
        and bool(known.source)
        and counts_calls(known.source or "")
        for decorator in _decorators(source)
    )


def is_remembering_name(node: ast.expr) -> bool:
    """Whether a decorator is called as those are that keep what a function gives."""
    return is_called_so(ast.unparse(_called(node)))


def is_called_so(dotted: str) -> bool:
    """Whether this is the name of a decorator that keeps what a function gives."""
    return _REMEMBERING.search(dotted) is not None


def name_in(source: str) -> str:
    """The name with which the function of this text was defined."""
    node = _defined(source)
    return node.name if node is not None else ""


@lru_cache(maxsize=20_000)
def _defined(source: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    body = _parsed(source).body
    return body[0] if len(body) == 1 and isinstance(body[0], _FUNCTIONS) else None


def _decorators(source: str) -> list[ast.expr]:
    node = _defined(source)
    return node.decorator_list if node is not None else []


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _known(decorator: ast.expr, look: Look) -> NotebookName | None:
    root = _root(decorator)
    return look(root.id) if isinstance(root, ast.Name) else None


def _makes_remember(decorator: ast.expr, look: Look) -> bool:
    root, known = _root(decorator), _known(decorator, look)
    if isinstance(root, ast.Name) and known is not None and known.kind == NameKind.MODULE:
        dotted = module_of(root.id, known) + ast.unparse(_called(decorator)).removeprefix(root.id)
        return _REMEMBERING.search(dotted) is not None
    if known is not None and known.source:
        return keeps_between_calls(known.source)
    return is_remembering_name(decorator)


@lru_cache(maxsize=20_000)
def keeps_between_calls(source: str) -> bool:
    """Whether what the decorator of this text makes has something that outlives a call, and that calls change."""
    tree = _parsed(source)
    names = (node.id if isinstance(node, ast.Name) else getattr(node, "attr", "") for node in ast.walk(tree))
    return not _CACHES.isdisjoint(names) or any(True for function in _made(tree) for _ in _lasting_changes(function))


@lru_cache(maxsize=20_000)
def counts_calls(source: str) -> bool:
    """Whether calls of what the decorator of this text makes change more than what they look up and put down."""
    return any(_counts(node, function) for function in _made(_parsed(source)) for node in _lasting_changes(function))


def _counts(node: ast.AST, function: ast.AST) -> bool:
    match node:
        case ast.Nonlocal(names=names):
            adding = (one.target for one in ast.walk(function) if isinstance(one, ast.AugAssign))
            return any(isinstance(target, ast.Name) and target.id in names for target in adding)
        case ast.Call(func=ast.Attribute(attr=name)):
            return name not in _LOOKING_UP
        case ast.AugAssign() | ast.Call():
            return True
    return False


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def _made(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
    """The functions that a decorator makes: those inside of it, and the methods of a class."""
    for outer in tree.body:
        for node in ast.walk(outer):
            if node is not outer and isinstance(node, _NESTED) and getattr(node, "name", "") != "__init__":
                yield node


def _lasting_changes(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[ast.AST]:
    """What in the function changes something that outlives a call; of a method, also what its object has."""
    own = scope.local_names(function) - {arg.arg for arg in function.args.args[:1] if arg.arg == "self"}
    for node in ast.walk(function):
        place = node.target if isinstance(node, ast.AugAssign) else changed_place(node)
        is_name = isinstance(node, ast.AugAssign) and isinstance(place, ast.Name)
        root = _root(place) if place is not None and not is_name else None
        if isinstance(node, ast.Nonlocal) or (isinstance(root, ast.Name) and root.id not in own):
            yield node
