"""What a value holds right now, as a digest to compare with a later one of the same object in the same process.

Arrays, frames, plain containers and instances of the notebook's classes exactly (`engine.kinds`); what is of another
kind counts as itself, and its type is listed as unchecked. What cannot change is told by its identity, and kept alive
so that its id stays its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import xxhash

from szal_nb.engine.immutable import is_immutable, is_immutable_kind
from szal_nb.engine.kinds import NOTEBOOK, iterator, opaque, referents, taker_for, unseen
from szal_nb.model.loaded import library_of

# So many parts that show nothing of themselves are looked into.
_DEEP_PARTS = 20_000
# So many at most where they are only looked for: in a large one, a graph say, those nearest to it.
_PARTS_WITHIN = 1_000
# Whether instances of a type tell the garbage collector what they hold (Py_TPFLAGS_HAVE_GC).
_HAS_GC = 1 << 14
_STANDARD = frozenset(sys.stdlib_module_names)
_END = object()


class TooLargeError(Exception):
    """The value has more bytes than the caller wants to look at."""


class Digest:
    """What a value held. Two digests of one object are equal if it has not changed, as far as it could be checked.

    `objects` are the ids of the mutable objects inside, `arrays` the arrays whose memory it holds and whether each is a
    column of a frame, `size` its bytes, `unchecked` the types of parts that could not be looked into, `blind` the ids
    of these and of what is known to be inside without being compared, `dim` the ids of objects and arrays that were
    only found inside of such parts. With `is_lazy` reading it may add to what it holds, as nobody can compare; `filled`
    counts the cached properties of the notebook's objects that have been computed. `keeps` must live as long as the
    digest does.
    """

    __slots__ = ("arrays", "blind", "content", "dim", "filled", "is_lazy", "keeps", "objects", "size", "unchecked")

    def __init__(self, walk: Walk) -> None:
        self.content = walk.hash.digest()
        self.keeps = walk.keeps
        self.objects = walk.seen.keys()
        self.arrays = walk.arrays
        self.blind = walk.blind
        self.dim: frozenset[int] | set[int] = frozenset()
        if walk.beside is not None or walk.within is not None:
            self._put_beside(walk)
        self.size = walk.size
        self.is_lazy = walk.is_lazy or walk.within is not None
        self.filled = walk.filled
        self.unchecked = tuple(sorted(walk.unchecked))

    def _put_beside(self, walk: Walk) -> None:
        """What is inside without being compared: shared, but no part of the content."""
        shown = {*walk.seen, *(id(array) for array, _ in walk.arrays)}
        for inside in filter(None, (walk.beside, walk.within)):
            found = {*inside.seen, *(id(array) for array, _ in inside.arrays)} - shown
            self.blind = self.blind | found
            self.dim = found if inside is walk.within else self.dim
            self.objects = dict.fromkeys((*self.objects, *inside.seen), 0).keys()
            self.arrays = self.arrays + inside.arrays
            self.keeps = self.keeps + inside.keeps
            shown |= found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]


def digest(value: object, *, limit: int | None = None, is_hashing: bool = True) -> Digest:
    """The digest of `value`. Raises TooLargeError past `limit` bytes.

    Without `is_hashing` it tells what is inside, not whether it changed: its content is that of nothing.
    """
    walk = Walk(limit, is_hashing=is_hashing)
    walk.take(value)
    return Digest(walk)


def is_as(value: object, before: Digest) -> bool:
    """Whether the value holds what it held, as far as that can be compared."""
    walk = _ContentWalk(None)
    walk.take(value)
    return walk.hash.digest() == before.content


def deep_digest(value: object) -> tuple[Digest, bool]:
    """What is inside `value`, also inside of what is compared by identity only, and whether that is all.

    It follows what the garbage collector follows, but neither into modules and classes of libraries nor without end.
    """
    walk = _DeepWalk(None, is_hashing=False)
    walk.take(value)
    return Digest(walk), not walk.is_cut


class Walk:
    """One look at everything inside a value."""

    def __init__(self, limit: int | None, *, is_hashing: bool = True) -> None:
        self.hash = xxhash.xxh3_128()
        self.seen: dict[int, int] = {}
        # What iterators go over, and what is in things that show nothing: shared, but no part of what is compared.
        self.beside: Walk | None = None
        self.within: Walk | None = None
        self.blind: set[int] = set()
        self.is_lazy = False
        self.filled = 0
        self.keeps: list[object] = []
        self.arrays: list[tuple[Any, bool]] = []
        self.size = 0
        self.unchecked: set[str] = set()
        self.limit = limit
        self.is_hashing = is_hashing

    def another(self) -> Walk:
        """A look at something else, in the same way."""
        return Walk(None, is_hashing=self.is_hashing)

    def look_beside(self, value: object) -> None:
        """Looks at what belongs to a value without being compared."""
        self.beside = self.beside or _DeepWalk(None, is_hashing=False)
        self.beside.take(value)

    def look_within(self, value: object) -> None:
        """Looks at what is inside of something that shows nothing of itself."""
        self.within = self.within or _WalkWithin(None, is_hashing=False)
        # What libraries keep for themselves need not be in a state in which it can be looked at.
        with suppress(Exception):
            self.within.take(value)

    def tag(self, *parts: object) -> None:
        """Adds what tells one structure from another."""
        if self.is_hashing:
            self.hash.update(repr(parts).encode("utf-8", "backslashreplace"))

    def grow(self, size: int) -> None:
        """Counts bytes."""
        self.size += size
        if self.limit is not None and self.size > self.limit:
            raise TooLargeError

    def still(self, value: object) -> None:
        """Adds what cannot change, by its identity."""
        self.keeps.append(value)
        if self.is_hashing:
            self.hash.update(b"=" + id(value).to_bytes(8, "little"))

    def bytes(self, data: Any, size: int) -> None:
        """Adds raw memory."""
        self.grow(size)
        if self.is_hashing:
            self.hash.update(data)

    def take(self, value: Any) -> None:
        """Adds anything, with all that is inside. Deep values are walked with a stack of our own, not Python's."""
        stack: list[Any] = [iter((value,))]
        while stack:
            item: Any = next(stack[-1], _END)
            if item is _END:
                stack.pop()
                continue
            if is_immutable(item):
                self.still(item)
                # A class of the notebook, an enumeration, that is made anew is another one.
                if type(item).__module__ == NOTEBOOK:
                    self.keeps.append(type(item))
                continue
            number = self.seen.get(id(item))
            if number is not None:
                self.tag("again", number)
                continue
            self.seen[id(item)] = len(self.seen)
            # Parts that are made while we look (states, copies) must not lend their ids to others.
            self.keeps.append(item)
            parts = self.parts_of(item)
            if parts is not None:
                stack.append(iter(parts))

    def parts_of(self, item: Any) -> Iterable[Any] | None:
        """Adds one thing; what is inside of it, if that must be added too."""
        return taker_for(item)(self, item)

    def items(self, values: list[Any] | tuple[Any, ...]) -> Iterable[Any] | None:
        """What is left to look at of many values: nothing if none of them can change."""
        self.grow(8 * len(values))
        kinds = set(map(type, values))
        if all(map(is_immutable_kind, kinds)):
            kept = tuple(values)
            self.keeps.append(kept)
            self.keeps += [kind for kind in kinds if kind.__module__ == NOTEBOOK]
            if self.is_hashing:
                self.tag(len(kept), hash(tuple(map(id, kept))))
            return None
        self.tag(len(values))
        return values


