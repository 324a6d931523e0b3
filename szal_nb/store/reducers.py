"""What pickle is told of things that would not be read again as what they are, and what it must not have."""

from __future__ import annotations

import copyreg
import functools
import io
import re
from collections.abc import Callable
from types import CodeType
from typing import Any

from szal_nb.model.generators import global_generator, module_of_generator
from szal_nb.model.loaded import loaded
from szal_nb.model.remaking import is_of_python, remade
from szal_nb.model.value import HOLDS_PATCHER

# Iterators that notice when what they go over changes.
_OVER_TABLES = frozenset(map(type, (iter({}), iter({}.values()), iter({}.items()), iter(set()))))
_KERNEL = re.compile(r"ipykernel_\d+")


def refusal_of(part: Any) -> str:
    """Why no pickle can have this; "" if one may."""
    if isinstance(part, io.IOBase) and not isinstance(part, io.BytesIO | io.StringIO):
        # cloudpickle would read the file and store its text.
        return "it holds an open file"
    if isinstance(part, memoryview):
        return "it holds a memoryview"
    if type(part) in _OVER_TABLES:
        # A pickle would have one over a list of what is left.
        return "it holds an iterator over a dict or a set"
    mock = loaded("unittest.mock")
    if mock is not None and isinstance(part, mock.NonCallableMock):
        # It would note how it is pickled, without end.
        return "it holds a mock"
    if mock is not None and isinstance(part, (mock._patch, mock._patch_dict)):  # noqa: SLF001
        # It knows what it has put where in this process.
        return HOLDS_PATCHER
    return ""


def of_any_kernel(code: CodeType) -> CodeType:
    """Cells have the names of files in a folder of their kernel's, by the number of its process."""
    return code.replace(co_filename=_KERNEL.sub("ipykernel_0", code.co_filename))


def _without_window(reduced: Any) -> Any:
    """A figure that pyplot has open would be opened by whoever reads it, and then be shown by a step again."""
    make, arguments, state, *rest = reduced
    return make, arguments, {name: part for name, part in state.items() if name != "_restore_to_pylab"}, *rest


def _without_addresses(reduced: Any) -> Any:
    """The nodes that depend on a transform stand there by their addresses, which nobody looks up after reading."""
    make, arguments, state, *rest = reduced
    living = (parent for parent in state["_parents"].values() if parent is not None)
    return make, arguments, {**state, "_parents": dict(enumerate(living))}, *rest


def _in_order(reduced: Any) -> Any:
    """Axes that share a scale stand there in sets, and a set has its elements by their addresses."""
    make, arguments, state, *rest = reduced
    if (order := state.get("_ordering")) is not None:
        groups = {axes: sorted(group, key=order.__getitem__) for axes, group in state["_mapping"].items()}
        state = {**state, "_mapping": groups}
    return make, arguments, state, *rest


def _reduced_unchanged(part: Any) -> Any:
    """What the code of its class says of it. Many a `__getstate__` empties the attributes, where it meant a copy."""
    attributes = getattr(part, "__dict__", {})
    before = dict(attributes)
    reduced = part.__reduce_ex__(5)
    if isinstance(reduced, tuple) and len(reduced) > 2 and reduced[2] is attributes:
        reduced = (*reduced[:2], dict(attributes), *reduced[3:])
    for name in attributes.keys() - before.keys():
        del attributes[name]
    attributes.update((name, value) for name, value in before.items() if attributes.get(name, before) is not value)
    return reduced


def _cached_property(function: Any, name: str | None) -> functools.cached_property[Any]:
    """A property that is called so already: its class tells it no more."""
    found = functools.cached_property(function)
    found.attrname = name
    return found


def _generator(part: Any) -> Any:
    # A distribution of scipy holds it: the one of the process is that of whoever reads the value.
    module = module_of_generator(part)
    return (global_generator, (module,)) if module else NotImplemented


@functools.lru_cache(maxsize=4096)
def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """What tells such things to pickle, where by their own word they would not be read again as what they are."""
    books, figures, transforms = map(loaded, ("matplotlib.cbook", "matplotlib.figure", "matplotlib.transforms"))
    if figures is not None and issubclass(kind, figures.Figure):
        return lambda part: _without_window(part.__reduce_ex__(5))
    if transforms is not None and issubclass(kind, transforms.TransformNode):
        return lambda part: _without_addresses(part.__reduce_ex__(5))
    if books is not None and issubclass(kind, books.Grouper):
        return lambda part: _in_order(part.__reduce_ex__(5))
    if kind is functools.cached_property:
        # Before Python 3.12 it holds a lock.
        return lambda part: (_cached_property, (part.func, part.attrname))
    if kind.__name__ in ("Random", "RandomState"):
        return _generator
    if kind in copyreg.dispatch_table or not is_of_python(kind, "__getstate__"):
        return remade(kind)
    return remade(kind, _reduced_unchanged) or _reduced_unchanged
