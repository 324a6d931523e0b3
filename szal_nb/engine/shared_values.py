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

    `shared_memory` are the ids of arrays whose memory several arrays use, for the pickler. `number` counts such
    groups over the whole run, also where it was resumed: what a later one says of a value is what holds.
    """

    def __init__(self, values: Mapping[tuple[str, str], Any], number: int, arrays: Iterable[Any] = ()) -> None:
        self.values = dict(values)
        self.number = number
        owners: dict[int, int] = {}
        for array in arrays:
            owner = id(last_array(array))
            owners[owner] = owners.get(owner, 0) + 1
        self.shared_memory = frozenset(owner for owner, count in owners.items() if count > 1)

    def __getstate__(self) -> dict[str, Any]:
        return {"values": self.values, "number": self.number, "shared_memory": frozenset()}


class _Title(msgspec.Struct):
    """What a record says of shared values without reading them: the number of the group, and whose values they are."""

    number: int
    keys: list[tuple[str, str]]


def titled(ref: ValueRef, shared: SharedValues) -> ValueRef:
    """The reference as it is recorded: it says whose values it holds."""
    title = _Title(shared.number, list(shared.values))
    return msgspec.structs.replace(ref, summary=msgspec.json.encode(title).decode())


def newest(kept: Mapping[Key, ValueRef], index: Mapping[str, int | None]) -> tuple[int, dict[int | None, list[Key]]]:
    """The number of the last group, and which values the group of each step, or of the inputs, has last recorded.

    `index` gives the steps' indices by name; that of "" is None.
    """
    titles = [(msgspec.json.decode(ref.summary, type=_Title), i) for (i, name), ref in kept.items() if name == NAME]
    titles.sort(key=lambda title: title[0].number)
    found: dict[Key, int | None] = {(index[step], name): i for title, i in titles for step, name in title.keys}
    result: dict[int | None, list[Key]] = {}
    for key, i in found.items():
        result.setdefault(i, []).append(key)
    return titles[-1][0].number if titles else 0, result
