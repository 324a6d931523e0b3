"""Arrow IPC for tables of pandas, polars and pyarrow: whatever would not come back exactly is left to pickle."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec

from szal_nb.model.loaded import loaded
from szal_nb.store.codecs import Encoded
from szal_nb.store.pickling import ResolveClass, TooLargeError

_PANDAS_KINDS = frozenset("biufmM")
# A table of so few columns comes back with each column by itself, as one has it whose columns were made one by one. In
# one block, `values` and `df[names].values` would be views that pandas lets nobody write to, where they were copies.
_SPLIT_COLUMNS = 50


class PandasCodec:
    """DataFrames and Series of pandas whose columns Arrow knows exactly."""

    format = "arrow-pandas"
    is_safe = True

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `codecs.Codec`."""
        pandas, arrow = loaded("pandas"), loaded("pyarrow")
        if pandas is None or arrow is None or type(value) not in {pandas.DataFrame, pandas.Series}:
            return None
        if not _is_exact_in_arrow(pandas, value):
            return None
        if limit is not None and int(_frame(pandas, value).memory_usage(index=True, deep=False).sum()) > limit:
            raise TooLargeError
        try:
            data = _write_frame(arrow, pandas, value)
            back = _read_frame(arrow, io.BytesIO(data))
        except (arrow.ArrowException, ValueError, TypeError, KeyError, NotImplementedError):
            return None
        return Encoded(self.format, (data,)) if _is_identical(pandas, value, back) else None

    def decode(self, data: bytes | Path, _resolve_class: ResolveClass, /) -> object:
        """See `codecs.Codec`."""
        import pyarrow as pa  # late: heavy

        return _read_frame(pa, data if isinstance(data, Path) else io.BytesIO(data))


def _frame(pandas: Any, value: Any) -> Any:
    return value if type(value) is pandas.DataFrame else value.to_frame(name="value")


def _columns(pandas: Any, value: Any) -> list[Any]:
    frame = _frame(pandas, value)
    return [frame.iloc[:, place] for place in range(frame.shape[1])]


def _is_exact_dtype(pandas: Any, dtype: Any) -> bool:
    if isinstance(dtype, pandas.CategoricalDtype):
        return _is_exact_dtype(pandas, dtype.categories.dtype)
    if isinstance(dtype, pandas.StringDtype | pandas.DatetimeTZDtype):
        return True
    return type(dtype).__module__.startswith("numpy") and dtype.kind in _PANDAS_KINDS


def _is_exact_in_arrow(pandas: Any, value: Any) -> bool:
    frame = _frame(pandas, value)
    if value.attrs or not value.flags.allows_duplicate_labels or isinstance(frame.columns, pandas.MultiIndex):
        return False
    names = list(frame.columns)
    if frame.columns.name is not None or len(set(names)) != len(names) or any(type(n) is not str for n in names):
        return False
    index = value.index
    if isinstance(index, pandas.MultiIndex) or (index.name is not None and type(index.name) is not str):
        return False
    series_name = None if value is frame else value.name
    if series_name is not None and type(series_name) is not str:
        return False
    dtypes = [*frame.dtypes, index.dtype]
    return frame.shape[1] > 0 and all(_is_exact_dtype(pandas, dtype) for dtype in dtypes)


def _write_frame(arrow: Any, pandas: Any, value: Any) -> bytes:
    frame = _frame(pandas, value)
    table = arrow.Table.from_pandas(frame, preserve_index=True, nthreads=1)
    kind = {"kind": type(value).__name__, "name": getattr(value, "name", None) if frame is not value else None}
    extra = {
        b"szal": msgspec.json.encode(kind),
        b"range": msgspec.json.encode(_range_of(pandas, value.index)),
    }
    if _range_of(pandas, value.index) is not None:
        table = arrow.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **extra})
    sink = io.BytesIO()
    with arrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _range_of(pandas: Any, index: Any) -> list[object] | None:
    if type(index) is not pandas.RangeIndex:
        return None
    return [index.start, index.stop, index.step, index.name]


def _read_frame(arrow: Any, source: Any) -> Any:
    import pandas as pd  # late: heavy

    with arrow.ipc.open_file(str(source) if isinstance(source, Path) else source) as reader:
        table = reader.read_all()
    metadata = table.schema.metadata
    kind = msgspec.json.decode(metadata[b"szal"])
    place = msgspec.json.decode(metadata[b"range"])
    is_split = table.num_columns <= _SPLIT_COLUMNS
    frame = table.to_pandas(use_threads=False, split_blocks=is_split)
    for number, dtype in enumerate(frame.dtypes):
        # Memory of Arrow cannot be written to.
        if is_split or isinstance(dtype, pd.CategoricalDtype):
            frame.isetitem(number, frame.iloc[:, number].array.copy())
    if place is not None:
        frame.index = pd.RangeIndex(place[0], place[1], place[2], name=place[3])
    if kind["kind"] == "DataFrame":
        return frame
    series = frame.iloc[:, 0]
    series.name = kind["name"]
    return series


