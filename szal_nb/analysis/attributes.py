"""What code changes of the attributes of functions and classes, told from its text alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from szal_nb.analysis.scope import defaults_of
from szal_nb.analysis.tables import CHANGING, CHANGING_AS_STATEMENT, words

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What such an attribute of a class is made by, if others may change it.
_MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS = words("""
list dict set sorted bytearray deque defaultdict OrderedDict Counter
array zeros ones full empty arange linspace DataFrame Series
""")
# Methods whose first argument is a class without being marked so.
_OF_CLASSES = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})


@lru_cache(maxsize=20_000)
def attributes_changed(source: str) -> frozenset[str]:
    """The names whose own attributes the code changes: of functions, and of classes, also through their instances."""
    if not any(mark in source for mark in (".", "[", "attr(")):
        return frozenset()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    found = {root.id for owner, _ in _changes(tree) if isinstance(root := _root(owner), ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and _keeps(node):
            found.add(node.name)
    return frozenset(found)


def _keeps(node: ast.ClassDef) -> bool:
    """Whether methods of the class change what all of its instances have in common."""
    common = {
        target.id
        for part in node.body
        if isinstance(part, ast.Assign | ast.AnnAssign) and not isinstance(part.value, ast.Constant | None)
        for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
        if isinstance(target, ast.Name)
    }
    for method in node.body:
        if not isinstance(method, _FUNCTIONS) or not (method.args.posonlyargs or method.args.args):
            continue
        first = (*method.args.posonlyargs, *method.args.args)[0].arg
        is_of_class = method.name in _OF_CLASSES or any(
            isinstance(one, ast.Name) and one.id == "classmethod" for one in method.decorator_list
        )
        grown = {name for name, default in defaults_of(method) if not isinstance(default, ast.Constant | ast.Name)}
        for owner, attribute in _changes(method):
            if isinstance(owner, ast.Name) and owner.id == first:
                # An attribute that is assigned is the instance's own from then on; a class's is the class's.
                if is_of_class or (attribute in common and not _is_assigned(method, first, attribute)):
                    return True
            elif _is_class_of(owner, first):
                return True
        if grown & _changed_names(method):
            return True
    return False


def _root(owner: ast.expr) -> ast.expr:
    """What the dots begin with: a class inside of a class is a part of that."""
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return owner


def _is_assigned(method: ast.AST, owner: str, attribute: str) -> bool:
    """Whether the attribute is bound anew on the object, so that what follows is about its own."""
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
        for statement in ast.walk(method)
        if isinstance(statement, ast.Assign)
        for node in statement.targets
    )


def _is_class_of(owner: ast.expr, first: str) -> bool:
    match owner:
        case ast.Attribute(value=ast.Name(id=name), attr="__class__"):
            return name == first
        case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]):
            return name == first
    return False


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """What has an attribute that is bound, deleted or changed in place, and which."""
    for node in ast.walk(tree):
        place = changed_place(node)
        while isinstance(place, ast.Subscript):
            place = place.value
        if isinstance(place, ast.Attribute):
            yield place.value, place.attr
        match node:
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[owner, name, *_]):
                yield owner, str(name.value) if isinstance(name, ast.Constant) else ""


def _changed_names(tree: ast.AST) -> set[str]:
    """Names whose objects are changed in place."""
    found = set()
    for node in ast.walk(tree):
        place = changed_place(node)
        while isinstance(place, ast.Subscript):
            place = place.value
        if isinstance(place, ast.Name):
            found.add(place.id)
    return found


def changed_place(node: ast.AST) -> ast.expr | None:
    """What this very node changes in place; None if it changes nothing."""
    match node:
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            return node
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in CHANGING or name in CHANGING_AS_STATEMENT:
            return owner
        case ast.Call(func=ast.Name(id="next"), args=[owner, *_]):
            return owner
        case ast.Call(func=ast.Attribute(attr="cache_info" | "cache_clear") as place):
            # What a cache of `functools` holds is told, or thrown away.
            return place
    return None


@lru_cache(maxsize=20_000)
def mutable_attributes(source: str, name: str) -> frozenset[str]:
    """The attributes that the class of this name has from its body and that are lists, dicts or sets."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(
        target.id
        for node in body
        if isinstance(node, ast.ClassDef) and node.name == name
        for part in node.body
        if isinstance(part, ast.Assign | ast.AnnAssign) and _makes_mutable(part.value)
        for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
        if isinstance(target, ast.Name)
    )


def _makes_mutable(made: ast.expr | None) -> bool:
    match made:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _MAKERS
        case ast.BinOp(left=left, right=right):
            return _makes_mutable(left) or _makes_mutable(right)
    return isinstance(made, _MUTABLE)


@lru_cache(maxsize=20_000)
def has_only_methods(source: str) -> bool:
    """Whether the bodies of the classes in this text are methods and constants, and nothing else."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return bool(classes) and all(
        isinstance(part, (*_FUNCTIONS, ast.Pass, ast.Expr))
        or (isinstance(part, ast.Assign | ast.AnnAssign) and isinstance(part.value, ast.Constant | None))
        for node in classes
        for part in node.body
    )
