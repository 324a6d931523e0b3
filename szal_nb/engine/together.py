"""Values that share objects or memory are recorded together, where a record of each alone would not be enough.

A group is recorded with the step that made it necessary, or with the run's inputs; what the newest group says of a
value is what holds when the run is resumed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from szal_nb.engine.kinds import is_iterator
from szal_nb.engine.shared_values import SharedValues, newest
from szal_nb.engine.sharing import SharedParts
from szal_nb.engine.usage import Key, Usage, is_held
from szal_nb.engine.versions import Versions
from szal_nb.errors import ValuesShared, ValueUnreadable
from szal_nb.model.graph import DISPLAY
from szal_nb.model.value import ValueRef

# Values that share something are recorded together up to so many bytes; larger ones only if that can be told.
LARGE_BYTES = 64 * 2**20


class Together:
    """See the module. `parts` says who shares what, `is_under_way` whether a step runs or is about to be recorded."""

    def __init__(
        self, usage: Usage, versions: Versions, parts: SharedParts, is_under_way: Callable[[int], bool]
    ) -> None:
        self._usage = usage
        self._versions = versions
        self._parts = parts
        self._is_under_way = is_under_way
        self._groups = 0
        # What steps have begun to change, until that is recorded: its objects are in no state to be recorded.
        self._changing: dict[int, tuple[Key, ...]] = {}
        # Held for moments only, also on the loop.
        self._lock = threading.Lock()

    def set_changing(self, i: int, keys: tuple[Key, ...] = ()) -> None:
        """Step `i` has begun to change these; none: what it changed is recorded, or as it was before."""
        with self._lock:
            self._changing.pop(i, None)
            if keys:
                self._changing[i] = keys

    def _changing_now(self) -> list[tuple[int, tuple[Key, ...]]]:
        with self._lock:
            return list(self._changing.items())

    def group_of_inputs(self, is_live: Callable[[Key], bool]) -> SharedValues | None:
        """Inputs of the run that share something, before anything runs; without live ones."""
        parts, found = self._parts, dict[Key, Any]()
        for name in self._versions.inputs():
            group = [key for key in parts.closure([(None, name)]) if self._is_kept(key) and not is_live(key)]
            if len(group) > 1 and (self._matters(group) or sum(parts.digest(key).size for key in group) <= LARGE_BYTES):
                found.update((key, self._versions.value(key)) for key in group)
        return self._group(found) if found else None

    def group_of(self, i: int, given: Mapping[str, Any], reached: Collection[Key] = ()) -> SharedValues | None:
        """What step `i` gave with all that shares something with it, if a record of each alone would not be enough.

        `reached` are values that it may have changed, also where nothing shows it any more: a generator has ended.
        """
        parts, versions = self._parts, self._versions
        found: dict[Key, Any] = {}
        left: set[Key] = set()
        changed = {*self._usage.changed[i], *reached}
        being_changed = {key for j, keys in self._changing_now() if j != i for key in keys}
        unsteady = being_changed.union(*map(self._beside, being_changed))
        unsteady -= {*filter(is_held, unsteady)}
        for start in [*((i, name) for name in given if name != DISPLAY), *changed]:
            closure = parts.closure([start], leaving_out=unsteady - {start})
            if start in changed and unsteady:
                left |= {
                    key for key in self._changed_with(start) if key not in versions.superseded and self._is_kept(key)
                }
            group = [key for key in closure if self._is_at_hand(key)]
            if unsteady:
                # What shares something with these is recorded with them already.
                group = [key for key in group if key[0] == i or not self._beside(key) & unsteady]
                torn = [key for key in group if self._is_torn(i, key, unsteady)]
                if torn:
                    left |= {key for key in torn if not self._is_shown(key, unsteady)}
                    continue
            size = sum(parts.digest(key).size for key in group)
            # What shares something with a changed value is not any more what its own record says.
            if start in changed or (len(group) > 1 and (size <= LARGE_BYTES or self._matters(group))):
                found.update((key, versions.value(key)) for key in group)
        left -= found.keys()
        return self._group(found, left) if found or left else None

    def _is_at_hand(self, key: Key) -> bool:
        return key not in self._versions.superseded and self._is_kept(key)

    def _is_kept(self, key: Key) -> bool:
        """Whether the value is at hand, and no iterator: that is live, and would be another one when it is read."""
        return self._versions.has(key) and not is_iterator(type(self._versions.value(key)))

    def keys_of(self, group: SharedValues) -> list[Key]:
        """Whose values the group holds."""
        index: dict[str, int | None] = {"": None, **{name: i for i, name in enumerate(self._usage.names)}}
        return [(index[step], name) for step, name in group.values]

    def only(self, group: SharedValues, is_taken: Callable[[Key, Any], bool]) -> SharedValues | None:
        """The group of these of its values only; None if none is left."""
        values = zip(self.keys_of(group), group.values.items(), strict=True)
        places = [place for key, (place, value) in values if is_taken(key, value)]
        return group.only(places) if places or group.left else None

    def _group(self, found: Mapping[Key, Any], left: Iterable[Key] = ()) -> SharedValues:
        names = self._usage.names
        self._groups += 1
        return SharedValues(
            {("" if key[0] is None else names[key[0]], key[1]): value for key, value in found.items()},
            self._groups,
            [array for key in found for array, _ in self._parts.digest(key).arrays],
            sorted(("" if key[0] is None else names[key[0]], key[1]) for key in left),
        )

    def _is_torn(self, i: int, key: Key, unsteady: set[Key]) -> bool:
        """Whether the value is, or holds, a part of values that another step has begun to change.

        An object that has a name already is found again by its token; what holds such a part beside a change that
        failed can be told from what it was by nobody.
        """
        parts, versions = self._parts, self._versions
        beside = self._beside(key) & unsteady
        if not beside:
            return False
        value = versions.value(key)
        if not any(versions.value(other) is value for other in parts.direct(key) - {key}):
            for j, keys in self._changing_now():
                if not self._is_under_way(j) and self._is_shown(key, parts.shown_closure(keys) & beside):
                    usage = self._usage
                    raise ValuesShared(usage.title(keys[0]), usage.names[j], usage.title(key), usage.names[i])
        return True

    def _beside(self, key: Key) -> set[Key]:
        """The values that share something with this one, as far as a change of one may be a change of the other.

        What both hold unseen is so only where one of them is changed for certain: two models share their data, and may
        note what they find.
        """
        parts, is_certain = self._parts, self._usage.is_changed_for_certain
        found = parts.direct(key)
        if is_certain(key):
            return found
        return {other for other in found if other == key or is_certain(other) or parts.are_shown(key, other)}

    def _changed_with(self, start: Key) -> set[Key]:
        """The value and all that a change of it may change, at any remove."""
        found, todo = set[Key](), [start]
        while todo:
            key = todo.pop()
            if key not in found:
                found.add(key)
                todo += self._beside(key) - found
        return found

    def _is_shown(self, key: Key, others: set[Key]) -> bool:
        """Whether the value shares something with one of the others that shows, so that changes of it are ordered."""
        return any(self._parts.are_shown(key, other) for other in self._parts.direct(key) & others - {key})

    def _matters(self, keys: list[Key]) -> bool:
        """Whether a step to come could tell these values from copies: it uses two of them, or one is changed."""
        if any(self._usage.changers.get(key) for key in keys):
            return True
        users = [user for key in keys for user in self._usage.users(key)]
        return len(users) > len(set(users))

    def resume(
        self,
        refs: Mapping[Key, ValueRef],
        load: Callable[[ValueRef], Any],
        is_witness: Callable[[Key, Key], bool] = lambda *_: True,
    ) -> set[Key]:
        """Reads again what was recorded together, before anything runs; which versions these are.

        `is_witness` as in `shared_values.newest`.
        """
        steps = self._usage.names
        index: dict[str, int | None] = {"": None, **{name: i for i, name in enumerate(steps)}}
        self._groups, groups = newest(refs, index, is_witness)
        known: set[type] = set()
        # Of a class, which is one object in all of them, the last one says what it holds.
        loaded = [(_loaded(refs[group], keys, load), keys) for group, keys in groups.items()]
        for shared, keys in sorted(loaded, key=lambda one: one[0].number, reverse=True):
            for key in keys:
                place = ("" if key[0] is None else steps[key[0]], key[1])
                shared.put_into_class(place, known)
                self._versions.put(key, shared.values[place])
        return self._link({key for keys in groups.values() for key in keys}, refs)

    def _link(self, grouped: set[Key], refs: Mapping[Key, ValueRef]) -> set[Key]:
        """Other names for an object that was recorded with others are names for it again, where it did not change."""
        linked = set(grouped)
        objects: dict[tuple[str | None, str | None], Key] = {
            (ref.identity, ref.hash): key
            for key in grouped
            if (ref := refs.get(key)) is not None and ref.identity is not None and ref.hash is not None
        }
        for key, ref in refs.items():
            if key not in grouped and key[0] is not None and (ref.identity, ref.hash) in objects:
                self._versions.put(key, self._versions.value(objects[ref.identity, ref.hash]))
                linked.add(key)
        return linked


def _loaded(ref: ValueRef, keys: Iterable[Key], load: Callable[[ValueRef], Any]) -> Any:
    """A group as it was recorded; ValueUnreadable with the names of its values."""
    try:
        return load(ref)
    except ValueUnreadable as error:
        raise ValueUnreadable(", ".join(sorted({name for _, name in keys})), error.reason) from error
