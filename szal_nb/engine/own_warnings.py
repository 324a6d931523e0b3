"""Makes `warnings.catch_warnings` each step's own: what it sets counts for the step, or the thread, that entered it.

Python keeps the filters once for the process, so that two threads that enter and leave side by side have each other's,
and the filters of one stay behind for good. Libraries do it everywhere, and so does the engine by way of pandas. Here
the module `warnings` answers each step with its own filters while it is inside of a `catch_warnings`, as Python 3.14
does it with `-X context_aware_warnings`; outside of one, filters are set for the process.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

from szal_nb.engine.context import CURRENT, OwnWarnings
from szal_nb.engine.installed import Installed
from szal_nb.model.kept import WARNINGS_ARE_OWN

_MODULE = warnings
_PROCESS = vars(warnings)


_OF_MAIN = OwnWarnings()


class _OfThread(threading.local):
    def __init__(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        self.own = _OF_MAIN if is_main else OwnWarnings()


_OF_THREAD = _OfThread()


def _owner() -> OwnWarnings:
    step = CURRENT.get()
    if step is None:
        return _OF_THREAD.own
    if step.own_warnings is None:
        step.own_warnings = OwnWarnings()
    return step.own_warnings


class _Answer:
    """An attribute of the module: that of who asks while it is inside of `catch_warnings`, else the process's.

    Threads that belong to no step may have been started by a cell that is inside of one.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, module: ModuleType | None, kind: type | None = None) -> Any:
        own = _owner().set
        if self._name not in own:
            own = _PROCESS if CURRENT.get() is not None or self._name not in _OF_MAIN.set else _OF_MAIN.set
        return own[self._name]

    def __set__(self, module: ModuleType, value: Any) -> None:
        own = _owner()
        (own.set if own.depth else _PROCESS)[self._name] = value


class _Warnings(ModuleType):
    """The module `warnings` while runs go on. C looks these up as attributes, too."""

    filters = _Answer("filters")
    showwarning = _Answer("showwarning")
    _showwarnmsg_impl = _Answer("_showwarnmsg_impl")

    def __reduce__(self) -> tuple[Any, ...]:
        # As what it was before: functions that are stored by value name it among their globals.
        import cloudpickle.cloudpickle as by_name  # late: heavy

        return by_name.subimport, ("warnings",)

    @property
    def _showwarnmsg(self) -> Callable[[Any], None]:
        return _show


def _show(message: Any) -> None:
    # As the module's own, which reads its globals.
    show = _MODULE.showwarning
    if show is _PROCESS["_showwarning_orig"]:
        _MODULE._showwarnmsg_impl(message)  # type: ignore[attr-defined] # noqa: SLF001
    else:
        show(message.message, message.category, message.filename, message.lineno, message.file, message.line)


def _add_filter(*item: Any, append: bool) -> None:
    filters: Any = _MODULE.filters
    if not append:
        if item in filters:
            filters.remove(item)
        filters.insert(0, item)
    elif item not in filters:
        filters.append(item)
    _PROCESS["_filters_mutated"]()


def _reset() -> None:
    filters: Any = _MODULE.filters
    filters[:] = []
    _PROCESS["_filters_mutated"]()


_REPLACED: dict[str, Any] = {"_add_filter": _add_filter, "resetwarnings": _reset}
_enter, _exit = warnings.catch_warnings.__enter__, warnings.catch_warnings.__exit__


def _enter_own(self: Any) -> Any:
    if self._module is not _MODULE:
        return _enter(self)
    own = _owner()
    own.depth += 1
    try:
        entered = _enter(self)
    except BaseException:
        own.leave()
        raise
    self._szal_own = own
    return entered


def _exit_own(self: Any, *error: Any) -> None:
    own = self.__dict__.pop("_szal_own", None)
    if own is None:
        # Entered before the first run began: it put its own into the process.
        _exit(self, *error)
        return
    if own is _owner():
        _exit(self, *error)
    own.leave()


_before: dict[str, Any] = {}


def _put() -> None:
    if type(_MODULE) is not ModuleType:
        # Somebody else answers for it.
        return
    _before.update((name, _PROCESS[name]) for name in _REPLACED)
    _PROCESS.update(_REPLACED)
    warnings.catch_warnings.__enter__ = _enter_own  # type: ignore[method-assign]
    warnings.catch_warnings.__exit__ = _exit_own  # type: ignore[method-assign]
    _MODULE.__class__ = _Warnings


def _take() -> None:
    if type(_MODULE) is not _Warnings:
        return
    _MODULE.__class__ = ModuleType  # type: ignore[assignment]
    warnings.catch_warnings.__enter__ = _enter  # type: ignore[method-assign]
    warnings.catch_warnings.__exit__ = _exit  # type: ignore[method-assign]
    _PROCESS.update(_before)


_INSTALLED = Installed(_put, _take)


def own_warnings() -> AbstractContextManager[None]:
    """While it is entered, by however many runs at once, `catch_warnings` counts for who entered it."""
    return _INSTALLED.entered() if WARNINGS_ARE_OWN else nullcontext()


def filters_of_process() -> list[Any]:
    """The filters that count where no `catch_warnings` is entered."""
    found: list[Any] = _PROCESS["filters"]
    return found


def set_filters_of_process(filters: list[Any]) -> None:
    """Makes these the filters of the process."""
    filters_of_process()[:] = filters
    _PROCESS["_filters_mutated"]()
