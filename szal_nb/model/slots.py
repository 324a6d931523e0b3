"""The slots of a class, in what cloudpickle tells of it: it leaves them out, and the class that is read has none."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

# What `type` makes of `__slots__`; of "__dict__" and "__weakref__" in them it makes the other.
_MADE = (MemberDescriptorType, GetSetDescriptorType)
_IS_OF_PYTHON = 1 << 9


def with_slots(kind: type, reduced: Any) -> Any:
    """What cloudpickle tells of a class, if it tells of it whole, such that what is read has the slots of `kind`.

    PicklingError for a class that is more than can be told of it.
    """
    if not isinstance(reduced, tuple) or len(reduced) < 3:
        return reduced
    make, arguments, (members, rest), *setting = reduced
    # By these `pickle` remembers what the slots are once it has stored an instance.
    members.pop("__slotnames__", None)
    meta: Any = type(kind)
    if meta is not type and not meta.__flags__ & _IS_OF_PYTHON:
        maker = f"{meta.__module__}.{meta.__name__}"
        raise pickle.PicklingError(f"{kind.__name__} is a class that {maker} makes, of more than is left in it")
    if "__slots__" in vars(kind) and make.__name__ == "_make_skeleton_class":
        metaclass, name, bases, given, *more = arguments
        # `typing.NamedTuple`, which stands there as a function, sees to the slots and refuses to be told.
        if not any(isinstance(base, FunctionType) for base in bases):
            names, members = _split(kind, members)
            arguments = (metaclass, name, bases, {**given, "__slots__": names}, *more)
    return make, arguments, (members, rest), *setting


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
