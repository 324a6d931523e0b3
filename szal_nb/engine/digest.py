"""What a value holds right now, as a digest to compare with a later one of the same object in the same process.

Arrays, frames, plain containers and instances of the notebook's classes exactly; what is of another kind counts as
itself, and its type is listed as unchecked. Libraries are looked up, never imported: a value of pandas is only there
if pandas is. What cannot change is told by its identity, and kept alive so that its id stays its own.
"""

from __future__ import annotations

import functools
import gc
import sys
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
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any

import xxhash

from szal_nb.engine.immutable import is_immutable, is_immutable_kind
from szal_nb.engine.tabular import array_taker

_NOTEBOOK = "__main__"
_C_METHODS = (MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType)
# Classes of these libraries hold all their state in their attributes, and reading it does not change it.
_PLAIN_LIBRARIES = ("sklearn.", "scipy.sparse.", "torch.nn.", "statsmodels.")

State = Callable[[Any], object]
_registered: dict[type, State] = {}


class TooLargeError(Exception):
    """The value has more bytes than the caller wants to look at."""


class Digest:
    """What a value held. Two digests of one object are equal if it has not changed, as far as it could be checked.

    `objects` are the ids of the mutable objects inside, `arrays` the arrays whose memory it holds and whether each is a
    column of a frame, `size` its bytes, `unchecked` the types of parts that could not be looked into. `keeps` must live
    as long as the digest does.
    """

    __slots__ = ("arrays", "content", "keeps", "objects", "size", "unchecked")

    def __init__(self, walk: Walk) -> None:
        self.content = walk.hash.digest()
        self.keeps = walk.keeps
        self.objects = {**walk.seen, **walk.beside}.keys() if walk.beside else walk.seen.keys()
        self.arrays = walk.arrays
        self.size = walk.size
        self.unchecked = tuple(sorted(walk.unchecked))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]


def digest(value: object, *, limit: int | None = None, is_hashing: bool = True) -> Digest:
    """The digest of `value`. Raises TooLargeError past `limit` bytes.

    Without `is_hashing` it tells what is inside, not whether it changed: its content is that of nothing.
    """
    walk = Walk(limit, is_hashing=is_hashing)
    walk.take(value)
    return Digest(walk)


def deep_digest(value: object) -> tuple[Digest, bool]:
    """What is inside `value`, also inside of what is compared by identity only, and whether that is all.

    It follows what the garbage collector follows, but neither into modules and classes of libraries nor without end.
    """
    walk = _DeepWalk(None, is_hashing=False)
    walk.take(value)
    return Digest(walk), not walk.is_cut


def register_comparer(kind: type, state: State) -> None:
    """Lets the guard compare values of `kind`, for this process, also those of its subclasses.

    `state(value)` gives plain data or arrays that say all of the value that may change. What the guard cannot look into
    it compares by identity only, and the record names as `unchecked`.
    """
    _registered[kind] = state
    _taker_of.cache_clear()


