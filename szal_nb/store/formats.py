"""Which codecs there are, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from szal_nb.store.codecs import ArrayCodec, Codec, PickleCodec, PlainCodec, ScalarCodec
from szal_nb.store.tables import PandasCodec, PolarsCodec, PolarsSeriesCodec, TableCodec

ENTRY_POINTS = "szal_nb.codecs"


def all_codecs(extra: Sequence[Codec] = ()) -> tuple[Codec, ...]:
    """`extra`, then those of this package; pickle takes what no other does, so it comes last."""
    return (
        *extra,
        PlainCodec(),
        ArrayCodec(),
        ScalarCodec(),
        PandasCodec(),
        PolarsCodec(),
        PolarsSeriesCodec(),
        TableCodec(),
        PickleCodec(),
    )


def installed_codecs() -> tuple[Codec, ...]:
    """Codecs that other packages register under the entry point group `szal_nb.codecs`; they are asked first."""
    found = []
    for point in entry_points(group=ENTRY_POINTS):
        codec = point.load()()
        if not isinstance(codec, Codec):
            raise TypeError(f"The entry point {point.value} does not make a codec (see szal_nb.store.codecs.Codec).")
        found.append(codec)
    return tuple(found)
