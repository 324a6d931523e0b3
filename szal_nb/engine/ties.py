"""Which values share parts with live ones, so that a resume cannot make the one again without the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from szal_nb.engine.contents import Contents
from szal_nb.engine.digest import Digest, deep_digest
from szal_nb.engine.immutable import is_immutable_kind
from szal_nb.engine.kinds import is_of_library
from szal_nb.engine.sharing import is_shown
from szal_nb.engine.usage import Key, Usage, is_held
from szal_nb.errors import ValuesShared
from szal_nb.model.value import ValueRef, is_about_the_process, is_live_state


class _Reach(NamedTuple):
    """What is inside of a live value, and who has to do with it; `dim` are those that only hold a part of it unseen."""

    digest: Digest
    others: set[Key]
    dim: set[Key]


class Ties:
    """The live values of one process. `contents` says which others share what.

    `refused` are inputs that share parts where nothing says which of two steps comes first.
    """

    def __init__(self, usage: Usage, contents: Contents) -> None:
        self._usage = usage
        self._contents = contents
        self._parts = contents.parts
        self._live: dict[Key, Any] = {}
        self.refused: list[ValuesShared] = []

    @property
    def are_any(self) -> bool:
        """Whether a live value is known."""
        return bool(self._live)

    def check(self, i: int) -> None:
        """Raises what is wrong with inputs that step `i`, which begins, is about to use."""
        for error in self.refused:
            if self._usage.names[i] in (error.changer, error.reader):
                raise error

    def titled(
        self, i: int | None, given: Mapping[str, Any], besides: Mapping[str, object], refs: tuple[ValueRef, ...]
    ) -> tuple[ValueRef, ...]:
        """The references of step `i` (None: the inputs), which gave these, with the ties that they have now.

        `besides` is recorded with them: what functions keep may be live, too, and has parts in common with values.
        """
        for ref in refs:
            if ref.live is not None and ref.needed and ref.name in given:
                self._live[i, ref.name] = given[ref.name]
            elif is_live_state(ref) and ref.name in besides:
                # All steps that use what a function keeps have to do with the same: one of them speaks for all.
                self._live = {key: value for key, value in self._live.items() if key[1] != ref.name}
                self._live[i, ref.name] = besides[ref.name]
        tied: dict[str, set[Key]] = {}
        reaches = {key: self._reach(key) for key in self._live}
        if i is not None:
            self._compare({key[1] for key in self._usage.changed[i]}, i, reaches)
        for key, (digest, others, dim) in reaches.items():
            others |= {
                other
                for other, reach in reaches.items()
                if other != key and not digest.objects.isdisjoint(part for part in reach.digest.objects if part > 0)
            }
            for other in others:
                if i in (key[0], other[0]) and other not in dim:
                    self._refuse(i, key, other)
                for one, two in ((key, other), (other, key)):
                    if one[0] == i:
                        tied.setdefault(one[1], set()).add(two)
        return tuple(
            msgspec.structs.replace(ref, ties=self._places(tied[ref.name]))
            if ref.name in tied and (is_live_state(ref) or not is_about_the_process(ref.name))
            else ref
            for ref in refs
        )

    def _compare(self, changed: set[str], i: int, reaches: Mapping[Key, _Reach]) -> None:
        """What a live value holds that step `i` has changed is what it was, or the step had to say so."""
        for key, reach in reaches.items():
            if key[0] == i and key[1] in changed:
                for other in reach.others:
                    self._contents.compare(other)

    def _refuse(self, i: int | None, a: Key, b: Key) -> None:
        try:
            self._contents.refuse_sharing(a, b)
        except ValuesShared as error:
            if i is not None:
                raise
            self.refused.append(error)

    def _reach(self, key: Key) -> _Reach:
        digest, is_all = deep_digest(self._live[key])
        others = self._parts.sharing(digest) - {key}
        dim = {other for other in others if not is_shown(digest, self._parts.digest(other))}
        if not is_all:
            # What it holds cannot be told: it may be all that its step had.
            others |= {other for other in self._parts.known() if other[0] == key[0] and other != key}
            others |= set(self._usage.taken[key[0]]) if key[0] is not None else set()
        # A class that is made again, as none of a module is, is another one than that of its older instances.
        held = set(map(id, digest.keeps))
        kinds: list[Any] = [*map(type, digest.keeps), *(part for part in digest.keeps if _is_enumeration(part))]
        classes = {kind for kind in kinds if id(kind) in held and not is_of_library(kind)}
        if classes:
            others |= {other for other in self._parts.known() if self._has_one_of(other, classes)} - {key}
        return _Reach(digest, {other for other in others if not is_held(other)}, dim)

    def _has_one_of(self, key: Key, classes: set[type]) -> bool:
        parts: list[Any] = self._parts.digest(key).keeps
        kinds = {part if issubclass(type(part), type) else type(part) for part in parts}
        return any(not classes.isdisjoint(kind.__mro__) for kind in kinds)

    def _places(self, keys: set[Key]) -> tuple[tuple[str, str], ...]:
        names = self._usage.names
        return tuple(sorted(("" if i is None else names[i], name) for i, name in keys))


def _is_enumeration(part: Any) -> bool:
    """Whether this is a class whose instances cannot change: they are no parts themselves."""
    return issubclass(type(part), type) and is_immutable_kind(part)