class Walk:
    """One look at everything inside a value."""

    def __init__(self, limit: int | None, *, is_hashing: bool = True) -> None:
        self.hash = xxhash.xxh3_128()
        self.seen: dict[int, int] = {}
        # The objects that iterators go over: shared, but no part of what is compared.
        self.beside: dict[int, int] = {}
        self.keeps: list[object] = []
        self.arrays: list[tuple[Any, bool]] = []
        self.size = 0
        self.unchecked: set[str] = set()
        self.limit = limit
        self.is_hashing = is_hashing

    def tag(self, *parts: object) -> None:
        """Adds what tells one structure from another."""
        if self.is_hashing:
            self.hash.update(repr(parts).encode("utf-8", "backslashreplace"))

    def grow(self, size: int) -> None:
        """Counts bytes."""
        self.size += size
        if self.limit is not None and self.size > self.limit:
            raise TooLargeError

    def still(self, value: object) -> None:
        """Adds what cannot change, by its identity."""
        self.keeps.append(value)
        if self.is_hashing:
            self.hash.update(b"=" + id(value).to_bytes(8, "little"))

    def bytes(self, data: Any, size: int) -> None:
        """Adds raw memory."""
        self.grow(size)
        if self.is_hashing:
            self.hash.update(data)

    def take(self, value: Any) -> None:
        """Adds anything, with all that is inside. Deep values are walked with a stack of our own, not Python's."""
        stack: list[Any] = [iter((value,))]
        while stack:
            item: Any = next(stack[-1], _END)
            if item is _END:
                stack.pop()
                continue
            if is_immutable(item):
                self.still(item)
                continue
            number = self.seen.get(id(item))
            if number is not None:
                self.tag("again", number)
                continue
            self.seen[id(item)] = len(self.seen)
            # Parts that are made while we look (states, copies) must not lend their ids to others.
            self.keeps.append(item)
            parts = self.parts_of(item)
            if parts is not None:
                stack.append(iter(parts))

    def parts_of(self, item: Any) -> Iterable[Any] | None:
        """Adds one thing; what is inside of it, if that must be added too."""
        kind: Any = type(item)
        return _taker_of(kind)(self, item)

    def items(self, values: list[Any] | tuple[Any, ...]) -> Iterable[Any] | None:
        """What is left to look at of many values: nothing if none of them can change."""
        self.grow(8 * len(values))
        if all(map(is_immutable_kind, set(map(type, values)))):
            kept = tuple(values)
            self.keeps.append(kept)
            if self.is_hashing:
                self.tag(len(kept), hash(tuple(map(id, kept))))
            return None
        self.tag(len(values))
        return values


class _DeepWalk(Walk):
    """A look also into what shows nothing of itself."""

    is_cut = False
    _count = 0

    def parts_of(self, item: Any) -> Iterable[Any] | None:
        if isinstance(item, memoryview):
            return [item.obj]
        kind: Any = type(item)
        taker = _taker_of(kind)
        if taker is not _opaque and taker is not _iterator:
            parts = taker(self, item)
            return [*(parts or ()), kind] if kind.__module__ == _NOTEBOOK else parts
        _opaque(self, item)
        self._count += 1
        if self._count > _DEEP_PARTS:
            self.is_cut = True
            return None
        if not type(item).__flags__ & _HAS_GC and type(item).__module__.partition(".")[0] not in _STANDARD:
            # An extension type that tells nobody what it holds.
            self.is_cut = True
        return _referents(item)


# So many parts that show nothing of themselves are looked into.
_DEEP_PARTS = 20_000
# Whether instances of a type tell the garbage collector what they hold (Py_TPFLAGS_HAVE_GC).
_HAS_GC = 1 << 14
_ITERATOR_MODULES = frozenset({"builtins", "itertools"})
_STANDARD = frozenset(sys.stdlib_module_names)
_END = object()
Taker = Callable[[Walk, Any], Iterable[Any] | None]


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


def _attributes(value: Any) -> list[Any]:
    found: list[Any] = []
    kind = type(value)
    for name, item in getattr(value, "__dict__", {}).items():
        # What a cached property keeps is no change that anybody could see.
        if not isinstance(getattr(kind, name, None), functools.cached_property):
            found += (name, item)
    for base in kind.__mro__:
        for name, slot in vars(base).items():
            if isinstance(slot, MemberDescriptorType) and not _is_c_class(base):
                found += (name, getattr(value, name, _END))
    return found


def _class(walk: Walk, value: type) -> Iterable[Any] | None:
    if value.__module__ != _NOTEBOOK:
        walk.still(value)
        return None
    walk.tag("class", value.__name__)
    found: list[Any] = []
    for name, item in list(vars(value).items()):
        if not name.startswith("__") and not name.startswith("_abc"):
            found += (name, item)
    return found


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
    if names.get("__name__") != _NOTEBOOK or names is vars(sys.modules[_NOTEBOOK]):
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


