"""What a class or function of the notebook holds that may change: in itself, in classes inside of it, in functions.

A class is recorded by the step that gave it, and is a name in all else that is recorded. So what it shares with other
values is recorded beside these, and put into the class when they are read again.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from szal_nb.engine.immutable import are_immutable, is_immutable
from szal_nb.engine.kinds import NOTEBOOK

# What a class has of its own that is no data.
_OF_CODE = (staticmethod, classmethod, property)
_CONTAINERS = (list, dict, set, bytearray)
Path = tuple[str, ...]
# By the place in the class: what is there, by name.
State = dict[Path, dict[str, Any]]


def is_data(name: str, value: Any) -> bool:
    """Whether this is data that a class has under the name, and no code or description of it."""
    if name.startswith(("__", "_abc_")) or isinstance(value, _OF_CODE):
        return False
    return not (inspect.isfunction(value) or inspect.isdatadescriptor(value) or hasattr(value, "__set_name__"))


def held_state(definition: Any) -> State:
    """All that may change of what a class or function holds, in the very objects."""
    holders = _holders(definition) if isinstance(definition, type) else _functions(definition, (), set())
    found = {path: _held_by(holder) for path, holder in holders}
    return {path: held for path, held in found.items() if held}


def held_inside(kind: type) -> State:
    """What methods of a class, and classes inside of it, keep for themselves: defaults, attributes, what grows.

    Numbers, too, where they count something. Else what is in the cells of a function is its code's business: a lock, a
    connection.
    """
    kept = {path: {**_plain(holder), **_growing(holder)} for path, holder in _holders(kind) if path}
    return {path: held for path, held in kept.items() if held}


def _growing(holder: type | FunctionType) -> dict[str, Any]:
    return {name: value for name, value in _held_by(holder).items() if _grows(name, value)}


def _plain(holder: type | FunctionType) -> dict[str, Any]:
    """Attributes that do not change, but of which there may be another."""
    own = [*vars(holder).items()]
    if isinstance(holder, type):
        return {name: value for name, value in own if is_data(name, value) and is_immutable(value)}
    attributes = {f".{name}": value for name, value in own if not name.startswith("__")}
    counted = {name: value for name, value in _cells_of(holder).items() if name in _rebound(holder.__code__)}
    return {name: value for name, value in {**attributes, **counted}.items() if is_immutable(value)}


@lru_cache(maxsize=4096)
def _rebound(code: CodeType) -> frozenset[str]:
    """The names of the function around it (`nonlocal n`) that code binds anew when it runs."""
    stored = (one.argval for one in dis.get_instructions(code) if one.opname == "STORE_DEREF")
    return frozenset(stored).intersection(code.co_freevars)


def _grows(name: str, value: Any) -> bool:
    return name.startswith(("__", ".")) or type(value) in _CONTAINERS


def put_into_class(kind: type, state: Mapping[Path, Mapping[str, Any]]) -> None:
    """The class holds these objects from now on."""
    holders = dict(_holders(kind))
    for path in state.keys() & holders.keys():
        for name, value in state[path].items():
            _put(holders[path], name, value)


def _holders(kind: type, path: Path = (), seen: set[int] | None = None) -> Iterator[tuple[Path, type | FunctionType]]:
    seen = set() if seen is None else seen
    seen.add(id(kind))
    yield path, kind
    for name, member in list(vars(kind).items()):
        if isinstance(member, type):
            if member.__module__ == NOTEBOOK and member.__name__ == name and id(member) not in seen:
                yield from _holders(member, (*path, name), seen)
            continue
        for part in ("fget", "fset", "fdel", "__func__") if isinstance(member, _OF_CODE) else ("",):
            yield from _functions(getattr(member, part, None) if part else member, (*path, name, part), seen)


def _functions(part: Any, path: Path, seen: set[int]) -> Iterator[tuple[Path, FunctionType]]:
    """The function that is called here, and those that it calls as a decorator does."""
    if id(part) in seen or part is None:
        return
    seen.add(id(part))
    if isinstance(part, FunctionType):
        yield path, part
        for name, inner in _cells_of(part).items():
            if isinstance(inner, FunctionType):
                yield from _functions(inner, (*path, name), seen)
    yield from _functions(getattr(part, "__wrapped__", None), (*path, "__wrapped__"), seen)


def _held_by(holder: type | FunctionType) -> dict[str, Any]:
    if isinstance(holder, type):
        return {name: value for name, value in [*vars(holder).items()] if is_data(name, value) and _may_change(value)}
    parts = {"__defaults__": holder.__defaults__ or (), "__kwdefaults__": holder.__kwdefaults__ or {}}
    found: dict[str, Any] = {
        name: value
        for name, value in parts.items()
        if not are_immutable(value.values() if isinstance(value, dict) else value)
    }
    attributes = {f".{name}": value for name, value in [*vars(holder).items()] if name != "__wrapped__"}
    inside = {**_cells_of(holder), **attributes}
    return found | {name: value for name, value in inside.items() if _may_change(value)}


def _put(holder: type | FunctionType, name: str, value: Any) -> None:
    if isinstance(holder, type) or name.startswith("__"):
        setattr(holder, name, value)
    elif name.startswith("."):
        setattr(holder, name[1:], value)
    elif name in holder.__code__.co_freevars and holder.__closure__:
        holder.__closure__[holder.__code__.co_freevars.index(name)].cell_contents = value


def _cells_of(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # empty until the name is bound
            continue
    return found


def _may_change(value: Any) -> bool:
    return not (is_immutable(value) or isinstance(value, type) or hasattr(type(value), "__get__"))
