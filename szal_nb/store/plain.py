"""Small plain data as JSON text that gives back exactly what went in: tuples, sets, bytes, dates, NaN, any keys.

What JSON has no word for is an object with one key that begins with "$"; a dict with such a key is written as pairs.
Sets are sorted by their text, so that the text, and with it the hash, does not depend on the process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from szal_nb.store.nans import named_nan, nan_name

_MOST_NODES = 100_000
_DEEPEST = 150
_INT64 = 2**63
_WORDS = {None: "null", False: "false", True: "true"}


class NotPlainError(Exception):
    """The value is not small plain data; another format must take it."""


def to_text(value: object) -> str:
    """Canonical JSON text of `value`.

    Raises `NotPlainError` if it is not plain, is large or deep, or holds one list, dict or set twice (JSON would make
    two of it).

    >>> to_text({"a": (1, float("nan")), 2: {"b", "a"}})
    '{"$dict":[["a",{"$tuple":[1,{"$float":"nan"}]}],[2,{"$set":["a","b"]}]]}'
    """
    kind = type(value)
    # Most of what steps hand on is one number or text: a packer and an encoder of its own cost many times its text.
    if kind is str and value.isascii():  # type: ignore[attr-defined]
        return _dump(value)
    if (kind is int and -_INT64 <= value < _INT64) or (kind is float and math.isfinite(value)):  # type: ignore[operator, arg-type]
        return repr(value)
    if value is None or kind is bool:
        return _WORDS[value]  # type: ignore[index]
    return _dump(_Packer().pack(value, 0))


def from_text(text: str) -> object:
    """What `to_text` was given."""
    tree = json.loads(text)
    return _unpack(tree) if '"$' in text else tree


_dump = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class _Packer:
    def __init__(self) -> None:
        self._nodes = 0
        # Kept alive by the value that is being packed, so an id means one object.
        self._seen: set[int] = set()

    def pack(self, value: object, depth: int) -> object:
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > _DEEPEST:
            raise NotPlainError("large or deep")
        kind = type(value)
        if value is None or kind is bool:
            return value
        pack = _PACK.get(kind)
        if pack is None:
            raise NotPlainError(kind.__qualname__)
        return pack(self, value, depth)

    def once(self, value: object) -> None:
        if id(value) in self._seen:
            raise NotPlainError("one object twice")
        self._seen.add(id(value))

    def items(self, values: Iterable[object], depth: int) -> list[object]:
        return [self.pack(item, depth + 1) for item in values]


def _int(_: _Packer, value: int, __: int) -> object:
    return value if -_INT64 <= value < _INT64 else {"$int": hex(value)}


def _float(_: _Packer, value: float, __: int) -> object:
    if math.isfinite(value):
        return value
    name = nan_name(value)
    return {"$nan": name} if name else {"$float": str(value)}


def _str(_: _Packer, value: str, __: int) -> object:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        # Two lone surrogates side by side would come back as one character.
        return {"$surrogates": [ord(character) for character in value]}
    return value


def _list(packer: _Packer, value: list[object], depth: int) -> object:
    packer.once(value)
    return packer.items(value, depth)


def _dict(packer: _Packer, value: dict[Any, object], depth: int) -> object:
    packer.once(value)
    if all(type(key) is str and not key.startswith("$") for key in value):
        texts = [_str(packer, key, depth) for key in value]
        if all(type(text) is str for text in texts):
            return dict(zip(texts, packer.items(value.values(), depth), strict=True))
    return {"$dict": [[packer.pack(key, depth + 1), packer.pack(item, depth + 1)] for key, item in value.items()]}


def _sorted_items(packer: _Packer, value: Iterable[object], depth: int) -> list[object]:
    return sorted(packer.items(value, depth), key=_dump)


def _set(packer: _Packer, value: set[object], depth: int) -> object:
    packer.once(value)
    return {"$set": _sorted_items(packer, value, depth)}


def _bytearray(packer: _Packer, value: bytearray, _: int) -> object:
    packer.once(value)
    return {"$bytearray": bytes(value).decode("utf-8", "surrogateescape")}


def _zone(zone: object) -> object:
    if zone is None:
        return None
    if zone is UTC:
        return "UTC"
    if type(zone) is ZoneInfo and zone.key is not None:
        return {"zone": zone.key}
    raise NotPlainError("time zone")


def _datetime(_: _Packer, value: datetime, __: int) -> object:
    return {"$datetime": [value.replace(tzinfo=None, fold=0).isoformat(), _zone(value.tzinfo), value.fold]}


def _time(_: _Packer, value: time, __: int) -> object:
    return {"$time": [value.replace(tzinfo=None, fold=0).isoformat(), _zone(value.tzinfo), value.fold]}


_PACK: dict[type, Callable[[_Packer, Any, int], object]] = {
    int: _int,
    float: _float,
    str: _str,
    list: _list,
    dict: _dict,
    set: _set,
    bytearray: _bytearray,
    datetime: _datetime,
    time: _time,
    tuple: lambda packer, value, depth: {"$tuple": packer.items(value, depth)},
    frozenset: lambda packer, value, depth: {"$frozenset": _sorted_items(packer, value, depth)},
    # As text, not base64, so that a secret in it is found. Bytes that are no UTF-8 become lone surrogates.
    bytes: lambda _, value, __: {"$bytes": value.decode("utf-8", "surrogateescape")},
    complex: lambda packer, value, depth: {
        "$complex": [packer.pack(value.real, depth), packer.pack(value.imag, depth)]
    },
    date: lambda _, value, __: {"$date": value.isoformat()},
    timedelta: lambda _, value, __: {"$timedelta": [value.days, value.seconds, value.microseconds]},
    Decimal: lambda _, value, __: {"$decimal": str(value)},
    Fraction: lambda _, value, __: {"$fraction": [hex(value.numerator), hex(value.denominator)]},
    UUID: lambda _, value, __: {"$uuid": str(value)},
    range: lambda _, value, __: {"$range": [hex(value.start), hex(value.stop), hex(value.step)]},
}


def _unzone(form: object) -> timezone | ZoneInfo | None:
    if isinstance(form, dict):
        return ZoneInfo(form["zone"])
    return UTC if form == "UTC" else None


def _ints(forms: list[str]) -> list[int]:
    return [int(form, 16) for form in forms]


_UNPACK: dict[str, Callable[..., object]] = {
    "$int": lambda form: int(form, 16),
    "$float": float,
    "$nan": named_nan,
    "$surrogates": lambda form: "".join(map(chr, form)),
    "$dict": lambda form: {_unpack(key): _unpack(item) for key, item in form},
    "$set": lambda form: {_unpack(item) for item in form},
    "$frozenset": lambda form: frozenset(_unpack(item) for item in form),
    "$tuple": lambda form: tuple(_unpack(item) for item in form),
    "$bytes": lambda form: form.encode("utf-8", "surrogateescape"),
    "$bytearray": lambda form: bytearray(form.encode("utf-8", "surrogateescape")),
    "$complex": lambda form: complex(*(float(_unpack(part)) for part in form)),
    "$datetime": lambda form: datetime.fromisoformat(form[0]).replace(tzinfo=_unzone(form[1]), fold=form[2]),
    "$time": lambda form: time.fromisoformat(form[0]).replace(tzinfo=_unzone(form[1]), fold=form[2]),
    "$date": date.fromisoformat,
    "$timedelta": lambda form: timedelta(*form),
    "$decimal": Decimal,
    "$fraction": lambda form: Fraction(*_ints(form)),
    "$uuid": UUID,
    "$range": lambda form: range(*_ints(form)),
}


def _unpack(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_unpack(item) for item in tree]
    if isinstance(tree, dict):
        if len(tree) == 1:
            ((key, form),) = tree.items()
            if key.startswith("$"):
                return _UNPACK[key](form)
        return {key: _unpack(item) for key, item in tree.items()}
    return tree
