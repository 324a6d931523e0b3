"""How the guard looks into values of each kind: what tells one from another, and what is inside.

Libraries are looked up, never imported: a value of pandas is only there if pandas is. What a kind is not known for is
compared by identity only, and its type is listed as unchecked.
"""

from __future__ import annotations

import enum
import functools
import gc
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from operator import methodcaller
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FrameType,
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    UnionType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any

import xxhash

from szal_nb.engine.immutable import is_immutable
from szal_nb.engine.tabular import array_taker
from szal_nb.model.generators import module_of_generator
from szal_nb.model.loaded import library_of, module_of

if TYPE_CHECKING:
    from szal_nb.engine.digest import Walk

NOTEBOOK = "__main__"
_C_METHODS = (MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType)
# Classes of these libraries hold all their state in their attributes, and reading it does not change it. Models and
# results of statsmodels are none: they keep what they are asked for, and work in buffers that they hold.
_PLAIN_LIBRARIES = ("argparse.", "collections.", "sklearn.", "scipy.sparse.", "torch.nn.")
# What objects of these modules keep of themselves once somebody has asked: how the data of a matrix lies, the names of
# the columns of the last table that was transformed.
_FOUND_OUT = {
    "_has_sorted_indices": "scipy.sparse.",
    "_has_canonical_format": "scipy.sparse.",
    "_transformers_feature_names_out": "sklearn.compose.",
}
_Cache = type(functools.lru_cache(lambda: None))
_ITERATOR_MODULES = frozenset({"builtins", "itertools"})
# What their mapped objects hold comes and goes as they are read: it is what the database has.
_MAPPING_LIBRARIES = frozenset({"django", "mongoengine", "peewee", "pony", "sqlalchemy", "sqlmodel", "tortoise"})
_NOTHING = object()
# What classes say they are from that are of no library.
_NO_LIBRARY = frozenset({"", NOTEBOOK, *sys.stdlib_module_names})

State = Callable[[Any], object]
Taker = Callable[["Walk", Any], "Iterable[Any] | None"]
_registered: dict[type, State] = {}


def register_comparer(kind: type, state: State) -> None:
    """Lets the guard compare values of `kind`, for this process, also those of its subclasses.

    `state(value)` gives plain data or arrays that say all of the value that may change. What the guard cannot look into
    it compares by identity only, and the record names as `unchecked`.
    """
    _registered[kind] = state
    taker_of.cache_clear()


def _list(walk: Walk, value: Any) -> Iterable[Any] | None:
    walk.tag(type(value).__name__)
    return walk.items(list(value))


def _tuple(walk: Walk, value: tuple[Any, ...]) -> Iterable[Any] | None:
    # A tuple cannot change, but what it holds can; it is no object whose sharing would matter.
    del walk.seen[id(value)]
    walk.seen[~id(value)] = len(walk.seen)
    walk.tag("tuple")
    return walk.items(value)


def _dict(walk: Walk, value: dict[Any, Any]) -> Iterable[Any] | None:
    walk.tag(type(value).__name__)
    kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    keys = walk.items(list(kind.keys(value)))
    values = walk.items(list(kind.values(value)))
    return [*(keys or ()), *(values or ())]


def _set(walk: Walk, value: set[Any] | frozenset[Any]) -> Iterable[Any] | None:
    walk.tag(type(value).__name__)
    # In the order of their ids: the order of a set may change without a change of the set.
    return walk.items(sorted(value, key=id))


def _bytes(walk: Walk, value: Any) -> None:
    walk.tag(type(value).__name__)
    walk.bytes(value, memoryview(value).nbytes)


def _with_attributes(take: Taker) -> Taker:
    """For subclasses: what the built-in part holds, then the instance's own attributes."""

    def taker(walk: Walk, value: Any) -> Iterable[Any]:
        return [*(take(walk, value) or ()), *_attributes(value)]

    return taker


def _instance(walk: Walk, value: Any) -> Iterable[Any]:
    walk.tag(type(value).__name__)
    return _attributes(value)