class _ContentWalk(Walk):
    """A look at what is compared, and nothing else."""

    def look_beside(self, value: object) -> None:
        """It is not compared."""

    def look_within(self, value: object) -> None:
        """It is not compared."""


class _DeepWalk(Walk):
    """A look also into what shows nothing of itself."""

    is_cut = False
    _count = 0

    def look_beside(self, value: object) -> None:
        """It looks there anyway."""
        self.take(value)

    def parts_of(self, item: Any) -> Iterable[Any] | None:
        if isinstance(item, memoryview):
            return [item.obj]
        kind: Any = type(item)
        taker = taker_for(item)
        if taker is not opaque and taker is not iterator:
            parts = taker(self, item)
            return [*(parts or ()), kind] if kind.__module__ == NOTEBOOK else parts
        unseen(self, item)
        self._count += 1
        if self._count > _DEEP_PARTS:
            self.is_cut = True
            return None
        if not type(item).__flags__ & _HAS_GC and library_of(type(item)) not in _STANDARD:
            # An extension type that tells nobody what it holds.
            self.is_cut = True
        return referents(item)


class _WalkWithin(_DeepWalk):
    """A look into what shows nothing of itself, again with each step that has it in its hands: a short one."""

    def parts_of(self, item: Any) -> Iterable[Any] | None:
        if len(self.seen) > _PARTS_WITHIN:
            raise TooLargeError
        return super().parts_of(item)