def _state(state: State) -> Taker:
    def taker(walk: Walk, value: Any) -> Iterable[Any]:
        walk.tag(type(value).__name__)
        inside = Walk(None, is_hashing=walk.is_hashing)
        inside.take(state(value))
        walk.arrays += inside.arrays
        walk.unchecked |= inside.unchecked
        walk.grow(inside.size)
        # Made for this look: its own ids mean nothing, its content does.
        if walk.is_hashing:
            walk.tag(_content(state(value)))
        return ()

    return taker


def _content(value: Any) -> object:
    """Plain data made for one look, told by what it holds instead of by identity."""
    numpy = sys.modules.get("numpy")
    if isinstance(value, dict):
        return [(repr(key), _content(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    if numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return (value.dtype.str, value.shape, xxhash.xxh3_128_hexdigest(numpy.ascontiguousarray(value).tobytes()))
    if is_immutable(value):
        return repr(value)
    return digest(value).content


def _opaque(walk: Walk, value: Any) -> None:
    walk.unchecked.add(f"{type(value).__module__}.{type(value).__qualname__}")
    walk.still(value)


def _referents(value: Any) -> list[Any]:
    return [part for part in gc.get_referents(value) if not isinstance(part, type | FrameType)]


def _iterator(walk: Walk, value: Any) -> None:
    """What is gone over belongs to it, though only how far it has come is its own."""
    _opaque(walk, value)
    inside = _DeepWalk(None, is_hashing=False)
    inside.take(value)
    walk.beside |= inside.seen
    walk.keeps += inside.keeps
    walk.arrays += inside.arrays


def is_iterator(kind: type) -> bool:
    """Whether instances are iterators of Python itself, which are used up by reading them."""
    return kind.__module__ in _ITERATOR_MODULES and issubclass(kind, Iterator)


def _artist(walk: Walk, value: Any) -> Iterable[Any]:
    """What is drawn on a figure of matplotlib: not looked into, but whoever has a part of a figure has the figure."""
    _opaque(walk, value)
    return [part for part in (getattr(value, "figure", None),) if part is not None]


def _still(walk: Walk, value: Any) -> None:
    del walk.seen[id(value)]
    walk.still(value)


def _is_c_class(kind: type) -> bool:
    """Whether instances hold state that no attribute shows."""
    return any(isinstance(item, _C_METHODS) for item in vars(kind).values()) or isinstance(
        vars(kind).get("__new__"), BuiltinFunctionType
    )


def _is_plain_class(kind: type) -> bool:
    is_known = kind.__module__ == _NOTEBOOK or (kind.__module__ + ".").startswith(_PLAIN_LIBRARIES)
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
)
_EXACT: dict[type, Taker] = {
    **dict(_BUILT_IN),
    type: _class,
    FunctionType: _function,
    CellType: _cell,
    MethodType: _method,
    ModuleType: _still,
    BuiltinFunctionType: _still,
    memoryview: _bytes,
    SimpleNamespace: _instance,
    functools.partial: lambda _, value: [value.func, value.args, value.keywords],
    property: lambda _, value: [value.fget, value.fset],
    staticmethod: lambda _, value: [value.__func__],
    classmethod: lambda _, value: [value.__func__],
    GetSetDescriptorType: _still,
    MemberDescriptorType: _still,
}
# By dotted name, for what is not imported here: the state that says all.
_STATES: dict[str, State] = {
    "random.Random": methodcaller("getstate"),
    "_io.StringIO": lambda value: (value.getvalue(), value.tell()),
    "_io.BytesIO": lambda value: (value.getvalue(), value.tell()),
    "array.array": lambda value: (value.typecode, value.tobytes()),
    "numpy.random._generator.Generator": lambda value: value.bit_generator.state,
    "numpy.random.mtrand.RandomState": lambda value: value.get_state(legacy=False),
}


@functools.lru_cache(maxsize=4096)
def _taker_of(kind: type) -> Taker:
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
        return _iterator
    return _instance if _is_plain_class(kind) else _opaque
