"""cloudpickle as the last format, with notebook classes by name.

An instance of a class that a notebook defines is stored as the class's name and the instance's state, with a digest
of the class's code, and loaded onto the class that the reader's notebook defines; a class that is itself the value is
stored whole.
"""

from __future__ import annotations

import functools
import importlib
import io
import math
import pickle
import struct
import threading
import uuid
import weakref
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from types import CodeType, MappingProxyType, ModuleType
from typing import Any, NamedTuple, NoReturn, Protocol

import cloudpickle

from szal_nb.model.loaded import loaded
from szal_nb.model.whole_class import put_members, told_code, told_whole
from szal_nb.store.class_code import NOTEBOOK, code_of_class, is_other_code
from szal_nb.store.nans import named_nan, nan_name
from szal_nb.store.reducers import of_any_kernel, reducer_of, refusal_of

ResolveClass = Callable[[str], type | None]
# Between the name of a class and the step that gave it. Without it: the notebook's own.
OF_STEP = "@"
# By what cloudpickle told a class apart when it was stored, so that it is still that one when it is stored again: as in
# cloudpickle, this goes for the process.
_TRACKERS: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
# How a pickle spells a NaN.
_NAN = pickle.BINFLOAT + struct.pack(">d", math.nan)


class NameClass(Protocol):
    """Tells under which name a pickle has a class."""

    def __call__(self, kind: type, *, is_class: bool) -> str:
        """The name by which a reader will find it; "" if it is to be stored whole.

        PicklingError if no name leads to it. `is_class`: what is stored is a class itself.
        """


class UnknownClassError(Exception):
    """The value needs a class that nobody defines here."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"its class {self.name} is not defined by this notebook"


class OtherClassError(Exception):
    """The class that the value needs has other code here than it had when the value was stored."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"the notebook's class {self.name} is not what it was when this was stored. Undo the change, let the steps "
            "run again that make it, or begin a new run"
        )


class TooLargeError(Exception):
    """The pickle grew past its limit."""


def notebook_class(name: str, code: str = "") -> NoReturn:  # noqa: ARG001 as pickles call it
    """What a pickle calls for a class of the notebook; `_Unpickler` puts the reader's resolver in its place."""
    raise UnknownClassError(name)


def _owner(array: Any) -> Any:
    """The array whose memory this one looks into; None for all else, and for arrays with memory of their own."""
    numpy = loaded("numpy")
    if numpy is None or type(array) is not numpy.ndarray or array.dtype.hasobject:
        return None
    owner = array
    while isinstance(owner.base, numpy.ndarray):
        owner = owner.base
    return None if owner is array else owner


def _view(owner: Any, dtype: Any, shape: Any, *place: Any) -> Any:
    import numpy as np  # late: heavy

    strides, offset, is_writeable = place
    memory = np.asarray(owner)
    memory = memory.reshape(-1) if memory.flags.c_contiguous else memory.T.reshape(-1)
    view = np.ndarray(shape, dtype, buffer=memory, offset=offset, strides=strides)
    if not is_writeable:
        view.flags.writeable = False
    return view


def untyped_storage(data: bytes) -> Any:
    """The memory of tensors of torch that these bytes were."""
    torch: Any = importlib.import_module("torch")
    made = torch.UntypedStorage(len(data))
    if data:
        _bytes_of(torch, made).copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return made


def typed_storage(untyped: Any, dtype: Any) -> Any:
    """The same memory as tensors of this type have it."""
    torch: Any = importlib.import_module("torch")
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def _bytes_of(torch: Any, untyped: Any) -> Any:
    return torch.empty(0, dtype=torch.uint8, device="cpu").set_(untyped)


class _NamingNans:
    """The NaNs that everybody means by name come back as these objects."""

    def persistent_id(self, obj: Any) -> str | None:
        return nan_name(obj) or None if type(obj) is float else None


_STORAGES = frozenset({"TypedStorage", "UntypedStorage"})


