"""What functions and classes of the notebook keep from call to call: a default that grows, and attributes.

It is hidden state: it has no name of its own, and is ordered, recorded and put back as a generator's is. Told from
the text alone, so that it may be told of more than there is, which costs an order and no answer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from szal_nb.analysis.glance import Glance
from szal_nb.analysis.hidden import spelled
from szal_nb.analysis.names import Change, StateUse
from szal_nb.analysis.resolved import Resolved
from szal_nb.analysis.scope import defaults_of
from szal_nb.analysis.surroundings import NotebookName
from szal_nb.analysis.tables import CHANGING, CHANGING_AS_STATEMENT
from szal_nb.errors import InvalidStep
from szal_nb.model.kept import attributes_state, default_owner, patched
from szal_nb.model.step import Executor

# The rule of a change of a function by its calls.
KEEPS = "keeps from call to call"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def take_kept(
    found: Resolved,
    glance: Glance,
    around: Mapping[str, NotebookName],
    classes: Mapping[str, frozenset[str]],
) -> None:
    """Adds to what was found of a step what functions and classes that it uses keep.

    Of the notebook's (`around`) it is a hidden state; a function that a step gave is changed by its calls. `classes`
    are those that keep something, with their methods.
    """
    names = found.names
    given = {name: version.function for name, version in found.from_version.items() if version.function}
    changes, states = list(names.changes), []
    for use in names.states:
        owner = default_owner(use.state)
        if owner is not None and owner[0] in given:
            changes.append(Change(owner[0], use.line, KEEPS, use.what))
        else:
            states.append(use)
    # What has no text is an object that a function finds by itself, not code.
    sources = {name: source for name in found.definitions if name in around and (source := around[name].source)}
    changed = {name for source in (*sources.values(), *given.values()) for name in attributes_changed(source)}
    if any(f"{name}." in glance.source for name in (*sources, *given)):
        changed |= attributes_changed(glance.source)
    changes += [Change(name, 0, KEEPS, f"{name}.… =") for name in given if name in changed]
    used = {name: None for name in found.definitions if name in changed and name in sources and name not in given}
    used |= {name: None for name, methods in classes.items() if not methods.isdisjoint(glance.attributes)}
    states += [StateUse(attributes_state(name), 0, is_write=True, what=name) for name in used]
    kept = dict.fromkeys((*used, *(owner[0] for use in states if (owner := default_owner(use.state)))))
    if found.step.executor is Executor.PROCESS:
        _refuse_patches(found)
    if kept and found.step.executor is Executor.PROCESS:
        raise InvalidStep(
            found.step.name,
            f"it changes what {', '.join(kept)} keeps from call to call, which another process does not share.",
            "Remove --executor process, or pass what is kept as an argument.",
        )
    if len(changes) > len(names.changes) or len(states) != len(names.states):
        pure = found.step.pure
        states = [use for use in states if spelled(use.state) not in pure]
        found.names = replace(names, changes=tuple(changes), states=tuple(states))


def _refuse_patches(found: Resolved) -> None:
    for dotted in filter(None, (patched(use.state) for use in found.names.states)):
        raise InvalidStep(
            found.step.name,
            f"it changes {dotted}, which another process does not share.",
            "Remove --executor process, or do it in a step that runs in this process.",
        )


@lru_cache(maxsize=20_000)
def attributes_changed(source: str) -> frozenset[str]:
    """The names whose own attributes the code changes: of functions, and of classes, also through their instances."""
    if "." not in source:
        return frozenset()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    found = {owner.id for owner, _ in _changes(tree) if isinstance(owner, ast.Name)}
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
        is_of_class = any(isinstance(one, ast.Name) and one.id == "classmethod" for one in method.decorator_list)
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
