"""How the digest looks into arrays and tables: numpy, pandas, polars, torch. None of them is imported here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from szal_nb.engine.immutable import is_immutable

if TYPE_CHECKING:
    from szal_nb.engine.digest import Walk
    from szal_nb.engine.kinds import Taker


def array_taker(kind: type) -> Taker | None:
    """How arrays and tables of `kind` are looked into; None for other kinds."""
    for library, name, taker in _TAKERS:
        module = sys.modules.get(library)
        base = getattr(module, name, None)
        if isinstance(base, type) and issubclass(kind, base):
            return taker
    extensions = getattr(getattr(sys.modules.get("pandas"), "api", None), "extensions", None)
    if extensions is not None and issubclass(kind, extensions.ExtensionArray):
        return _extension_array
    return None


def _array(walk: Walk, value: Any) -> Iterable[Any]:
    numpy: Any = sys.modules["numpy"]
    plain = value.view(numpy.ndarray)
    walk.tag(type(value).__name__, plain.dtype.str, plain.dtype.names, plain.shape, plain.flags.writeable)
    walk.arrays.append((value, False))
    parts = list((getattr(value, "__dict__", None) or {}).values())
    if isinstance(value, numpy.ma.MaskedArray):
        walk.tag(repr(value.fill_value))
        memory(walk, numpy.ma.getmaskarray(value))
        parts = []
    if plain.dtype.hasobject:
        return [*(walk.items(plain.ravel().tolist()) or ()), *parts]
    memory(walk, plain)
    return parts


def memory(walk: Walk, array: Any) -> None:
    """Adds the bytes of an array that holds no objects."""
    numpy: Any = sys.modules["numpy"]
    if not array.nbytes:
        return
    if array.flags.c_contiguous:
        flat = array
    elif array.flags.f_contiguous:
        flat = array.T
    else:
        flat = numpy.ascontiguousarray(array) if walk.is_hashing else array
    walk.bytes(flat.reshape(-1).view(numpy.uint8) if walk.is_hashing else b"", array.nbytes)


def _frame(walk: Walk, value: Any) -> Iterable[Any]:
    walk.tag(type(value).__name__, value.shape, getattr(value.flags, "allows_duplicate_labels", None))
    # A frame has no name, but may have a column of that name: pandas makes a series of it anew each time.
    parts: list[Any] = [*value.axes, value.attrs, value.name if value.ndim == 1 else None]
    columns: dict[int, Any] = {}
    for block in value._mgr.blocks:  # noqa: SLF001  by column the public way takes milliseconds for wide frames
        array = block.values
        if getattr(array, "ndim", 1) == 1:
            columns.update(dict.fromkeys(block.mgr_locs, array))
        else:
            columns.update((place, array[i]) for i, place in enumerate(block.mgr_locs))
    # In the order of columns: which columns are stored together may change by reading.
    for place in sorted(columns):
        _column(walk, columns[place], parts)
    return parts


def _column(walk: Walk, array: Any, parts: list[Any]) -> None:
    numpy: Any = sys.modules["numpy"]
    if not isinstance(array, numpy.ndarray):
        parts.append(array)
        return
    walk.tag(array.dtype.str, array.shape)
    if array.dtype.hasobject:
        parts += walk.items(array.ravel().tolist()) or ()
    else:
        # Frames hand columns to each other and copy before they write.
        walk.arrays.append((array, True))
        memory(walk, array)


def _index(walk: Walk, value: Any) -> Iterable[Any]:
    # The labels of an index cannot be changed; its names can.
    walk.tag(type(value).__name__, len(value))
    walk.still(getattr(value, "_data", value))
    # Indexes are shared freely between frames and are no objects that one changes.
    walk.seen[~id(value)] = walk.seen.pop(id(value))
    return [*value.names]


def _extension_array(walk: Walk, value: Any) -> Iterable[Any]:
    walk.tag(type(value).__name__, str(value.dtype), len(value))
    walk.keeps.append(value)
    # Frames hand these to each other and copy before they write; the frame is what one changes.
    walk.seen[~id(value)] = walk.seen.pop(id(value))
    parts: list[Any] = []
    for name in ("_ndarray", "_data", "_mask", "_pa_array", "_left", "_right", "_sparse_values"):
        part = getattr(value, name, None)
        if part is not None and part is not value:
            if is_immutable(part):
                walk.still(part)
            elif hasattr(part, "dtype") and hasattr(part, "flags"):
                _column(walk, part, parts)
    if not any(hasattr(value, name) for name in ("_ndarray", "_data", "_pa_array", "_left", "_sparse_values")):
        walk.unchecked.add(f"{type(value).__module__}.{type(value).__qualname__}")
    return parts


def _polars(walk: Walk, value: Any) -> Iterable[Any]:
    columns = value.get_columns() if hasattr(value, "get_columns") else [value]
    parts: list[Any] = []
    walk.tag(type(value).__name__, len(value))
    for column in columns:
        walk.tag(column.name, str(column.dtype), len(column))
        if column.dtype == sys.modules["polars"].Object:
            parts += walk.items(column.to_list()) or ()
            continue
        array = column.to_arrow()
        for chunk in getattr(array, "chunks", [array]):
            walk.tag(chunk.offset, len(chunk))
            for buffer in chunk.buffers():
                if buffer is not None:
                    walk.bytes(buffer, buffer.size)
    return parts


def _tensor(walk: Walk, value: Any) -> Iterable[Any]:
    torch: Any = sys.modules["torch"]
    # What was made in inference mode counts no changes.
    version = None if value.is_inference() else value._version  # noqa: SLF001
    walk.tag("tensor", str(value.dtype), tuple(value.shape), str(value.device), value.requires_grad, version)
    walk.grow(value.numel() * value.element_size())
    if value.device.type == "cpu" and value.layout == torch.strided:
        data = value.detach().contiguous().reshape(-1)
        array = data.view(torch.uint8).numpy() if data.numel() else data.numpy()
        walk.arrays.append((array, False))
        walk.bytes(array, 0)
    return [*([value.grad] if value.grad is not None else []), *vars(value).values()]


_TAKERS: tuple[tuple[str, str, Taker], ...] = (
    ("numpy", "ndarray", _array),
    ("pandas", "DataFrame", _frame),
    ("pandas", "Series", _frame),
    ("pandas", "Index", _index),
    ("polars", "DataFrame", _polars),
    ("polars", "Series", _polars),
    ("torch", "Tensor", _tensor),
)
