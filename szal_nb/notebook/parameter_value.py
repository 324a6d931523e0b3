"""Values of parameters: from a command line's text, from JSON or YAML, and as Python text for the notebook."""

from __future__ import annotations

import datetime as dt
import difflib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from szal_nb.notebook.parameter_type import Kind, ParameterType


class Misfit(ValueError):
    """A value does not fit its type; the text says what would."""


_TRUE = frozenset({"true", "yes", "on", "1", "y", "t"})
_FALSE = frozenset({"false", "no", "off", "0", "n", "f"})
_NONE = frozenset({"none", "null", "~"})


def from_text(type_: ParameterType, text: str) -> Any:
    """The value that `text`, as written on a command line, means for this type; `Misfit` if none."""
    if type_.kind is Kind.UNION:
        return _first_fit(type_, text, from_text)
    if type_.kind is Kind.CHOICE:
        for choice in type_.choices:
            if text == str(choice) or (isinstance(choice, bool) and text.lower() == str(choice).lower()):
                return choice
        raise _wrong_choice(type_, text)
    if type_.kind in _CONTAINERS:
        return from_value(type_, _structured(type_, text))
    return _FROM_TEXT[type_.kind](text)


def from_value(type_: ParameterType, value: Any) -> Any:
    """`value`, as JSON or YAML gave it, as a value of this type; `Misfit` if it is none."""
    if type_.kind is Kind.UNION:
        return _first_fit(type_, value, from_value)
    if type_.kind is Kind.CHOICE:
        if any(value == choice and type(value) is type(choice) for choice in type_.choices):
            return value
        raise _wrong_choice(type_, value)
    if type_.kind in (Kind.LIST, Kind.TUPLE, Kind.SET) and isinstance(value, list | tuple | set | frozenset):
        return _collected(type_, list(value))
    if type_.kind is Kind.DICT and isinstance(value, Mapping):
        return _mapped(type_, value)
    for classes, convert in _FROM_VALUE.get(type_.kind, ()):
        # True and False are integers to Python, not to people.
        if isinstance(value, classes) and (isinstance(value, bool) <= (bool in classes)):
            return convert(value)
    if type_.kind is Kind.ANY:
        return value
    raise Misfit(f"{value!r} is not {type_}.")