def _is_identical(pandas: Any, value: Any, back: Any) -> bool:
    if type(value) is not type(back) or value.shape != back.shape:
        return False
    before, after = value.index, back.index
    if not before.identical(after) or type(before) is not type(after) or before.dtype != after.dtype:
        return False
    if getattr(before, "freq", None) != getattr(after, "freq", None):
        return False
    if type(value) is pandas.Series:
        is_named_alike = value.name == back.name
    else:
        is_named_alike = value.columns.identical(back.columns) and value.columns.dtype == back.columns.dtype
    pairs = zip(_columns(pandas, value), _columns(pandas, back), strict=True)
    return is_named_alike and all(_is_same_column(pandas, one, other) for one, other in pairs)


def _is_same_column(pandas: Any, one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or repr(one.dtype) != repr(other.dtype):
        return False
    if isinstance(one.dtype, pandas.CategoricalDtype):
        categories = one.cat.categories, other.cat.categories
        if not categories[0].identical(categories[1]) or one.cat.ordered != other.cat.ordered:
            return False
    if one.dtype.kind == "f":
        # The sign of zero and of NaN is part of the value.
        one, other = one.to_numpy(), other.to_numpy()
        return bool((one.view(f"u{one.dtype.itemsize}") == other.view(f"u{other.dtype.itemsize}")).all())
    return bool(one.equals(other))


class PolarsCodec:
    """DataFrames of polars, by its own Arrow writer."""

    format = "arrow-polars"
    is_safe = True

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `codecs.Codec`."""
        polars = loaded("polars")
        if polars is None or type(value) is not polars.DataFrame:
            return None
        return self._encode(polars, value, limit)

    def _encode(self, polars: Any, frame: Any, limit: int | None) -> Encoded | None:
        if limit is not None and frame.estimated_size() > limit:
            raise TooLargeError
        if frame.width == 0 or any(dtype == polars.Object for dtype in frame.dtypes):
            return None
        sink = io.BytesIO()
        try:
            frame.write_ipc(sink, compression="uncompressed")
            back = polars.read_ipc(io.BytesIO(sink.getvalue()))
        except Exception:  # noqa: BLE001 polars raises many kinds, and panics; then the next codec is asked
            return None
        if back.schema != frame.schema or not back.equals(frame):
            return None
        return Encoded(self.format, (sink.getvalue(),))

    def decode(self, data: bytes | Path, _resolve_class: ResolveClass, /) -> object:
        """See `codecs.Codec`."""
        import polars as pl  # late: heavy

        whole = data.read_bytes() if isinstance(data, Path) else data
        return pl.read_ipc(io.BytesIO(whole))


class PolarsSeriesCodec(PolarsCodec):
    """A Series of polars, as a frame of one column."""

    format = "arrow-polars-series"

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `codecs.Codec`."""
        polars = loaded("polars")
        if polars is None or type(value) is not polars.Series:
            return None
        return self._encode(polars, value.to_frame(), limit)

    def decode(self, data: bytes | Path, resolve_class: ResolveClass, /) -> object:
        """See `codecs.Codec`."""
        return super().decode(data, resolve_class).to_series(0)  # type: ignore[attr-defined]


class TableCodec:
    """Tables of pyarrow."""

    format = "arrow"
    is_safe = True

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `codecs.Codec`."""
        arrow = loaded("pyarrow")
        if arrow is None or type(value) is not arrow.Table:
            return None
        if limit is not None and value.nbytes > limit:
            raise TooLargeError
        sink = io.BytesIO()
        try:
            with arrow.ipc.new_file(sink, value.schema) as writer:
                writer.write_table(value)
        except arrow.ArrowException:
            return None
        return Encoded(self.format, (sink.getvalue(),))

    def decode(self, data: bytes | Path, _resolve_class: ResolveClass, /) -> object:
        """See `codecs.Codec`."""
        import pyarrow as pa  # late: heavy

        source = pa.memory_map(str(data)) if isinstance(data, Path) else io.BytesIO(data)
        with pa.ipc.open_file(source) as reader:
            return reader.read_all()
