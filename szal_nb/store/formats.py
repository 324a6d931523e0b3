"""Which codecs there are, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from szal_nb.errors import StoreError
from szal_nb.store.codecs import ArrayCodec, Codec, PickleCodec, PlainCodec, ScalarCodec
from szal_nb.store.images import ImageCodec
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
        ImageCodec(),
        PickleCodec(),
    )


class CodecUnusable(StoreError):
    """A codec that another package registers cannot be had."""

    def __init__(self, name: str, where: str, reason: str) -> None:
        super().__init__(name, where, reason)
        self.name = name
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The codec {self.name!r} ({self.where}) cannot be used: {self.reason}. "
            f"Mend or uninstall the package that registers it under the entry points {ENTRY_POINTS!r}."
        )


def installed_codecs() -> tuple[Codec, ...]:
    """Codecs that other packages register under the entry point group `szal_nb.codecs`; they are asked first.

    Raises `CodecUnusable`: without the codec, values that it keeps could not be read.
    """
    found = []
    for point in entry_points(group=ENTRY_POINTS):
        try:
            codec = point.load()()
        except Exception as error:
            raise CodecUnusable(point.name, point.value, f"{type(error).__name__}: {error}") from error
        if not isinstance(codec, Codec):
            raise CodecUnusable(point.name, point.value, "it does not make a codec (see szal_nb.store.codecs.Codec)")
        found.append(codec)
    return tuple(found)
