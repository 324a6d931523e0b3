"""Steps that had completed and run again: what they read, and what of that which they give counts.

They read what they read the first time, whatever later steps have made of it since: values that are made anew are the
ones of this run, all others come from the record as it was then, in objects of their own. Only a class, with what it
holds, is one for all: it must not have changed since. What they gave that is on record stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from szal_nb.engine.digest import digest
from szal_nb.engine.shared_values import NAME as SHARED
from szal_nb.engine.shared_values import is_shared_name, name_again, newest
from szal_nb.engine.sharing import SharedParts
from szal_nb.engine.usage import Key
from szal_nb.engine.wiring import Wiring
from szal_nb.errors import ChangedSince, RebuiltDiffers
from szal_nb.model.graph import FlowGraph
from szal_nb.model.value import ValueRef, is_about_the_process, is_class

# The one format whose bytes may differ for equal values.
_PICKLE = "pickle"


class Rebuilding:
    """See the module. `former` is what the rebuilt steps have on record; `anew` are the values to be made anew.

    `inputs` are those of them that the notebook gives. `late` steps had failed: what others have changed since they
    read as it was, and all else as it is. `classes` is what steps read of classes that have changed since. `refs` are
    all references on record, also those of rebuilt steps; `load` reads one into an object of its own.
    """

    def __init__(
        self,
        graph: FlowGraph,
        *,
        former: Mapping[int, Collection[ValueRef]],
        anew: Collection[Key],
        inputs: Collection[str],
        late: Mapping[int, Collection[Key]],
        classes: Mapping[int, Collection[Key]],
        refs: Mapping[Key, ValueRef],
        load: Callable[[ValueRef], Any],
    ) -> None:
        self._wiring = graph.derived(Wiring)
        self._former = {i: {ref.name: ref for ref in given} for i, given in former.items()}
        self._anew = anew
        self._inputs = inputs
        self._late = late
        self._classes = classes
        self._own: dict[int, dict[Key, Any]] = {}
        self._refs = refs
        self._load = load
        self._index: dict[str, int | None] = {"": None, **self._wiring.index}

    def take_late(self, other: Rebuilding) -> None:
        """Steps that others have overtaken since read what they should have read."""
        self._late = {**self._late, **other._late}
        self._classes = {**self._classes, **other._classes}
        self._refs = {**self._refs, **other._refs}

    def __contains__(self, i: int | None) -> bool:
        return i in self._former

    def reads_first(self, i: int) -> bool:
        """Whether step `i` reads something as it was earlier."""
        return i in self._former or i in self._late

    def is_own(self, i: int, key: Key) -> bool:
        """Whether step `i` has the value, which it reads, for itself."""
        return key in self._late.get(i, ()) or (i in self._former and key not in self._anew)

    def is_of_changed_class(self, i: int, key: Key) -> bool:
        """Whether what step `i` reads is a class, or held by one, and is not any more what it read first."""
        return key in self._classes.get(i, ())

    def stays(self, i: int, ref: ValueRef) -> bool:
        """Whether what rebuilt step `i` has on record stays."""
        return ref.live is None and (i, ref.name) not in self._anew

    def is_witness(self, group: Key, key: Key) -> bool:
        """Whether values that were recorded together under `group` tell what `key` is when the run goes on."""
        if key not in self._anew:
            return True
        is_from_notebook = key[0] is None and key[1] in self._inputs
        return not is_from_notebook and group[0] not in self._former and key[0] not in self._former

    def staying(self) -> dict[tuple[int, str], ValueRef]:
        """What of rebuilt steps is to be read from the record."""
        return {(i, ref.name): ref for i, given in self._former.items() for ref in given.values() if self.stays(i, ref)}

    def as_first(self, i: int, keys: Iterable[Key]) -> dict[Key, Any]:
        """Those of these values that come from the record, as they were when step `i` ran first, in new objects."""
        wanted = {key for key in keys if self.is_own(i, key) and key in self._refs and not is_class(self._refs[key])}
        if not wanted:
            return {}
        behind = self._wiring.downstream(i)
        refs = {key: ref for key, ref in self._refs.items() if key[0] not in behind and ref.live is None}
        found: dict[Key, Any] = {}
        for group, known in newest(refs, self._index).groups.items():
            if any(key in refs and is_class(refs[key]) for key in known):
                wanted.difference_update(known)
            elif not wanted.isdisjoint(known):
                values = self._load(refs[group]).values
                found |= {key: values["" if key[0] is None else self._wiring.names[key[0]], key[1]] for key in known}
        same = {self._content(refs[key]): value for key, value in found.items() if key in refs}
        for key in (wanted & refs.keys()) - found.keys():
            content = self._content(refs[key])
            if content not in same:
                same[content] = self._load(refs[key])
            found[key] = same[content]
        self._own[i] = {key: found[key] for key in wanted & found.keys()}
        return self._own[i]

    def check_late(self, i: int, given: Mapping[str, Any]) -> None:
        """Raises ChangedSince if step `i` gives a part of what other steps have changed since it should have run."""
        if i not in self._late:
            return
        parts = SharedParts()
        for key, value in self._own.get(i, {}).items():
            parts.add(key, digest(value, is_hashing=False))
        for name, value in given.items():
            shared = parts.sharing(digest(value, is_hashing=False))
            if shared:
                raise ChangedSince(self._wiring.names[i], name, min(shared_name for _, shared_name in shared))

    @staticmethod
    def _content(ref: ValueRef) -> object:
        return ref if ref.identity is None else (ref.identity, ref.hash)

    def given_anew(self, i: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """What of that which step `i` gave again counts."""
        former = self._former[i]
        return {name: value for name, value in given.items() if name in former and not self.stays(i, former[name])}

    def recorded(self, i: int, attempt: int, refs: Iterable[ValueRef]) -> tuple[tuple[ValueRef, ...], list[str]]:
        """The references to record of step `i`, which gave `refs` again, and the names of what came out otherwise.

        RebuiltDiffers if that is a value which shares parts with a live one: others have used what is on record.
        """
        former, now = self._former[i], {ref.name: ref for ref in refs}
        differing = [
            name for name, ref in former.items() if not is_about_the_process(name) and is_another(ref, now.get(name))
        ]
        for name in differing:
            if (i, name) in self._anew:
                raise RebuiltDiffers(self._wiring.names[i], name)
        kept = [ref for ref in former.values() if self.stays(i, ref) and not self._is_spent(ref)]
        again = [
            msgspec.structs.replace(ref, name=name_again(attempt)) if name == SHARED else ref
            for name, ref in now.items()
            if name == SHARED or (name in former and not self.stays(i, former[name]))
        ]
        return (*kept, *again), differing

    def _is_spent(self, ref: ValueRef) -> bool:
        """Whether all of what was recorded together is made anew."""
        if not is_shared_name(ref.name):
            return False
        groups = newest({(0, ref.name): ref}, self._index).groups
        return all(key in self._anew for keys in groups.values() for key in keys)


def is_another(before: ValueRef, now: ValueRef | None) -> bool:
    """Whether a value that is on record is not what was given now, as far as that can be told."""
    if before.hash is None:
        return False
    if now is None or now.hash is None:
        return True
    return _PICKLE not in (before.format, now.format) and before.hash != now.hash
