"""What the values of a run hold: as they were when they were first looked at, compared with what they hold later.

Values that share parts with others are known to each other, so that a change of one is a change of all. Part of the
watch, which says when to look.
"""

from __future__ import annotations

import io
from collections.abc import Container, Iterable, Iterator
from typing import Any

from szal_nb.engine.digest import Digest, TooLargeError, digest, is_as
from szal_nb.engine.immutable import is_immutable
from szal_nb.engine.sharing import SharedParts
from szal_nb.engine.together import LARGE_BYTES
from szal_nb.engine.usage import Key, Usage, is_held
from szal_nb.engine.versions import Versions
from szal_nb.errors import AnswerError, ValueChanged, ValuesShared
from szal_nb.model.flow import Guard

# What has no more than this is compared whenever a step that reads it ends: that takes less time than to record a step.
# Arrays, and with them tables, are looked at a hundred times as fast as other things of so many bytes.
SMALL_BYTES = 4096
_SMALL_ARRAY_BYTES = 2**20
_FEW_OBJECTS = 16
_STREAMS = (io.StringIO, io.BytesIO)


class Spans:
    """Which steps ran when, in moments that are counted: each beginning and each end of a step is one.

    `note(i)` says that step `i` begins, `note(~i)` that it has ended; it may be called on any thread.
    """

    def __init__(self) -> None:
        # A list takes in a moment whole, whichever thread it comes from.
        self._moments: list[int] = []
        self.note = self._moments.append
        self._begun: set[int] = set()
        self._looked_at = 0

    @property
    def now(self) -> int:
        """How many moments there were."""
        return len(self._moments)

    def begun(self) -> set[int]:
        """The steps that have begun. Called by one thread at a time."""
        news = self._moments[self._looked_at :]
        self._looked_at += len(news)
        self._begun.update(told for told in news if told >= 0)
        return self._begun

    def since(self, moment: int, *, besides: Container[int | None]) -> list[int]:
        """The steps that ran after this moment."""
        ran = set()
        for told in self._moments[:moment]:
            if told >= 0:
                ran.add(told)
            else:
                ran.discard(~told)
        ran.update(told if told >= 0 else ~told for told in self._moments[moment:])
        return sorted(i for i in ran if i not in besides)


