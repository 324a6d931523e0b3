"""What cloudpickle leaves out: the slots of a class, what members of an enum have besides a value, the file of code."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, NoneType
from typing import Any

# What `type` makes of `__slots__`; of "__dict__" and "__weakref__" in them it makes the other.
_MADE = (MemberDescriptorType, GetSetDescriptorType)
_IS_OF_PYTHON = 1 << 9
# What `enum` sees to, whatever it is read from.
_OF_ENUM = {"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_"}
_OF_MEMBERS = "members"
# The file that code is from by the word of cloudpickle since 3.1.3.
_NO_FILE = "<dynamic-code>"
_PLAIN = (int, float, complex, str, bytes, NoneType, Enum, date, time, timedelta, Decimal, Fraction, type, FunctionType)


def told_whole(kind: type, reduced: Any) -> Any:
    """What cloudpickle tells of a class, if it tells of it whole, with what it leaves out: see `put_members`.

    PicklingError for a class that is more than can be told of it.
    """
    if not isinstance(reduced, tuple) or len(reduced) < 3:
        return reduced
    make, arguments, (members, rest), *setting = reduced
    # By these `pickle` remembers what the slots are once it has stored an instance.
    members.pop("__slotnames__", None)
    _refuse_what_is_not_whole(kind)
    if "__slots__" in vars(kind) and make.__name__ == "_make_skeleton_class":
        metaclass, name, bases, given, *more = arguments
        # `typing.NamedTuple`, which stands there as a function, sees to the slots and refuses to be told.
        if not any(isinstance(base, FunctionType) for base in bases):
            names, members = _split(kind, members)
            arguments = (metaclass, name, bases, {**given, "__slots__": names}, *more)
    if issubclass(kind, Enum):
        bases, name, qualname, _, *more = arguments
        # Also second names of one member.
        values = {name: member.value for name, member in kind.__members__.items()}
        members = {name: member for name, member in members.items() if name not in values}
        arguments = (bases, name, qualname, values, *more)
        rest = {**rest, _OF_MEMBERS: {member.name: told for member in kind if (told := _told_of_member(member))}}
    return make, arguments, (members, rest), *setting


def told_code(code: CodeType, reduced: Any) -> Any:
    """What cloudpickle tells of code, with the name of its file: by that a traceback shows the line of the cell."""
    make, arguments = reduced
    return make, tuple(code.co_filename if type(part) is str and part == _NO_FILE else part for part in arguments)


def put_members(made: Any, rest: Mapping[str, Any]) -> None:
    """The members of the enum that was read have what they had; `rest` is what was told of it last."""
    for name, told in rest.get(_OF_MEMBERS, {}).items():
        vars(made.__members__[name]).update(told)


def _told_of_member(member: Enum) -> dict[str, Any]:
    told = {name: value for name, value in vars(member).items() if name not in _OF_ENUM}
    for name, value in told.items():
        # Members are taken for what does not change: what does would be read as it was first.
        if not _stays(value):
            raise pickle.PicklingError(f"{member} has an attribute {name} that may change")
    return told


def _stays(value: object) -> bool:
    return all(map(_stays, value)) if isinstance(value, tuple | frozenset) else isinstance(value, _PLAIN)


def _refuse_what_is_not_whole(kind: type) -> None:
    meta: Any = type(kind)
    maker = "" if meta is type or meta.__flags__ & _IS_OF_PYTHON else f"{meta.__module__}.{meta.__name__}"
    told = getattr(super(kind, kind), "__init_subclass__", None)
    if not maker and isinstance(told, MethodType) and isinstance(told.__func__, FunctionType):
        try:
            inspect.signature(told).bind()
        except TypeError:
            maker = told.__qualname__
    if maker:
        raise pickle.PicklingError(f"{kind.__name__} is a class that {maker} makes, of more than is left in it")


def _split(kind: type, members: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The slots, by the names that they have in the class, and what else the class has."""
    own = vars(kind)
    written = own["__slots__"]
    names = [name for name, member in own.items() if isinstance(member, _MADE) and member.__objclass__ is kind]
    if not isinstance(written, Collection):
        written = tuple(sorted(names))
    # A slot below what was put in its place since (a property that looks into it) is there still.
    declared = {written} if isinstance(written, str) else {*written}
    covered = {name: own[name] for name in declared & own.keys() - {*names}}
    others = {name: member for name, member in members.items() if name not in names}
    return tuple(sorted((*names, *covered))), {**others, **covered, "__slots__": written}
