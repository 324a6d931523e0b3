"""Figures of pyplot, kept apart: those that a step makes are the step's, whatever cells and steps run beside it.

In a notebook the figures of a cell are shown and closed when the cell ends. A step is a cell, so it has a register of
figures of its own, which is shown and closed when its attempt ends.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from szal_nb.engine.context import StepContext, current_context

_REGISTER = "matplotlib._pylab_helpers"
_INLINE = ("inline", "module://matplotlib_inline.backend_inline")


class FigureRegister(MutableMapping[Any, Any]):
    """Stands in for `Gcf.figs` of matplotlib: inside a step the step's own figures, else the notebook's."""

    def __init__(self, notebook: OrderedDict[Any, Any]) -> None:
        self.notebook = notebook
        self._of_steps: dict[StepContext, OrderedDict[Any, Any]] = {}

    def _now(self) -> OrderedDict[Any, Any]:
        context = current_context()
        return self.notebook if context is None else self._of_steps.setdefault(context, OrderedDict())

    def __getitem__(self, number: Any) -> Any:
        return self._now()[number]

    def __setitem__(self, number: Any, manager: Any) -> None:
        self._now()[number] = manager

    def __delitem__(self, number: Any) -> None:
        del self._now()[number]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def values(self) -> Any:
        """As of an `OrderedDict`: pyplot reads them backwards too."""
        return self._now().values()

    def forget(self, context: StepContext) -> None:
        """Drops the figures of an attempt that has ended."""
        self._of_steps.pop(context, None)

    def move_to_end(self, number: Any, last: bool = True) -> None:  # noqa: FBT001, FBT002 - as OrderedDict has it
        """As `OrderedDict.move_to_end`."""
        self._now().move_to_end(number, last)


class _Separating(Loader):
    """Loads the module that has the register of figures, and puts ours in its place before anybody has seen it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        separate_figures()


class _OnImport(MetaPathFinder):
    """Finds that module and no other. Steps that run side by side may all be the first to import it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == _REGISTER else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Separating(spec.loader)
        return spec


_ON_IMPORT = _OnImport()


def separate_figures() -> None:
    """From now on each step has figures of its own, whoever imports matplotlib, and when."""
    helpers = sys.modules.get(_REGISTER)
    if helpers is None:
        if _ON_IMPORT not in sys.meta_path:
            sys.meta_path.insert(0, _ON_IMPORT)
    elif not isinstance(helpers.Gcf.figs, FigureRegister):
        helpers.Gcf.figs = FigureRegister(helpers.Gcf.figs)


def show_figures(shell: Any, context: StepContext) -> None:
    """Shows and closes the figures of the attempt `context`, in which the caller runs."""
    helpers, pyplot = sys.modules.get(_REGISTER), sys.modules.get("matplotlib.pyplot")
    if helpers is None or pyplot is None:
        return
    try:
        if helpers.Gcf.figs:
            _show_and_close(shell, pyplot)
    finally:
        helpers.Gcf.figs.forget(context)


def _show_and_close(shell: Any, pyplot: Any) -> None:
    import matplotlib as mpl  # late: heavy

    backend = str(mpl.get_backend()).lower()
    if backend not in _INLINE:
        pyplot.close("all")
        return
    from matplotlib_inline import backend_inline  # late: heavy

    # The backend sets its formats up when the cell that imported pyplot ends; a step may have come first.
    if not hasattr(backend_inline.configure_inline_support, "current_backend"):
        backend_inline.configure_inline_support(shell, backend)
    backend_inline.show(close=True)
