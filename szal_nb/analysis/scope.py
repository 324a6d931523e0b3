"""Which names a piece of code binds, and where: Python's rules of scope, with no idea of order or values."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def target_names(target: ast.AST) -> Iterator[str]:
    """The plain names that an assignment to `target` binds."""
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def pattern_names(pattern: ast.AST) -> Iterator[str]:
    """The names that a match pattern captures."""
    for node in ast.walk(pattern):
        if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name is not None:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest is not None:
            yield node.rest


def imported_names(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str]]:
    """(bound name, statement that binds only it, dotted thing) for each name of an import; `*` is left out."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, f"import {alias.name} as {alias.asname}", alias.name
            else:
                yield alias.name.partition(".")[0], f"import {alias.name}", alias.name.partition(".")[0]
        return
    module = "." * node.level + (node.module or "")
    for alias in node.names:
        if alias.name != "*":
            renamed = f" as {alias.asname}" if alias.asname else ""
            dotted = f"{module}.{alias.name}" if not module.endswith(".") else module + alias.name
            yield alias.asname or alias.name, f"from {module} import {alias.name}{renamed}", dotted


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of `body` that run in its own scope: of a nested function or class only the node itself."""
    todo = list(body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, _SCOPES):
            todo.extend(outside_of(node))
        else:
            todo.extend(ast.iter_child_nodes(node))


def outside_of(node: ast.AST) -> list[ast.AST]:
    """The parts of a function or class that run where it is defined: decorators, defaults, bases, annotations."""
    found: list[ast.AST] = []
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        found += node.decorator_list
        if node.returns is not None:
            found.append(node.returns)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        args = node.args
        found += args.defaults
        found += [default for default in args.kw_defaults if default is not None]
        found += [arg.annotation for arg in every_argument(args) if arg.annotation is not None]
    return found


def type_parameters(node: ast.AST) -> list[ast.AST]:
    """The type parameters of a generic function, class or alias (Python 3.12 or newer): nodes with a `name`."""
    return list(getattr(node, "type_params", ()))


def every_argument(args: ast.arguments) -> list[ast.arg]:
    """All parameters, in the order in which they are written."""
    found = [*args.posonlyargs, *args.args]
    if args.vararg:
        found.append(args.vararg)
    found += args.kwonlyargs
    if args.kwarg:
        found.append(args.kwarg)
    return found


def defaults_of(node: Function) -> Iterator[tuple[str, ast.expr]]:
    """The parameters that have a default, and these."""
    args = node.args
    plain = [*args.posonlyargs, *args.args]
    yield from zip((one.arg for one in plain[len(plain) - len(args.defaults) :]), args.defaults, strict=True)
    for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def body_of(node: Function) -> list[ast.stmt]:
    """The statements of a function; a lambda's expression as a return."""
    if isinstance(node, ast.Lambda):
        return [ast.copy_location(ast.Return(value=node.body), node.body)]
    return node.body


def local_names(node: Function) -> frozenset[str]:
    """The names that are local to a function: its parameters and what it binds, but for `global` and `nonlocal`."""
    bound = {arg.arg for arg in every_argument(node.args)}
    free: set[str] = set()
    for inner in own_nodes(body_of(node)):
        match inner:
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                free.update(names)
            case _:
                bound.update(bound_by(inner))
    return frozenset(bound - free - _only_in_comprehensions(node, bound))


def bound_by(node: ast.AST) -> Iterator[str]:
    """The names that this very node binds."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import() | ast.ImportFrom():
            for name, _, _ in imported_names(node):
                yield name
        case ast.ExceptHandler(name=str() as name):
            yield name
        case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
            yield name
        case ast.MatchMapping(rest=str() as name):
            yield name


def _only_in_comprehensions(node: Function, bound: set[str]) -> set[str]:
    """Names that only targets of comprehensions bind: those are local to the comprehension."""
    inside: set[int] = set()
    names: set[str] = set()
    for inner in own_nodes(body_of(node)):
        if isinstance(inner, _COMPREHENSIONS):
            for generator in inner.generators:
                for target in ast.walk(generator.target):
                    inside.add(id(target))
                names.update(target_names(generator.target))
    if not names:
        return set()
    elsewhere = {arg.arg for arg in every_argument(node.args)}
    for inner in own_nodes(body_of(node)):
        if id(inner) not in inside:
            elsewhere.update(bound_by(inner))
    return (names & bound) - elsewhere
