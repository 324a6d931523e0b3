"""How objects are told to pickle whose own methods would stand in its way when it makes them again.

By itself pickle calls an exception with what ended in its `args`, which often is not what its `__init__` takes; it asks
an object that has nothing yet for `__setstate__`, by way of the `__getattr__` of its class; and it fills a list or dict
of one's own by methods that expect attributes to be there. Here nothing of that is called.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

Reduce = Callable[[Any], Any]
_OF_PICKLE = ("__reduce_ex__", "__reduce__", "__setstate__")
_OF_ATTRIBUTES = ("__getattr__", "__getattribute__")
# By which exception it was raised, or while which one; who sets the cause sets the last of them, too.
_CHAIN = ("__cause__", "__context__", "__suppress_context__")
_OF_CONTENT = {list: ("append", "extend", "__iter__"), dict: ("__setitem__", "items")}


def owner_of(kind: type, name: str) -> type | None:
    """The class that instances have a method of this name from; None if there is none. A metaclass is not asked."""
    return next((base for base in kind.__mro__ if name in vars(base)), None)


def is_of_python(kind: type, name: str) -> bool:
    """Whether instances have a method of this name that somebody wrote in Python."""
    owner = owner_of(kind, name)
    return owner is not None and isinstance(vars(owner)[name], FunctionType)


def remade(kind: type, reduce: Reduce = lambda part: part.__reduce_ex__(5)) -> Reduce | None:
    """What tells instances of this class to pickle, on top of `reduce`; None where their own word is enough."""
    if kind in copyreg.dispatch_table or any(is_of_python(kind, name) for name in _OF_PICKLE):
        return None
    if issubclass(kind, BaseException):
        return _reducer_of_errors(kind)
    of_object: Any = object
    if kind.__reduce_ex__ is not of_object.__reduce_ex__ or kind.__reduce__ is not of_object.__reduce__:
        return None
    if owner_of(kind, "__setstate__") is not None:
        return None
    names = [*_OF_ATTRIBUTES, "__setattr__"] if _slots_of(kind) else [*_OF_ATTRIBUTES]
    for container, methods in _OF_CONTENT.items():
        names += methods if container in kind.__mro__ else ()
    return (lambda part: _reduced(part, reduce(part))) if any(is_of_python(kind, name) for name in names) else None


def _reduced(part: Any, reduced: Any) -> Any:
    make, arguments, *rest = reduced
    items = [*list.__iter__(part)] if isinstance(part, list) else None
    pairs = dict(dict.items(part)) if isinstance(part, dict) else None
    return make, arguments, (rest[0] if rest else None, items, pairs), None, None, put_content


def put_content(part: Any, content: tuple[Any, list[Any] | None, dict[Any, Any] | None]) -> None:
    """What pickles call: the new object has this state, and holds this."""
    state, items, pairs = content
    if items is not None:
        list.extend(part, items)
    if pairs is not None:
        dict.update(part, pairs)
    _put_state(part, *(state if isinstance(state, tuple) and len(state) == 2 else (state, None)))


def _put_state(part: Any, attributes: Any, slots: Any) -> None:
    if attributes:
        held = object.__getattribute__(part, "__dict__")
        held.update((sys.intern(name) if type(name) is str else name, value) for name, value in attributes.items())
    for name, value in (slots or {}).items():
        object.__setattr__(part, name, value)


def _slots_of(kind: type) -> list[str]:
    return copyreg._slotnames(kind)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001  as pickle itself


def _reducer_of_errors(kind: type[BaseException]) -> Reduce | None:
    """None for what is made by more than Python: only its own word tells how."""
    own = [base for base in kind.__mro__ if base.__module__ != "builtins"]
    makers = [vars(base)[name] for base in own for name in ("__new__", "__init__") if name in vars(base)]
    makers = [maker.__func__ if isinstance(maker, staticmethod) else maker for maker in makers]
    words = [vars(base).get("__reduce__") for base in kind.__mro__ if base.__module__ == "builtins"]
    if kind.__reduce__ not in words or not all(isinstance(maker, FunctionType) for maker in makers):
        return None
    return _reduced_error if makers or _slots_of(kind) else _reduced_if_chained


def _base_of(kind: type[BaseException]) -> type[BaseException]:
    """The exception of Python itself that it has its memory from."""
    base: Any = kind
    while base.__module__ != "builtins":
        base = base.__base__
    return base  # type: ignore[no-any-return]


def _is_chained(error: BaseException) -> bool:
    return error.__cause__ is not None or error.__context__ is not None


def _reduced_if_chained(error: BaseException) -> Any:
    return _reduced_error(error) if _is_chained(error) else NotImplemented


def _reduced_error(error: BaseException) -> Any:
    told: Any = error.__reduce__()
    made, arguments, *state = told
    names = [*_slots_of(type(error)), *(_CHAIN if _is_chained(error) else ())]
    slots = {name: getattr(error, name) for name in names if hasattr(error, name)}
    return error_again, (made, arguments), (*(state or [None]), slots), None, None, put_state_of_error


def error_again(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """What pickles call: an exception with these `args`, of which no code of its class has been run."""
    base = _base_of(kind)
    error = base.__new__(kind, *arguments)
    first: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    first.__init__(error, *arguments)
    return error


def put_state_of_error(error: BaseException, state: tuple[Any, dict[str, Any]]) -> None:
    """What pickles call: the new exception has these attributes and slots."""
    for held in state:
        for name, value in (held or {}).items():
            object.__setattr__(error, name, value)