def python_text(type_: ParameterType, value: Any) -> str:
    """`value` as Python text that gives it in the notebook, where the names of `type_` are bound."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, PurePath):
        return f"{_maker(type_, Kind.PATH)}({python_text(type_, str(value))})"
    if isinstance(value, dt.datetime):
        return f'{_maker(type_, Kind.DATETIME)}.fromisoformat("{value.isoformat()}")'
    if isinstance(value, dt.date):
        return f'{_maker(type_, Kind.DATE)}.fromisoformat("{value.isoformat()}")'
    if isinstance(value, Mapping):
        pairs = (f"{python_text(type_, key)}: {python_text(type_, item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    texts = [python_text(type_, item) for item in value]
    if isinstance(value, tuple):
        return "(" + ", ".join(texts) + (",)" if len(texts) == 1 else ")")
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(texts)) + "}" if texts else "set()"
    return "[" + ", ".join(texts) + "]"


def _maker(type_: ParameterType, kind: Kind) -> str:
    """The Python text by which the notebook makes a value of `kind`, as its annotation names it."""
    if type_.kind is kind:
        return type_.written
    for item in type_.items:
        if found := _maker(item, kind):
            return found
    return ""


def _first_fit(type_: ParameterType, value: Any, fit: Callable[[ParameterType, Any], Any]) -> Any:
    # Text takes anything, so it is tried last; 1 and 0 are numbers before they are true and false.
    for item in sorted(type_.items, key=lambda item: (item.kind in _TAKES_ALL, item.kind is Kind.BOOL)):
        try:
            return fit(item, value)
        except Misfit:
            continue
    raise Misfit(f"{value!r} is not {type_}.")


_TAKES_ALL = frozenset({Kind.STR, Kind.PATH, Kind.ANY, Kind.SECRET})


def _wrong_choice(type_: ParameterType, value: Any) -> Misfit:
    near = difflib.get_close_matches(str(value), [str(choice) for choice in type_.choices], n=1)
    return Misfit(f"{value!r} is not {type_}." + (f" Did you mean {near[0]}?" if near else ""))


_CONTAINERS = frozenset({Kind.LIST, Kind.TUPLE, Kind.SET, Kind.DICT})


def _structured(type_: ParameterType, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    import yaml  # late: heavy

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str) or value is None:
        example = """'{"a": 1}'""" if type_.kind is Kind.DICT else "'[1, 2]'"
        raise Misfit(f"{text!r} is not {type_}; write it as JSON or YAML, such as {example}.")
    return value


def _collected(type_: ParameterType, values: list[Any]) -> Any:
    if type_.kind is Kind.TUPLE and type_.items and not type_.written.endswith("...]"):
        if len(values) != len(type_.items):
            raise Misfit(f"{values!r} has {len(values)} elements, not {len(type_.items)}.")
        return tuple(from_value(item, value) for item, value in zip(type_.items, values, strict=True))
    inner = type_.items[0] if type_.items else ParameterType()
    typed = [from_value(inner, value) for value in values]
    match type_.kind:
        case Kind.TUPLE:
            return tuple(typed)
        case Kind.SET:
            if all(item.__hash__ is not None for item in typed):
                return set(typed)
            raise Misfit(f"{values!r} cannot be the elements of a set.")
    return typed


def _mapped(type_: ParameterType, value: Mapping[Any, Any]) -> dict[Any, Any]:
    key_type, value_type = type_.items if len(type_.items) == 2 else (ParameterType(), ParameterType())
    # JSON knows only text as keys.
    has_type = key_type.kind is not Kind.ANY
    return {
        from_text(key_type, key) if has_type and isinstance(key, str) else key: from_value(value_type, item)
        for key, item in value.items()
    }


def _any_from_text(text: str) -> Any:
    for fit in (_int_from_text, _float_from_text, _none_from_text):
        try:
            return fit(text)
        except Misfit:
            continue
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _bool_from_text(text: str) -> bool:
    if text.strip().lower() in _TRUE | _FALSE:
        return text.strip().lower() in _TRUE
    raise Misfit(f"{text!r} is not true or false.")


def _int_from_text(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return int(text, 0)
    except ValueError:
        raise Misfit(f"{text!r} is not a whole number.") from None


def _float_from_text(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Misfit(f"{text!r} is not a number.") from None


def _none_from_text(text: str) -> None:
    if text.strip().lower() not in _NONE:
        raise Misfit(f"{text!r} is not none.")


def _date_from_text(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Misfit(f"{text!r} is not a date; write it as 2026-11-21.") from None


def _datetime_from_text(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise Misfit(f"{text!r} is not a date with time; write it as 2026-11-21T08:30:00.") from None


def _refuse_time(value: dt.datetime) -> dt.date:
    raise Misfit(f"{value.isoformat()} is not a date: it has a time.")


_FROM_TEXT: Mapping[Kind, Callable[[str], Any]] = {
    Kind.ANY: _any_from_text,
    Kind.BOOL: _bool_from_text,
    Kind.INT: _int_from_text,
    Kind.FLOAT: _float_from_text,
    Kind.STR: str,
    Kind.NONE: _none_from_text,
    Kind.PATH: Path,
    Kind.DATE: _date_from_text,
    Kind.DATETIME: _datetime_from_text,
    Kind.SECRET: str,
}

_FROM_VALUE: Mapping[Kind, tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...]] = {
    Kind.NONE: (((type(None),), lambda value: value),),
    Kind.BOOL: (((bool,), bool),),
    Kind.INT: (((int,), int),),
    Kind.FLOAT: (((int, float), float),),
    # YAML reads an unquoted date as one.
    Kind.STR: (((str,), str), ((dt.date,), lambda value: value.isoformat())),
    Kind.SECRET: (((str,), str),),
    Kind.PATH: (((str, PurePath), Path),),
    Kind.DATETIME: (
        ((dt.datetime,), lambda value: value),
        ((dt.date,), lambda value: dt.datetime.combine(value, dt.time())),
        ((str,), _datetime_from_text),
    ),
    Kind.DATE: (((dt.datetime,), _refuse_time), ((dt.date,), lambda value: value), ((str,), _date_from_text)),
}
