"""What the running notebook binds outside of its steps, as the analysis wants to know it.

The text of the executed cells says it best, and says the same as reading the file does. Names that came another way
(`%run`, star imports) are judged by their objects.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from szal_nb.analysis.making import is_told
from szal_nb.analysis.surroundings import NotebookName
from szal_nb.analysis.tables import DRAWINGS, USED_UP
from szal_nb.engine.code_globals import globals_in
from szal_nb.model.loaded import module_of

_IMMUTABLE = (bool, int, float, complex, str, bytes, range)
_CALLABLES = (FunctionType, BuiltinFunctionType, MethodType, partial)
# IPython puts these into every notebook; steps have builtins of these names instead.
_OF_THE_SHELL = frozenset({"In", "Out", "get_ipython", "exit", "quit", "open"})
# IPython's record of what was typed and shown.
_HISTORY = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|_[dio]h")


class LiveNames(Mapping[str, NotebookName]):
    """The names of the namespace `live`. `read` is what the text of the executed cells says of them."""

    def __init__(self, live: Mapping[str, Any], hidden: Mapping[str, Any], read: Mapping[str, NotebookName]) -> None:
        self._live = live
        self._hidden = hidden
        self._read = read

    def _is_shown(self, name: str) -> bool:
        if name not in self._live or name in _OF_THE_SHELL:
            return False
        is_hidden = name in self._hidden and self._hidden[name] is self._live[name]
        return not is_hidden and _HISTORY.fullmatch(name) is None

    def __getitem__(self, name: str) -> NotebookName:
        if not self._is_shown(name):
            raise KeyError(name)
        value, read = self._live[name], self._read.get(name)
        if read is not None and _fits(read.kind, value):
            return (
                replace(read, reads=_globals_read_by(value), made=_made(value, read.made))
                if read.kind == "data"
                else read
            )
        return _judged(name, value)

    def __iter__(self) -> Iterator[str]:
        return filter(self._is_shown, list(self._live))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _fits(kind: str, value: Any) -> bool:
    """Whether what the text says can be true of the object."""
    match kind:
        case "function":
            return isinstance(value, FunctionType)
        case "class":
            return isinstance(value, type)
        case "callable":
            return callable(value)
        case "module":
            return True
    return not isinstance(value, ModuleType | type | FunctionType)


def _judged(name: str, value: Any) -> NotebookName:
    if isinstance(value, ModuleType):
        alias = "" if value.__name__ == name else f" as {name}"
        return NotebookName(kind="module", statement=f"import {value.__name__}{alias}")
    if not isinstance(value, (type, *_CALLABLES)):
        return NotebookName(kind="data", reads=_globals_read_by(value), made=_made(value))
    module, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module != "__main__" and module in sys.modules and getattr(sys.modules[module], own, None) is value:
        alias = "" if own == name else f" as {name}"
        return NotebookName(kind="module", statement=f"from {module} import {own}{alias}")
    return NotebookName(kind="callable", reads=_globals_read_by(value))


def _made(value: Any, read: str = "") -> str:
    """The kind of a value as `kind_made` has it; `read` is what the text of the cells says of it."""
    if value is None:
        return "None"
    kind = type(value)
    if kind in _IMMUTABLE or (kind is tuple and read == "tuple"):
        return kind.__name__
    if is_told(read) or module_of(kind).startswith(DRAWINGS):
        return read or "matplotlib.axes"
    return read if read in USED_UP or read.startswith("itertools.") else "iter" if isinstance(value, Iterator) else ""


def _globals_read_by(value: Any) -> tuple[str, ...]:
    """The names of the notebook that the code in an object reads when it is called; of data, the code of its class."""
    while isinstance(value, partial | MethodType):
        value = value.func if isinstance(value, partial) else value.__func__
    value = value if isinstance(value, type) else getattr(value, "__wrapped__", value)
    if isinstance(value, FunctionType):
        return globals_in(value.__code__) if value.__globals__.get("__name__") == "__main__" else ()
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__ != "__main__":
        return ()
    parts = [part for one in kind.__mro__ if one.__module__ == "__main__" for part in [*vars(one).values()]]
    codes = [part.__code__ for part in map(_unwrapped, parts) if isinstance(part, FunctionType)]
    return tuple(dict.fromkeys(name for code in codes for name in globals_in(code)))


def _unwrapped(part: Any) -> Any:
    part = part.fget if isinstance(part, property) else getattr(part, "__func__", part)
    return getattr(part, "__wrapped__", part)
