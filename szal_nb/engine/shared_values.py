"""Values that share objects or memory, recorded as one, so that they still share them when they are read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from szal_nb.engine.sharing import last_array
from szal_nb.engine.usage import Key
from szal_nb.model.value import ValueRef

# The name under which they are recorded among what a step gave; no name of Python.
NAME = "<shared>"


class SharedValues:
    """`values` by step ("" for the notebook's) and name. Whoever pickles it must pickle all of it in one go.

    `shared_memory` are the ids of arrays whose memory several arrays use, for the pickler.
    """

    def __init__(self, values: Mapping[tuple[str, str], Any], arrays: Iterable[Any] = ()) -> None:
        self.values = dict(values)
        owners: dict[int, int] = {}
        for array in arrays:
            owner = id(last_array(array))
            owners[owner] = owners.get(owner, 0) + 1
        self.shared_memory = frozenset(owner for owner, count in owners.items() if count > 1)

    def __getstate__(self) -> dict[str, Any]:
        return {"values": self.values, "shared_memory": frozenset()}


def keys_of(ref: ValueRef) -> list[tuple[str, str]]:
    """The steps and names of the values that are recorded together."""
    return msgspec.json.decode(ref.summary, type=list[tuple[str, str]])


def with_keys(ref: ValueRef, keys: Iterable[tuple[str, str]]) -> ValueRef:
    """The reference as it is recorded: it says whose values it holds."""
    return msgspec.structs.replace(ref, summary=msgspec.json.encode(list(keys)).decode())


def newest(
    kept: Mapping[tuple[int, str], ValueRef], completion: Mapping[int, float], index: Mapping[str, int]
) -> dict[int, list[Key]]:
    """For each step whose shared values must be read on resume: which of them; each value from its newest record."""
    found: dict[Key, int] = {}
    for i, name in sorted(kept, key=lambda key: completion.get(key[0], 0.0)):
        if name == NAME:
            for step, value in keys_of(kept[i, name]):
                found[(index[step] if step else None, value)] = i
    result: dict[int, list[Key]] = {}
    for key, i in found.items():
        result.setdefault(i, []).append(key)
    return result