def _lazy(walk: Walk, value: Any) -> Iterable[Any]:
    """What cached properties keep is a part of it, though no change that anybody could see when it appears."""
    walk.is_lazy = True
    kind = type(value)
    kept = [item for name, item in [*vars(value).items()] if _is_cached(kind, name)]
    if kept:
        walk.look_beside(kept)
        if kind.__module__ == NOTEBOOK:
            walk.filled += len(kept)
    return _instance(walk, value)


def _is_cached(kind: type, name: str) -> bool:
    if name in _FOUND_OUT and module_of(kind).startswith(_FOUND_OUT[name]):
        return True
    return isinstance(getattr(kind, name, None), functools.cached_property)


def _has_cached(kind: type) -> bool:
    return any(isinstance(item, functools.cached_property) for base in kind.__mro__ for item in [*vars(base).values()])


def _attributes(value: Any) -> list[Any]:
    found: list[Any] = []
    kind = type(value)
    for name, item in [*getattr(value, "__dict__", {}).items()]:
        if not _is_cached(kind, name):
            found += (name, item)
    for base in kind.__mro__:
        for name, slot in [*vars(base).items()]:
            if isinstance(slot, MemberDescriptorType) and not _is_c_class(base):
                found += (name, getattr(value, name, _NOTHING))
    return found


def _class(walk: Walk, value: type) -> Iterable[Any] | None:
    if value.__module__ != NOTEBOOK:
        # Everybody has it; who changes a class of a library is told by the code.
        _still(walk, value)
        return None
    walk.tag("class", value.__name__)
    # What its bases have is its own as well.
    found: list[Any] = [base for base in value.__bases__ if base.__module__ == NOTEBOOK]
    # An enumeration notes there what it has found out of itself: which number is which combination of flags.
    hidden = "_" if isinstance(value, enum.EnumMeta) else ("__", "_abc")
    for name, item in list(vars(value).items()):
        if name.startswith(hidden):
            continue
        if _is_kept_by_library(value, item):
            unseen(walk, item)
        else:
            found += (name, item)
    return found


def _is_kept_by_library(kind: type, item: Any) -> bool:
    """Whether a library that a class has a base from keeps its own table there: a mapper's, when it is first asked."""
    library = library_of(type(item))
    if library in _NO_LIBRARY or not issubclass(type(item), (dict, list, set)):
        return False
    return library in map(library_of, (*kind.__mro__, type(kind)))


def _function(walk: Walk, value: FunctionType) -> Iterable[Any]:
    walk.tag("function")
    walk.still(value.__code__)
    inside = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
    # A plain function that is a value by itself finds the globals of whoever reads it, see `namespace.rebuilt`.
    if value.__closure__ or len(walk.seen) > 1:
        inside += _globals_of(value)
    return [*inside, *(value.__closure__ or ())]


def _globals_of(function: FunctionType) -> list[Any]:
    """The values that code of a step reads from the namespace of its own that it was made in."""
    names = function.__globals__
    if names.get("__name__") != NOTEBOOK or names is vars(sys.modules[NOTEBOOK]):
        return []
    return [names[name] for name in _names_in(function.__code__) if name in names]