class Contents:
    """See the module. `has_sharing`: it matters which values share parts; without that they are only compared."""

    def __init__(self, usage: Usage, versions: Versions, spans: Spans, guard: Guard, *, has_sharing: bool) -> None:
        self.parts = SharedParts()
        self.unchecked: dict[Key, tuple[str, ...]] = {}
        # Values with a cached property that readers had computed: what is on record of them alone lacks that.
        self.filled: set[Key] = set()
        # Texts in memory that no step says it writes to: by a logger, say, any step may. They are compared to the end.
        self.streams: set[Key] = set()
        self._usage = usage
        self._versions = versions
        self._spans = spans
        self._guard = guard
        self._has_sharing = has_sharing
        self._tracked: set[Key] = set()
        self._baseline: dict[Key, tuple[Digest, int]] = {}
        self._verified: dict[Key, int] = {}
        # What values were that nobody compares any more.
        self._last: dict[Key, bytes] = {}
        # What is wrong with values that no step has taken yet.
        self._wrong: dict[Key, AnswerError] = {}
        # By steps that may change what they share with values of others: whether they did is seen when they have ended.
        self._awaited: dict[int, dict[Key, ValuesShared]] = {}

    def is_light(self, key: Key) -> bool:
        """Whether there is nothing to look into, because it was done or is not needed."""
        return key in self._tracked or not self._is_watched(key, self._versions.value(key))

    def is_compared(self, i: int) -> bool:
        """Whether something that step `i` reads is compared with what it was."""
        return bool(self._baseline) and not self._baseline.keys().isdisjoint(self._usage.taken[i])

    def has_baseline(self, key: Key) -> bool:
        """Whether it is known what the value was."""
        return key in self._baseline

    def is_small(self, key: Key) -> bool:
        """Whether a look takes so little that each reader is looked after, and not only the last.

        Who has changed it is known then, and a run that is killed before the last reader does not go on without it.
        """
        known, _ = self._baseline[key]
        if len(known.objects) > _FEW_OBJECTS or known.size > _SMALL_ARRAY_BYTES:
            return False
        return known.size <= SMALL_BYTES or known.size - sum(array.nbytes for array, _ in known.arrays) <= SMALL_BYTES

    def let_go(self, key: Key) -> None:
        """Nobody will compare the value any more, unless a step that may change it is still to run."""
        if key not in self.streams and not any(key in others for others in self._awaited.values()):
            known = self._baseline.pop(key, None)
            if known is not None:
                self._last[key] = known[0].content

    def forget(self, key: Key) -> None:
        """The version is given anew, by another attempt."""
        self._tracked.discard(key)

    def track(self, key: Key, value: Any) -> None:
        """Looks at a value for the first time."""
        if key in self._tracked or not self._is_watched(key, value):
            return
        if key in self._wrong:
            raise self._wrong[key]
        self._tracked.add(key)
        found: Digest | None = None
        if self._guard is not Guard.OFF and self._usage.users(key):
            try:
                found = digest(value, limit=LARGE_BYTES if self._guard is Guard.LARGE_OFF else None)
                self._baseline[key] = (found, self._spans.now)
                is_written_to = bool(self._usage.changers.get(key))
                if isinstance(value, _STREAMS) and found.size <= _SMALL_ARRAY_BYTES and not is_written_to:
                    self.streams.add(key)
                if found.unchecked:
                    self.unchecked[key] = found.unchecked
            except TooLargeError:
                pass
        if self._has_sharing:
            self._share(key, found or digest(value, is_hashing=False))

    def track_early(self, key: Key) -> None:
        """Looks at a value before a step takes it: what shares something with it may be changed, or let go, first.

        What is wrong with it is raised when a step takes it.
        """
        try:
            self.track(key, self._versions.value(key))
        except AnswerError as error:
            self.refuse_later(key, error)

    def refuse_later(self, key: Key, error: AnswerError) -> None:
        """This is raised when a step takes the value."""
        self._tracked.discard(key)
        self._wrong[key] = error

    def reach(self, i: int) -> set[Key]:
        """What a change by step `i` may change: the versions that it says, and all that share something with them."""
        changed = self._usage.changed[i]
        return self.parts.closure(changed) | set(changed) if changed else set()

    def look_again(self, key: Key) -> None:
        """The value was changed by a step that says so: it may hold other objects now, and is compared with these."""
        if key in self._versions.superseded or key not in self._tracked or not self._versions.has(key):
            return
        is_compared = key in self._baseline
        found = digest(self._versions.value(key), is_hashing=is_compared)
        if is_compared:
            self._baseline[key] = (found, self._spans.now)
        if self._has_sharing:
            self._share(key, found)

    def look_beside(self, keys: Iterable[Key]) -> set[Key]:
        """A step has read these: what they have come to hold by that is a part of them.

        Gives those of which it, or a step beside it, has computed cached properties.
        """
        filled = set()
        for key in keys:
            if key in self.parts.lazy and key in self._tracked and self._has_sharing and self._versions.has(key):
                found = digest(self._versions.value(key), is_hashing=False)
                if found.filled > self.parts.digest(key).filled:
                    filled.add(key)
                self._share(key, found)
        self.filled |= filled
        return filled

    def compare(self, key: Key, *, starting: int | None = None) -> None:
        """The value must be what its giver gave; ValueChanged if it is not."""
        known = self._baseline.get(key)
        if known is None or key in self._versions.superseded or self._verified.get(key) == self._spans.now:
            return
        before, since = known
        if not self._is_as(key, before):
            raise self._changed(key, since, starting)
        self._verified[key] = self._spans.now

    def is_unchanged(self, keys: tuple[Key, ...]) -> bool:
        """Whether these still are what their givers gave, as far as that is compared, while steps run."""
        known = [(key, self._baseline[key][0]) for key in keys if key in self._baseline]
        return all(self._is_as(key, before) for key, before in known if key not in self._versions.superseded)

    def _is_as(self, key: Key, before: Digest) -> bool:
        try:
            return is_as(self._versions.value(key), before)
        except RuntimeError:  # it is being changed this moment
            return False

    def _is_watched(self, key: Key, value: Any) -> bool:
        if is_immutable(value):
            return False
        return self._has_sharing or (self._guard is not Guard.OFF and bool(self._usage.users(key)))

    def _share(self, key: Key, found: Digest) -> None:
        for other in self.parts.add(key, found):
            if not self.parts.are_shown(key, other):
                self._refuse_changes_within(key, other)
                continue
            for changed, read in ((key, other), (other, key)):
                is_seen: bool | None = None
                for changer, error in self._unordered(changed, read):
                    if is_seen is None:
                        is_seen = self._is_seen(changed, read)
                    if not is_seen or (changer, changed) not in self._usage.doubtful:
                        raise error
                    self._awaited.setdefault(changer, {}).setdefault(read, error)

    def _refuse_changes_within(self, a: Key, b: Key) -> None:
        """ValuesShared if one of the two holds the other, which shows nothing of itself and is changed for certain.

        What such things hold besides may be no more than what they were made from.
        """
        for changed, read in ((a, b), (b, a)):
            if self.parts.is_held_by(changed, read, self._versions.value(changed)):
                for changer, error in self._unordered(changed, read):
                    if (changer, changed) not in self._usage.doubtful:
                        raise error

    def look_after(self, i: int) -> None:
        """Step `i` has ended; ValuesShared if it has changed what another value shares with one that it may change."""
        for key, error in self._awaited.get(i, {}).items():
            known = self._baseline.get(key)
            if known is not None and key not in self._versions.superseded and not self._is_as(key, known[0]):
                raise error

    def _changed(self, key: Key, since: int, starting: int | None) -> ValueChanged:
        ran = self._spans.since(since, besides=(key[0], starting))
        readers, names = self._usage.users(key), self._usage.names
        return ValueChanged(
            key[1],
            self._usage.giver(key),
            tuple(names[i] for i in ran if i in readers),
            tuple(names[i] for i in ran if i not in readers),
        )

    def refuse_sharing(self, a: Key, b: Key) -> None:
        """ValuesShared if a step changes one of the two, which share something, while another may use the other."""
        for changed, other in ((a, b), (b, a)):
            for _, error in self._unordered(changed, other):
                raise error

    def _unordered(self, changed: Key, other: Key) -> Iterator[tuple[int, ValuesShared]]:
        """The steps that change the one while another may use the other, with what is wrong."""
        usage = self._usage
        for changer in usage.all_users(changed)[1]:
            for user in usage.all_users(other)[0]:
                if not usage.are_ordered(changer, user):
                    names = usage.names
                    yield changer, ValuesShared(usage.title(changed), names[changer], usage.title(other), names[user])
                    break

    def _is_seen(self, changed: Key, other: Key) -> bool:
        """Whether a change of what the two share would be seen in the other."""
        if is_held(other):
            return False
        before = self._baseline.get(other) or self._taken_up(other)
        return before is not None and self.parts.are_compared(changed, other, before[0])

    def _taken_up(self, key: Key) -> tuple[Digest, int] | None:
        """What the value holds, if it held that when its last reader ended: it is compared again from now on."""
        content = self._last.get(key)
        if content is None or key in self._versions.superseded or not self._versions.has(key):
            return None
        found = digest(self._versions.value(key))
        if found.content != content:
            return None
        self._baseline[key] = known = found, self._spans.now
        return known
