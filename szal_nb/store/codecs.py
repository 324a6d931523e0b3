"""How values become bytes and come back: one codec a format, tried in order, the typed ones first.

A codec says None for what is not its own or would not come back exactly; the next one is asked. No codec imports a
library: a value of pandas is only there if pandas is.
"""

from __future__ import annotations

import io
import pickle
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from szal_nb.model.loaded import loaded
from szal_nb.store import pickling, plain, readable

Buffer = bytes | memoryview


class Encoded(msgspec.Struct, frozen=True):
    """A value as bytes, in parts that need not be joined. `text` is what a search for secrets should see besides."""

    format: str
    parts: tuple[Buffer, ...]
    text: bytes = b""

    @property
    def size(self) -> int:
        """Bytes in all parts."""
        return sum(len(part) if isinstance(part, bytes) else part.nbytes for part in self.parts)


@runtime_checkable
class Codec(Protocol):
    """One format. `is_safe`: decoding runs no code that the bytes bring along."""

    format: str
    is_safe: bool

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """The value as bytes; None if this codec is not for it.

        May raise whatever it likes for what cannot be stored at all, and `pickling.TooLargeError` past `limit` bytes.
        """

    def decode(self, data: bytes | Path, resolve_class: pickling.ResolveClass, /) -> object:
        """The value, from its bytes or from the file that holds them."""


class PlainCodec:
    """JSON for small plain data."""

    format = "json"
    is_safe = True

    def encode(self, value: Any, _limit: int | None, /) -> Encoded | None:
        """See `Codec`."""
        try:
            text = plain.to_text(value)
        except plain.NotPlainError:
            return None
        return Encoded(self.format, (text.encode(),))

    def decode(self, data: bytes | Path, _resolve_class: pickling.ResolveClass, /) -> object:
        """See `Codec`."""
        return plain.from_text(_bytes(data).decode())


class ArrayCodec:
    """`.npy` for numpy arrays without objects in them; read from a file by memory map, copy on write."""

    format = "npy"
    is_safe = True

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `Codec`."""
        numpy = loaded("numpy")
        if numpy is None or type(value) is not numpy.ndarray or not _is_plain_dtype(numpy, value.dtype):
            return None
        _check_size(value.nbytes, limit)
        return self._encode(numpy, value)

    def _encode(self, numpy: Any, array: Any) -> Encoded | None:
        is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        header = io.BytesIO()
        try:
            numpy.lib.format.write_array_header_1_0(header, numpy.lib.format.header_data_from_array_1_0(array))
        except ValueError:  # Field names that are not Latin, or too many of them.
            return None
        # ascontiguousarray makes a 0-d array 1-d; the header knows the shape.
        flat = numpy.ascontiguousarray(array.T if is_fortran else array).reshape(-1)
        text = "\0".join(flat.tolist()).encode("utf-8", "replace") if array.dtype.kind == "U" else b""
        body = memoryview(flat.view(numpy.uint8)) if flat.nbytes and flat.dtype.itemsize else b""
        return Encoded(self.format, (header.getvalue(), body), text)

    def decode(self, data: bytes | Path, _resolve_class: pickling.ResolveClass, /) -> object:
        """See `Codec`."""
        import numpy as np  # late: heavy

        if isinstance(data, Path):
            mapped = np.load(data, mmap_mode="c", allow_pickle=False)
            return np.asarray(mapped)
        return np.load(io.BytesIO(data), allow_pickle=False)


class ScalarCodec(ArrayCodec):
    """A numpy scalar, as an array of no dimension."""

    format = "npy-scalar"

    def encode(self, value: Any, _limit: int | None, /) -> Encoded | None:
        """See `Codec`."""
        numpy = loaded("numpy")
        if numpy is None or not isinstance(value, numpy.generic) or type(value).__module__ != "numpy":
            return None
        if not _is_plain_dtype(numpy, value.dtype) or value.dtype.kind == "V":
            return None
        return self._encode(numpy, numpy.asarray(value))

    def decode(self, data: bytes | Path, resolve_class: pickling.ResolveClass, /) -> object:
        """See `Codec`."""
        return super().decode(_bytes(data), resolve_class)[()]  # type: ignore[index]


class PickleCodec:
    """cloudpickle, for the rest. `unheard` drops what code of the value prints while that is tried to be read."""

    format = "pickle"
    is_safe = False

    def __init__(
        self, name_class: pickling.NameClass = pickling.by_qualname, unheard: readable.Unheard = nullcontext
    ) -> None:
        self._name_class = name_class
        self._unheard = unheard

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `Codec`."""
        found = pickling.pickled(value, limit=limit, name_class=self._name_class)
        readable.check_readable(value, found, self._unheard)
        return Encoded(self.format, (found.data,))

    def decode(self, data: bytes | Path, resolve_class: pickling.ResolveClass, /) -> object:
        """See `Codec`."""
        try:
            return pickling.load(_bytes(data), resolve_class)
        except pickle.UnpicklingError as error:
            raise ValueError(str(error)) from error


def _bytes(data: bytes | Path) -> bytes:
    return data.read_bytes() if isinstance(data, Path) else data


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise pickling.TooLargeError


def _is_plain_dtype(numpy: Any, dtype: Any) -> bool:
    """Whether `.npy` gives this dtype back as it is: no objects, no metadata, nothing of a third party."""
    if dtype.hasobject or dtype.metadata is not None or type(dtype).__module__.split(".")[0] != "numpy":
        return False
    if dtype.kind not in "biufcmMSUV":
        return False
    if dtype.names is None and dtype.subdtype is None:
        return bool(dtype.kind != "V" or dtype.itemsize > 0)
    described = numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(dtype))
    return bool(described == dtype) and bool(described.isalignedstruct == dtype.isalignedstruct)