class _Limited(io.BytesIO):
    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        # Large parts come as buffers, which have no length.
        if self._limit is not None and self.tell() + memoryview(data).nbytes > self._limit:
            raise TooLargeError
        return super().write(data)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(
        self, file: io.BytesIO, *, is_class: bool, name_class: NameClass, shared_memory: Collection[int] = ()
    ) -> None:
        super().__init__(file, protocol=5)
        self._name_class = name_class
        self._shared_memory = shared_memory
        self._is_class = is_class
        # The classes of what it has met, and those of the notebook by the names that stand for them.
        self.kinds: set[type] = set()
        self.named: dict[str, type] = {}
        # The memory that tensors of torch look into, by its address.
        self._storages: dict[int, Any] = {}

    def _storage(self, part: Any) -> Any:
        """As torch itself writes it, its address is in it, and tensors that look into one memory get a copy each."""
        torch = loaded("torch")
        if torch is None or not isinstance(part, (torch.storage.TypedStorage, torch.UntypedStorage)):
            return NotImplemented
        is_typed = isinstance(part, torch.storage.TypedStorage)
        untyped = part._untyped_storage if is_typed else part  # noqa: SLF001  the public way warns
        if untyped.device.type != "cpu":
            return NotImplemented
        if is_typed:
            return typed_storage, (self._storages.setdefault(untyped.data_ptr(), untyped), part.dtype)
        return untyped_storage, (_bytes_of(torch, untyped).numpy().tobytes(),)

    def _class(self, kind: type) -> Any:
        if kind.__module__ == NOTEBOOK and "<locals>" not in kind.__qualname__:
            name = self._name_class(kind, is_class=self._is_class)
            if name:
                self.named[name] = kind
                code = code_of_class(kind)
                return notebook_class, (name, code) if code else (name,)
        reduced = told_whole(kind, super().reducer_override(kind))
        if kind in _TRACKERS:
            make, (*before, _, extra), *rest = reduced
            reduced = make, (*before, _TRACKERS[kind], extra), *rest
        return reduced

    def reducer_override(self, obj: Any) -> Any:
        kind: Any = type(obj)
        if isinstance(obj, type):
            return self._class(obj)
        self.kinds.add(kind)
        if self._shared_memory and (owner := _owner(obj)) is not None and id(owner) in self._shared_memory:
            offset = obj.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
            return _view, (owner, obj.dtype, obj.shape, obj.strides, offset, obj.flags.writeable)
        if refusal := refusal_of(obj):
            raise pickle.PicklingError(refusal)
        if isinstance(obj, CodeType):
            code = of_any_kernel(obj)
            return told_code(code, self.dispatch_table[CodeType](code))
        if (kind.__name__ in _STORAGES and (reduced := self._storage(obj)) is not NotImplemented) or (
            (reducer := reducer_of(kind)) is not None and (reduced := reducer(obj)) is not NotImplemented
        ):
            return reduced
        return super().reducer_override(obj)


class Classes:
    """The classes that one reader has made from pickles that hold them whole.

    cloudpickle makes a class once in a process and gives it its attributes anew with each pickle that holds it, also a
    class that is in use. Here each reader makes classes of its own, and gives each its attributes once.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._ids: dict[str, str] = {}
        self._are_made: weakref.WeakSet[type] = weakref.WeakSet()

    def skeleton(self, make: Callable[..., type], *arguments: Any) -> type:
        """As cloudpickle's `make`, whose last argument but one tells classes apart."""
        *before, tracker, extra = arguments
        made = make(*before, self._ids.setdefault(tracker, uuid.uuid4().hex), extra)
        _TRACKERS[made] = tracker
        return made

    def set_state(self, set_state: Callable[[type, Any], type], made: type, state: Any) -> type:
        """As cloudpickle's `set_state`, the first time."""
        if made not in self._are_made:
            self._are_made.add(made)
            set_state(made, state)
            put_members(made, state[1])
        return made


class _NanPickler(_NamingNans, _Pickler):
    """Asks of each object whether it is one of these: only for what holds a NaN."""


