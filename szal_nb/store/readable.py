"""Whether what was pickled can be read again: tried out, once for each class, where code has a say in it.

A value is read again in the kernel's process, as a resume would, but so that nobody notices: what that code prints is
dropped, and where it is the notebook's, it runs on copies of the notebook's classes and functions, so that what it
registers, counts or caches is a copy's; what it opens is let go at once. What has a `__del__` is not tried, for the end
of a copy could take away what the original needs; nor what a `__new__` of a library makes, for it may give out the one
that there is; nor are large values, for there may be no room for another one; nor classes, for who makes one tells its
bases. What cannot be read after all the resume finds out, and makes it again.
"""

from __future__ import annotations

import copyreg
import functools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from enum import Enum
from typing import Any, NamedTuple

from szal_nb.model.loaded import module_of
from szal_nb.model.remaking import owner_of, remade
from szal_nb.store.class_code import NOTEBOOK
from szal_nb.store.pickling import Pickled, dump, load

MOST_BYTES = 64 * 2**20
# What is in Python and in these is known to be read again. The classes that attrs makes have methods of it.
_SURE = sys.stdlib_module_names | {"attr", "numpy", "pandas", "polars", "pyarrow", "szal_nb"}
# Named tuples have their methods from a module of their own name, functions of Cython their class.
_SURE_PREFIXES = ("namedtuple_", "_cython_")
_OF_ALL = (
    "__reduce_ex__",
    "__reduce__",
    "__getstate__",
    "__setstate__",
    "__new__",
    "__getnewargs__",
    "__getnewargs_ex__",
)
# What is called besides, where a class says by itself how its instances are made.
_OF_MADE = ("__init__", "__setitem__", "append", "extend", "__getattr__", "__setattr__", "__array_finalize__")
Unheard = Callable[[], AbstractContextManager[object]]


class UnreadableError(Exception):
    """What was pickled cannot be read again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"it could not be read again: {self.reason}"


class Hook(NamedTuple):
    """A method that has a say when an instance is read: which class has it, and whether the notebook wrote it."""

    owner: type
    name: str
    is_of_notebook: bool

    @property
    def is_python_new(self) -> bool:
        """Whether it is a `__new__` that somebody wrote in Python."""
        return self.name == "__new__" and isinstance(vars(self.owner).get(self.name), staticmethod)


class _Known:
    """The methods by which values have been read again in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: weakref.WeakKeyDictionary[type, set[str]] = weakref.WeakKeyDictionary()

    def __contains__(self, hook: Hook) -> bool:
        return hook.name in self._names.get(hook.owner, ())

    def add(self, hooks: Iterable[Hook]) -> None:
        with self._lock:
            for hook in hooks:
                self._names.setdefault(hook.owner, set()).add(hook.name)


_KNOWN = _Known()


def check_readable(value: object, found: Pickled, unheard: Unheard) -> None:
    """UnreadableError if this pickle does not give `value` again, as far as that is not known and can be tried."""
    hooks = {hook for kind in found.kinds for hook in hooks_of(kind) if hook not in _KNOWN}
    if not hooks or len(found.data) > MOST_BYTES or any(owner_of(kind, "__del__") for kind in found.kinds):
        return
    if any(hook.is_python_new and not hook.is_of_notebook for hook in hooks):
        return
    with unheard(), suppress(MemoryError):
        if any(hook.is_of_notebook for hook in hooks):
            _read_apart(value, found)
        else:
            _read(found.data, found.named)
        _KNOWN.add(hooks)


def _read_apart(value: object, found: Pickled) -> None:
    """Reads it onto copies of the notebook's classes, if there can be such."""
    kinds = tuple(found.named.values())
    try:
        _read(_whole(kinds), {})
        data = _whole((kinds, value))
    except Exception:  # noqa: BLE001  these classes cannot be copied; a resume has its own
        return
    _read(data, {})


def _read(data: bytes, named: Mapping[str, type]) -> None:
    def resolve(name: str) -> type | None:
        return named.get(name)

    try:
        load(data, resolve)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {str(error).rstrip('.')}") from error


def _whole(value: object) -> bytes:
    return dump(value, limit=MOST_BYTES, name_class=_without_name)


def _without_name(kind: type, *, is_class: bool) -> str:  # noqa: ARG001 as `NameClass`
    return ""


@functools.lru_cache(maxsize=4096)
def hooks_of(kind: type) -> tuple[Hook, ...]:
    """The methods, none of them of Python or a library that is known for it, by which instances are read again."""
    reducer = copyreg.dispatch_table.get(kind)
    if reducer is not None:
        return () if _is_sure(kind, reducer) else (Hook(kind, "copyreg", reducer.__module__ == NOTEBOOK),)
    of_object: Any = object
    is_plain = kind.__reduce_ex__ is of_object.__reduce_ex__ and kind.__reduce__ is of_object.__reduce__
    if issubclass(kind, BaseException) and remade(kind) is not None:
        return ()
    names = _OF_ALL if is_plain or issubclass(kind, Enum) else (*_OF_ALL, *_OF_MADE)
    found = []
    for name in names:
        owner = owner_of(kind, name)
        method: Any = None if owner is None else getattr(vars(owner)[name], "__func__", vars(owner)[name])
        if owner is not None and not _is_sure(owner, method):
            found.append(Hook(owner, name, getattr(method, "__module__", "") == NOTEBOOK))
    return tuple(found)


def _is_sure(owner: type, method: Any) -> bool:
    module = getattr(method, "__module__", None)
    told = module if isinstance(module, str) else module_of(owner)
    return told.partition(".")[0] in _SURE or told.startswith(_SURE_PREFIXES)
