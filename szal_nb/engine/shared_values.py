"""Values that share objects or memory, recorded as one, so that they still share them when they are read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from szal_nb.engine.class_state import held_state, put_into_class
from szal_nb.engine.sharing import last_array
from szal_nb.engine.usage import Key
from szal_nb.model.state import RunSnapshot, StepState
from szal_nb.model.value import ValueRef

# The name under which they are recorded among what a step gave; no name of Python.
NAME = "<shared>"
# A value of them that is stored only to see whether it can be.
TRIED = "<tried>"
_AGAIN = "<shared again "


class SharedValues:
    """`values` by step ("" for the notebook's) and name. Whoever pickles it must pickle all of it in one go.

    `shared_memory` are the ids of arrays whose memory several arrays use, for the pickler. `number` counts such
    groups over the whole run, also where it was resumed: what a later one says of a value is what holds. `left` are
    values that share something with these and were in the hands of another step, which was to record them. `classes`
    is what those of the values hold that are classes: these are but names here.
    """

    def __init__(
        self,
        values: Mapping[tuple[str, str], Any],
        number: int,
        arrays: Iterable[Any] = (),
        left: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.values = dict(values)
        self.number = number
        self.left = tuple(left)
        self.classes = {key: held_state(kind) for key, kind in self.values.items() if isinstance(kind, type)}
        owners: dict[int, int] = {}
        for array in arrays:
            owner = id(last_array(array))
            owners[owner] = owners.get(owner, 0) + 1
        self.shared_memory = frozenset(owner for owner, count in owners.items() if count > 1)

    def only(self, places: Iterable[tuple[str, str]]) -> SharedValues:
        """These of the values, as they were when all were taken together.

        Nobody else may need them any more, and what was recorded together since then is the newer word.
        """
        smaller = SharedValues({place: self.values[place] for place in places}, self.number, left=self.left)
        smaller.shared_memory = self.shared_memory
        return smaller

    def __getstate__(self) -> dict[str, Any]:
        return {"values": self.values, "number": self.number, "classes": self.classes, "shared_memory": frozenset()}

    def put_into_class(self, key: tuple[str, str], known: set[type]) -> None:
        """If this value, which was read again, is a class that is not `known` yet, it holds again what it held."""
        kind = self.values[key]
        if isinstance(kind, type) and kind not in known:
            known.add(kind)
            # Records of earlier versions have nothing of classes.
            put_into_class(kind, getattr(self, "classes", {}).get(key, {}))


class _Title(msgspec.Struct):
    """What a record says of shared values without reading them: the number of the group, and whose values they are."""

    number: int
    keys: list[tuple[str, str]]
    left: tuple[tuple[str, str], ...] = ()


def titled(ref: ValueRef, shared: SharedValues) -> ValueRef:
    """The reference as it is recorded: it says whose values it holds."""
    title = _Title(shared.number, list(shared.values), shared.left)
    return msgspec.structs.replace(ref, summary=msgspec.json.encode(title).decode())


def is_shared_name(name: str) -> bool:
    """Whether values that were recorded together are under this name; see `name_again`."""
    return name == NAME or name.startswith(_AGAIN)


def name_again(attempt: int) -> str:
    """The name of what a step has recorded together that was rebuilt: beside what it had recorded before."""
    return f"{_AGAIN}{attempt}>"


def keys_in(ref: ValueRef) -> list[tuple[str, str]]:
    """Whose values the reference to shared values holds: step ("" for the notebook's) and name."""
    return msgspec.json.decode(ref.summary, type=_Title).keys


def torn_value(snapshot: RunSnapshot) -> tuple[str, str] | None:
    """A value, by step ("" for the notebook's) and name, of which the record has a part as it is and a part as it was.

    A step changed a part of it while another one had begun to change another, and that one has not ended well.
    """
    if not any(step.attempts and step.state is not StepState.COMPLETED for step in snapshot.steps.values()):
        return None
    refs = [ref for step in snapshot.steps.values() for ref in step.values if is_shared_name(ref.name)]
    titles = [msgspec.json.decode(ref.summary, type=_Title) for ref in refs if ref.live is None]
    torn: dict[tuple[str, str], None] = {}
    for title in sorted(titles, key=lambda title: title.number):
        torn.update(dict.fromkeys(title.left))
        for key in title.keys:
            torn.pop(key, None)
    return next(iter(torn), None)


class Newest(NamedTuple):
    """The number of the last group, and which values each group, by its key, was the last to record."""

    number: int
    groups: dict[Key, list[Key]]


def newest(
    kept: Mapping[Key, ValueRef], index: Mapping[str, int | None], is_told: Callable[[Key, Key], bool] = lambda *_: True
) -> Newest:
    """What the groups of this record hold. `index` gives the steps' indices by name; that of "" is None.

    `is_told` may say of a group and a value, by their keys, that the group is no witness of it.
    """
    titles = [
        (msgspec.json.decode(ref.summary, type=_Title), key)
        for key, ref in kept.items()
        if is_shared_name(key[1]) and ref.live is None
    ]
    titles.sort(key=lambda title: title[0].number)
    found: dict[Key, Key] = {}
    for title, group in titles:
        for step, name in title.keys:
            if is_told(group, (index[step], name)):
                found[index[step], name] = group
    result: dict[Key, list[Key]] = {}
    for key, group in found.items():
        result.setdefault(group, []).append(key)
    return Newest(titles[-1][0].number if titles else 0, result)