class Resolver:
    """Finds classes of the notebook by name, for a reader that goes on reading: `classes` are those it has made.

    `is_strict`: one whose code is not what it was is none.
    """

    def __init__(self, resolve: ResolveClass, *, is_strict: bool = False) -> None:
        self._resolve = resolve
        self.is_strict = is_strict
        self.classes = Classes()

    def __call__(self, name: str) -> type | None:
        """The class of this name; None if there is none."""
        return self._resolve(name)


_SKELETONS = ("_make_skeleton_class", "_make_skeleton_enum")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, resolve_class: ResolveClass, classes: Classes) -> None:
        super().__init__(file)
        self._resolve_class = resolve_class
        self._classes = classes

    def persistent_load(self, name: Any) -> float:
        return named_nan(name)

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == "cloudpickle.cloudpickle" and global_name in _SKELETONS:
            return functools.partial(self._classes.skeleton, super().find_class(module_name, global_name))
        if (module_name, global_name) == ("cloudpickle.cloudpickle", "_class_setstate"):
            return functools.partial(self._classes.set_state, super().find_class(module_name, global_name))
        if (module_name, global_name) == (__name__, notebook_class.__name__):
            return self._resolved
        if module_name == NOTEBOOK:
            return self._resolved(global_name)
        return super().find_class(module_name, global_name)

    def _resolved(self, name: str, code: str = "") -> type:
        found = self._resolve_class(name)
        if found is None:
            raise UnknownClassError(name)
        is_strict = isinstance(self._resolve_class, Resolver) and self._resolve_class.is_strict
        if is_strict and is_other_code(code, code_of_class(found)):
            raise OtherClassError(name)
        return found


def by_qualname(kind: type, *, is_class: bool) -> str:
    """The name that a class has in its module, whatever is there now; "" in what is a class itself."""
    return "" if is_class else kind.__qualname__


class Pickled(NamedTuple):
    """A pickle. `kinds` are the classes of what is in it, `named` those of the notebook that it has by these names."""

    data: bytes
    kinds: Collection[type]
    named: Mapping[str, type]


def dump(value: object, *, limit: int | None = None, name_class: NameClass = by_qualname) -> bytes:
    """The pickle of `value`; any exception if there is none, `TooLargeError` if it has more than `limit` bytes."""
    return pickled(value, limit=limit, name_class=name_class).data


def pickled(value: object, *, limit: int | None = None, name_class: NameClass = by_qualname) -> Pickled:
    """As `dump`, with what is in it."""
    found = _pickled(_Pickler, value, limit, name_class)
    return _pickled(_NanPickler, value, limit, name_class) if _NAN in found.data else found


def _pickled(make: type[_Pickler], value: object, limit: int | None, name_class: NameClass) -> Pickled:
    file = _Limited(limit)
    memory = getattr(value, "shared_memory", None) or ()
    pickler = make(file, is_class=isinstance(value, type), name_class=name_class, shared_memory=memory)
    pickler.dump(value)
    return Pickled(file.getvalue(), pickler.kinds, pickler.named)


def load(data: bytes, resolve_class: ResolveClass) -> object:
    """The value of a pickle that is trusted: this runs code."""
    classes = resolve_class.classes if isinstance(resolve_class, Resolver) else Classes()
    with classes.lock if b"_make_skeleton_" in data else nullcontext():
        return _Unpickler(io.BytesIO(data), resolve_class, classes).load()


def class_in(main: ModuleType | None, first: Mapping[str, Any] = MappingProxyType({})) -> ResolveClass:
    """Finds classes among the names `first`, and among those of a module, such as the notebook's own `__main__`."""

    def resolve(name: str) -> type | None:
        head, *rest = name.split(".")
        found: object = first.get(head)
        if not isinstance(found, type):
            found = getattr(main, head, None)
        for part in rest:
            found = getattr(found, part, None)
        return found if isinstance(found, type) else None

    return resolve
