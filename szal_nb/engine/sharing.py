"""Which values share objects or memory, so that a change to one is a change to the other."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable
from typing import Any

from szal_nb.engine.digest import Digest
from szal_nb.engine.usage import Key


class SharedParts:
    """The parts of all values that live, by what they belong to. The digests must be kept as long as they are here."""

    def __init__(self) -> None:
        self._owners: dict[int, set[Key]] = {}
        self._arrays: dict[int, list[tuple[Key, Any, bool]]] = {}
        self._digests: dict[Key, Digest] = {}
        # Values that reading may add to.
        self.lazy: set[Key] = set()

    def add(self, key: Key, digest: Digest) -> set[Key]:
        """Takes in a value, and gives the others that share something with it."""
        self.remove(key)
        found: set[Key] = set()
        for part in digest.objects:
            if part > 0:
                owners = self._owners.setdefault(part, set())
                found |= owners
                owners.add(key)
        for array, is_frame in digest.arrays:
            entries = self._arrays.setdefault(id(memory_owner(array)), [])
            for other, known, also in entries:
                if other not in found and _may_write(is_frame, also) and _overlap(array, known):
                    found.add(other)
            entries.append((key, array, is_frame))
        self._digests[key] = digest
        if digest.is_lazy:
            self.lazy.add(key)
        return found - {key}

    def are_compared(self, key: Key, other: Key, before: Digest) -> bool:
        """Whether `before`, a digest of `other`, would differ after any change of what both show and share."""
        mine, its = self._digests[key], self._digests[other]
        dim = mine.dim | its.dim
        compared = before.objects - before.blind
        if any(part > 0 and part not in compared and part not in dim for part in mine.objects & its.objects):
            return False
        known = {_place(array) for array, _ in before.arrays if id(array) not in before.blind}
        new = [array for array in _shown(its) if _place(array) not in known]
        return not any(_overlap(array, also) for array in new for also in _shown(mine))

    def is_held_by(self, key: Key, other: Key, value: object) -> bool:
        """Whether `value`, that of `key`, shows nothing of itself and is inside of the other."""
        return id(value) in self._digests[key].blind and id(value) in self._digests[other].objects

    def remove(self, key: Key) -> None:
        """The value is gone."""
        digest = self._digests.pop(key, None)
        if digest is None:
            return
        self.lazy.discard(key)
        for part in digest.objects:
            owners = self._owners.get(part)
            if owners is not None:
                owners.discard(key)
                if not owners:
                    del self._owners[part]
        for array, _ in digest.arrays:
            root = id(memory_owner(array))
            left = [entry for entry in self._arrays.get(root, ()) if entry[0] != key]
            if left:
                self._arrays[root] = left
            else:
                self._arrays.pop(root, None)

    def digest(self, key: Key) -> Digest:
        """What is inside the value."""
        return self._digests[key]

    def direct(self, key: Key) -> set[Key]:
        """The values that share something with this one, itself among them; none if it is not known."""
        return self._sharing(key) if key in self._digests else set()

    def closure(self, keys: Iterable[Key], leaving_out: Container[Key] = ()) -> set[Key]:
        """These values and all that share something with one of them, at any remove; not through what is left out."""
        found: set[Key] = set()
        todo = [key for key in keys if key in self._digests and key not in leaving_out]
        while todo:
            key = todo.pop()
            if key not in found:
                found.add(key)
                todo += [other for other in self._sharing(key) - found if other not in leaving_out]
        return found

    def shown_closure(self, keys: Iterable[Key]) -> set[Key]:
        """The closure by way of what is shown only, see `is_shown`."""
        found: set[Key] = set()
        todo = [key for key in keys if key in self._digests]
        while todo:
            key = todo.pop()
            found.add(key)
            todo += [other for other in self._sharing(key) - found if self.are_shown(key, other)]
        return found

    def are_shown(self, key: Key, other: Key) -> bool:
        """Whether what the two share is shown, see `is_shown`."""
        return is_shown(self._digests[key], self._digests[other])

    def known(self) -> Iterable[Key]:
        """All values that are here."""
        return self._digests.keys()

    def _sharing(self, key: Key) -> set[Key]:
        return self.sharing(self._digests[key])

    def sharing(self, digest: Digest) -> set[Key]:
        """The values that share something with what a digest found."""
        found: set[Key] = set()
        for part in digest.objects:
            found |= self._owners.get(part, set())
        for array, is_frame in digest.arrays:
            for other, known, also in self._arrays.get(id(memory_owner(array)), ()):
                if other not in found and _may_write(is_frame, also) and _overlap(array, known):
                    found.add(other)
        return found


def is_shown(one: Digest, two: Digest) -> bool:
    """Whether some of what two values share was found without looking into what shows nothing of itself.

    What such things hold may be no more than a note of what they were made from, or a table of their library.
    """
    if not (one.dim or two.dim):
        return True
    dim = one.dim | two.dim
    if any(part > 0 and part not in dim for part in one.objects & two.objects):
        return True
    frames = {id(array): is_frame for digest in (one, two) for array, is_frame in digest.arrays}
    return any(
        memory_owner(array) is memory_owner(also)
        and _may_write(frames[id(array)], frames[id(also)])
        and _overlap(array, also)
        for array in _shown(one)
        for also in _shown(two)
    )


def _shown(digest: Digest) -> list[Any]:
    """The arrays of the value that are not only inside of what shows nothing of itself."""
    return [array for array, _ in digest.arrays if id(array) not in digest.dim]


def memory_owner(array: Any) -> Any:
    """What owns the memory of an array: the array at the end of its bases, or what that array was made over."""
    while True:
        base = getattr(array, "base", None)
        if base is None:
            return array
        array = base


def last_array(array: Any) -> Any:
    """The array at the end of the bases: all that share memory through views of it have it in common."""
    numpy: Any = sys.modules["numpy"]
    while isinstance(getattr(array, "base", None), numpy.ndarray):
        array = array.base
    return array


def _place(array: Any) -> object:
    """Which memory an array has: of a column of a frame there is a new array each time that it is asked for."""
    known = array.__array_interface__
    return known["data"][0], known["typestr"], known["shape"], known["strides"]


def _may_write(*are_frames: bool) -> bool:
    """Whether a write through one of two overlapping arrays reaches the other.

    Frames of pandas 3 copy before they write to what another frame holds.
    """
    if not all(are_frames):
        return True
    pandas: Any = sys.modules["pandas"]
    return int(pandas.__version__.partition(".")[0]) < 3


def _overlap(a: Any, b: Any) -> bool:
    numpy: Any = sys.modules["numpy"]
    if not numpy.may_share_memory(a, b):
        return False
    try:
        return bool(numpy.shares_memory(a, b, max_work=100_000))
    except Exception:  # noqa: BLE001  too hard to tell (numpy.exceptions.TooHardError): then they may
        return True