@functools.lru_cache(maxsize=4096)
def _names_in(code: CodeType) -> tuple[str, ...]:
    """The names that code, and the code inside of it, may look up; those of attributes are among them."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names_in(part)]
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def _cell(walk: Walk, value: CellType) -> Iterable[Any]:
    walk.tag("cell")
    try:
        return [value.cell_contents]
    except ValueError:
        return ["empty"]


def _method(walk: Walk, value: MethodType) -> Iterable[Any]:
    # A new one is made each time it is asked for.
    del walk.seen[id(value)]
    return [value.__self__, value.__func__]


def _builtin(walk: Walk, value: BuiltinFunctionType) -> Iterable[Any] | None:
    """A method of a list, say, has the list; a function belongs to its module."""
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType | type):
        _still(walk, value)
        return None
    del walk.seen[id(value)]
    walk.tag(value.__name__)
    return [owner]


def _state(state: State) -> Taker:
    def taker(walk: Walk, value: Any) -> Iterable[Any]:
        if module_of_generator(value):
            # Whoever draws from it uses hidden state, and changes nothing of this value.
            _still(walk, value)
            return ()
        walk.tag(type(value).__name__)
        inside = walk.another()
        inside.take(state(value))
        walk.arrays += inside.arrays
        walk.unchecked |= inside.unchecked
        walk.grow(inside.size)
        # Made for this look: its own ids mean nothing, its content does.
        if walk.is_hashing:
            walk.tag(_content(walk, state(value)))
        return ()

    return taker


def _content(walk: Walk, value: Any) -> object:
    """Plain data made for one look, told by what it holds instead of by identity."""
    numpy = sys.modules.get("numpy")
    if isinstance(value, dict):
        return [(repr(key), _content(walk, item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_content(walk, item) for item in value]
    if numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return (value.dtype.str, value.shape, xxhash.xxh3_128_hexdigest(numpy.ascontiguousarray(value).tobytes()))
    if is_immutable(value):
        return repr(value)
    inside = walk.another()
    inside.take(value)
    return inside.hash.digest()


def unseen(walk: Walk, value: Any) -> None:
    """Adds by its identity what is not looked into."""
    walk.unchecked.add(f"{type(value).__module__}.{type(value).__qualname__}")
    walk.blind.add(id(value))
    walk.still(value)


def referents(value: Any) -> list[Any]:
    """What the garbage collector finds in it."""
    # Asked of their types: what stands in for something else would be asked what that is.
    found = [part for part in gc.get_referents(value) if not issubclass(type(part), (type, FrameType))]
    # All caches have the mark in common by which they tell arguments with names from those without.
    return [part for part in found if type(part) is not object] if isinstance(value, _Cache) else found


def opaque(walk: Walk, value: Any) -> None:
    """Adds by its identity what nobody can compare. What it holds belongs to it all the same."""
    unseen(walk, value)
    walk.look_within(value)


def iterator(walk: Walk, value: Any) -> None:
    """What is gone over belongs to it, though only how far it has come is its own."""
    unseen(walk, value)
    walk.look_beside(value)


def is_iterator(kind: type) -> bool:
    """Whether instances are iterators of Python itself, which are used up by reading them."""
    return kind.__module__ in _ITERATOR_MODULES and issubclass(kind, Iterator)


def _artist(walk: Walk, value: Any) -> Iterable[Any]:
    """What is drawn on a figure of matplotlib: not looked into, but whoever has a part of a figure has the figure."""
    unseen(walk, value)
    return [part for part in (getattr(value, "figure", None),) if part is not None]


def _still(walk: Walk, value: Any) -> None:
    del walk.seen[id(value)]
    walk.still(value)


def _is_c_class(kind: type) -> bool:
    """Whether instances hold state that no attribute shows."""
    return any(isinstance(item, _C_METHODS) for item in [*vars(kind).values()]) or isinstance(
        vars(kind).get("__new__"), BuiltinFunctionType
    )


def _is_plain_class(kind: type) -> bool:
    if not _MAPPING_LIBRARIES.isdisjoint(map(library_of, (*kind.__mro__, type(kind)))):
        return False
    is_known = kind.__module__ == NOTEBOOK or (module_of(kind) + ".").startswith(_PLAIN_LIBRARIES)
    if not is_known and not hasattr(kind, "__dataclass_params__"):
        return False
    return not any(_is_c_class(base) for base in kind.__mro__ if base is not object)


_BUILT_IN: tuple[tuple[type, Taker], ...] = (
    (list, _list),
    (dict, _dict),
    (tuple, _tuple),
    (set, _set),
    (frozenset, _set),
    (bytearray, _bytes),
    (ModuleType, _still),
)
_EXACT: dict[type, Taker] = {
    **dict(_BUILT_IN),
    type: _class,
    FunctionType: _function,
    CellType: _cell,
    MethodType: _method,
    BuiltinFunctionType: _builtin,
    memoryview: _bytes,
    SimpleNamespace: _instance,
    functools.partial: lambda _, value: [value.func, value.args, value.keywords],
    property: lambda _, value: [value.fget, value.fset],
    staticmethod: lambda _, value: [value.__func__],
    classmethod: lambda _, value: [value.__func__],
    **dict.fromkeys((GetSetDescriptorType, MemberDescriptorType, *_C_METHODS, GenericAlias, UnionType), _still),
    # What it leads to is not its own, and may be gone.
    **dict.fromkeys(weakref.ProxyTypes, _still),
    # What it remembers others have, too, though it may remember more at any time.
    _Cache: iterator,
}
_OF_FUNCTIONS = frozenset({_function, opaque, iterator})
# By dotted name: everybody has them, and who uses them changes nothing of a value; or, as from the step that a thread
# belongs to, everything is in reach from there.
_STILL = frozenset({
    "logging.Logger", "numpy.ufunc", "typing._Final", "asyncio.events.AbstractEventLoop", "asyncio.events.Handle",
    "szal_nb.engine.context.StepContext",
})  # fmt: skip
# The kernel and what runs in it: from there everything is in reach, and nothing belongs to it.
_STILL_LIBRARIES = frozenset(
    {"_asyncio", "_contextvars", "comm", "ipykernel", "IPython", "jupyter_client", "tornado", "zmq"}
)
# By dotted name, for what is not imported here: the state that says all.
_STATES: dict[str, State] = {
    "random.Random": methodcaller("getstate"),
    "_io.StringIO": lambda value: (value.getvalue(), value.tell()),
    "_io.BytesIO": lambda value: (value.getvalue(), value.tell()),
    "array.array": lambda value: (value.typecode, value.tobytes()),
    "numpy.random._generator.Generator": lambda value: value.bit_generator.state,
    "numpy.random.mtrand.RandomState": lambda value: value.get_state(legacy=False),
}


def taker_for(value: Any) -> Taker:
    """How this very value is looked into."""
    kind: Any = type(value)
    taker = taker_of(kind)
    return _still if taker in _OF_FUNCTIONS and is_of_library(value) else taker


def is_of_library(value: Any) -> bool:
    """Whether this is what a name in a module leads to, which everybody has: `numpy.mean`, `scipy.stats.norm`."""
    kind: Any = type(value)
    if kind.__module__ == NOTEBOOK or hasattr(kind, "__getattr__"):
        return False
    if any(value is one for one in _globals_of_kind(kind)):
        return True
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not callable(value) or not isinstance(path, str) or not isinstance(module, str) or module == NOTEBOOK:
        return False
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return found is value


@functools.lru_cache(maxsize=4096)
def _globals_of_kind(kind: type) -> list[Any]:
    """The instances of a class that have names in its module."""
    module = sys.modules.get(module_of(kind))
    return [] if module is None else [one for one in [*vars(module).values()] if type(one) is kind]


@functools.lru_cache(maxsize=4096)
def taker_of(kind: type) -> Taker:
    """How values of `kind` are looked into."""
    for base in kind.__mro__:
        if base in _registered:
            return _state(_registered[base])
    exact = _EXACT.get(kind)
    if exact is not None:
        return exact
    if issubclass(kind, type):
        return _class
    taker = array_taker(kind)
    if taker is not None:
        return taker
    named = [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]
    if library_of(kind) in _STILL_LIBRARIES or not _STILL.isdisjoint(named):
        return _still
    if "matplotlib.artist.Artist" in named:
        return _artist
    for name in named:
        if name in _STATES:
            return _state(_STATES[name])
    return _other(kind)


def _other(kind: type) -> Taker:
    if kind.__module__ == "collections":
        if kind.__name__ == "deque":
            return _list
        if kind.__name__ == "defaultdict":
            return lambda walk, value: [value.default_factory, *(_dict(walk, value) or ())]
    for base, take in _BUILT_IN:
        if issubclass(kind, base):
            return _with_attributes(take)
    if issubclass(kind, BaseException):
        return lambda _, value: [value.args, *_attributes(value)]
    if is_iterator(kind):
        return iterator
    if not _is_plain_class(kind):
        return opaque
    return _lazy if _has_cached(kind) and hasattr(kind, "__dict__") else _instance
