"""What functions of the notebook remember: a cache of `functools`, or what a decorator keeps in cells and attributes.

It cannot be stored: whoever has what such a function gave has the very object that it gives to others. A resume calls
again what was called. Within its process a memory can be put where it was, if it held nothing that may have changed.
"""

from __future__ import annotations

import copy
import functools
import gc
from collections.abc import Iterator
from types import CellType, FunctionType
from typing import Any, NoReturn

from szal_nb.engine.immutable import are_immutable

_Cache = type(functools.lru_cache(lambda: None))


class Memory:
    """What `owner` remembers. With `is_counted` it matters, too, how often it was called."""

    def __init__(self, owner: Any, *, is_counted: bool = False) -> None:
        self.owner = owner
        # The garbage collector is not asked what a class holds, since a class leads everywhere.
        self.parts = [*_made_by(owner)]
        self._is_counted = is_counted

    def __reduce__(self) -> NoReturn:
        raise TypeError("what a function remembers cannot be stored")

    def __deepcopy__(self, memo: dict[int, Any]) -> Remembered:
        return Remembered(self.owner, memo, is_counted=self._is_counted)


class Remembered:
    """What `owner` remembered when this was made. TypeError if that cannot be told, or what a value raises."""

    def __init__(self, owner: Any, memo: dict[int, Any], *, is_counted: bool) -> None:
        parts = [*_parts_of(owner)]
        is_as_good = is_unused if is_counted else holds_nothing_that_changes
        if not all(map(is_as_good, caches_of(owner))):
            raise TypeError("what a cache of functools holds cannot be copied")
        self._owner = owner
        self._cells = [(part, copy.deepcopy(part.cell_contents, memo)) for part in parts if _is_filled(part)]
        self._attributes = [
            (part, copy.deepcopy(_attributes(part), memo)) for part in parts if isinstance(part, FunctionType)
        ]

    def __deepcopy__(self, _: object) -> Remembered:
        return self

    def put_back(self) -> None:
        """The function remembers this again, in objects that are its own."""
        clear(self._owner)
        for cell, contents in self._cells:
            cell.cell_contents = copy.deepcopy(contents)
        for function, attributes in self._attributes:
            for name in _attributes(function):
                del vars(function)[name]
            vars(function).update(copy.deepcopy(attributes))


def clear(owner: Any) -> None:
    """Lets caches of `functools` forget what they hold, if it is known that it can be made anew."""
    for part in caches_of(owner):
        part.cache_clear()


def caches_of(owner: Any) -> Iterator[Any]:
    """The caches of `functools` that calls of a function, or of methods of a class, go through."""
    return (part for part in _parts_of(owner) if isinstance(part, _Cache))


def holds_nothing_that_changes(owner: Any) -> bool:
    """Whether this is a cache of numbers, texts and the like: to make them anew is as good."""
    if isinstance(owner, type):
        return all(map(holds_nothing_that_changes, _made_by(owner)))
    if not isinstance(owner, _Cache):
        return False
    held = [part for part in gc.get_referents(owner) if part is not vars(owner)]
    if owner.cache_parameters()["maxsize"] is None:
        return all(are_immutable(part.values()) for part in held if type(part) is dict)
    own = {id(owner.__wrapped__), *(id(part) for part in held if type(part) is object or _is_table(part))}
    return are_immutable(part for part in held if id(part) not in own and not isinstance(part, type))


def _is_table(part: Any) -> bool:
    """Whether this is where a cache of limited size looks its results up."""
    return type(part) is dict and all(type(value).__name__ == "_lru_list_elem" for value in part.values())


def is_unused(cache: Any) -> bool:
    """Whether this is a cache of a function that has never been called."""
    if not isinstance(cache, _Cache):
        return False
    found = cache.cache_info()
    return not (found.hits or found.misses or found.currsize)


def _parts_of(owner: Any) -> Iterator[Any]:
    """Functions and caches that calls go through, and the cells of the former that hold what is neither."""
    todo, seen = [owner, *_made_by(owner)], set()
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, CellType):
            if _is_filled(part):
                yield part
            elif _has_code(part):
                todo.append(part.cell_contents)
            continue
        if not isinstance(part, FunctionType | _Cache):
            continue
        yield part
        todo += getattr(part, "__closure__", None) or ()
        todo.append(getattr(part, "__wrapped__", None))


def _made_by(owner: Any) -> Iterator[Any]:
    """The caches that the methods of a class are."""
    if isinstance(owner, type):
        parts = (getattr(part, "__func__", part) for part in [*vars(owner).values()])
        yield from (part for part in parts if isinstance(part, _Cache))


def _is_filled(part: Any) -> bool:
    return isinstance(part, CellType) and not _has_code(part) and _has_contents(part)


def _has_code(cell: CellType) -> bool:
    return _has_contents(cell) and isinstance(cell.cell_contents, FunctionType | _Cache)


def _has_contents(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  empty until the name is bound
    except ValueError:
        return False
    return True


def _attributes(function: FunctionType) -> dict[str, Any]:
    return {name: value for name, value in [*vars(function).items()] if name != "__wrapped__"}
