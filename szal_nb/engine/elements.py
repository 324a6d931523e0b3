"""What elements of a mapped step gave, recorded while others still run, so that a resume runs only those missing.

Elements that end together are recorded together: `ys[3]` is what one element gave, `ys[0-99]` a list of pairs of a
position and all that this element gave by name. Where a resume could tell the difference the map runs again as a whole,
and says why: elements that change what they read, or share objects with each other or with it, code that draws random
numbers, code or elements that cannot be told by their content.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from szal_nb.analysis import files
from szal_nb.engine.digest import digest
from szal_nb.engine.immutable import is_immutable, is_immutable_kind
from szal_nb.engine.sharing import SharedParts
from szal_nb.engine.values import ValueTable
from szal_nb.engine.watch import Watch
from szal_nb.errors import StoreError, ValueUnavailable
from szal_nb.model.graph import DISPLAY, StepNode
from szal_nb.model.loaded import library_of
from szal_nb.model.state import StepSnapshot
from szal_nb.model.value import ElementEnd, ValueRef

# An element and what it gave, by name.
Given = tuple[int, dict[str, Any]]

# What stands for no key: elements that ended under it are of no use to anybody.
NO_KEY = "-"
# Equal contents of these give their elements in the same order, in every process.
_ORDERED = frozenset({list, tuple, dict, range, str, bytes})
_ORDERED_LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "polars"})
_ONE = re.compile(r"(.*)\[(\d+)\]")
# Under this name it is recorded which names of an element nobody needs and nothing can store, such as open files.
_GONE = "<gone>"

# How often elements that end are recorded at most, in seconds, and which part of the time may go to looking whether
# they changed what they read.
_EVERY_S = 0.05
_LOOKING = 0.05


class ElementRecord:
    """The elements of one attempt of a mapped step on record. Its methods are called on worker threads, one at a time.

    `key` and `whole` are as in `model.event.StepProgress`, from the beginning of the attempt on. `gone` are names that
    elements of earlier attempts gave and that are gone with their process; nobody needs them.
    """

    def __init__(self, table: ValueTable, watch: Watch, i: int, node: StepNode, earlier: StepSnapshot) -> None:
        self.key = NO_KEY
        self.whole = ""
        # How long it took the last time to look whether an element changed what it reads.
        self.looked_s = 0.0
        self._table = table
        self._watch = watch
        self._i = i
        self._node = node
        self._attempt = earlier.attempt
        self._earlier = (earlier.elements_key, earlier.element_values, earlier.kept_elements)
        # Whether an earlier attempt has left elements, or word why it has not.
        self.was_cut = bool(earlier.kept_elements or earlier.elements_whole)
        self._inputs: Mapping[str, Any] = {}
        self._parts: SharedParts | None = None
        self._unkept: set[str] = set()
        self.gone: set[str] = set()

    @property
    def begins_anew(self) -> bool:
        """Whether nothing of earlier attempts is of use."""
        return self.key != self._earlier[0]

    def begin(self, inputs: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        """What earlier attempts recorded of the elements that these inputs give, by position."""
        self._inputs = inputs
        self.whole = self._why_whole()
        if not self.whole:
            self.key = self._key()
        key, refs, kept = self._earlier
        if self.key != key or self.whole:
            return {}
        found: dict[int, dict[str, Any]] = {}
        lost: set[int] = set()
        for ref in refs:
            self._load(ref, found, lost)
        resumed = {position: given for position, given in found.items() if position in kept and position not in lost}
        for given in resumed.values():
            self.gone.update(given.pop(_GONE, ()))
        return resumed

    def _why_whole(self) -> str:
        node = self._node
        changed = next(filter(self._may_change, node.changes), None)
        if changed is not None:
            return f"it changes {changed!r} in place"
        # What is in files outlives the process, as all else that elements do to the world.
        hidden = next((state for state in node.states if not state.startswith(files.PREFIX)), None)
        if hidden is not None:
            return f"it uses {hidden}"
        if not self._table.key_of_elements(self._i):
            return "its code, or what it is mapped over, cannot be told by its content"
        return ""

    def _may_change(self, name: str) -> bool:
        """Whether what the analysis takes for a change in place can be one: who is given a number cannot change it."""
        value = self._inputs.get(name)
        if is_immutable(value) or name not in self._node.step.map:
            return not is_immutable(value)
        kinds = set(map(type, self._inputs[name])) if type(value) in (list, tuple, dict) else {object}
        return not all(map(is_immutable_kind, kinds))

    def _key(self) -> str:
        texts = [self._table.key_of_elements(self._i)]
        for name in self._node.step.map:
            kind = type(self._inputs[name])
            if kind not in _ORDERED and library_of(kind) not in _ORDERED_LIBRARIES:
                # A set: which element is the third is said by this process only.
                (ref,) = self._table.keep_aside(
                    self._i, self._attempt, {name: list(self._inputs[name])}, is_needed=True
                )
                texts.append(ref.hash or repr(id(self)))
        return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()

    def _load(self, ref: ValueRef, found: dict[int, dict[str, Any]], lost: set[int]) -> None:
        one = _ONE.fullmatch(ref.name)
        try:
            value: Any = self._table.load_aside(ref)
        except (ValueUnavailable, StoreError):
            if one is not None:
                lost.add(int(one[2]))
            return
        if one is not None:
            found.setdefault(int(one[2]), {})[one[1]] = value
        else:
            found.update((position, given) for position, given in value)

    def keep(self, ended: Sequence[Given]) -> tuple[tuple[ValueRef, ...], set[int]]:
        """The references to what these elements gave, and which of them need not run again."""
        if not self.whole:
            self.whole = self._why_not(ended)
        if self.whole:
            return (), set()
        if len(ended) > 1:
            refs = self._keep_together([(position, self._without_unkept(given)) for position, given in ended])
            if refs[0].live is None:
                return refs, {position for position, _ in ended}
        found: list[ValueRef] = []
        kept = set()
        for position, given in ended:
            refs = self._keep_one(position, self._without_unkept(given))
            lives = {name for name, ref in zip(given, refs, strict=False) if ref.live is not None}
            if lives and lives.isdisjoint(self._node.needed):
                self._unkept |= lives
                refs = self._keep_one(position, self._without_unkept(given))
            if all(ref.live is None for ref in refs):
                found += refs
                kept.add(position)
        return tuple(found), kept

    def _without_unkept(self, given: dict[str, Any]) -> dict[str, Any]:
        gone = self._unkept & given.keys()
        if not gone:
            return given
        return {**{name: value for name, value in given.items() if name not in gone}, _GONE: sorted(gone)}

    def _keep_together(self, ended: Sequence[Given]) -> tuple[ValueRef, ...]:
        label = next(iter(self._node.values), self._node.step.name)
        positions = [position for position, _ in ended]
        name = f"{label}[{min(positions)}-{max(positions)}]"
        pairs = [[position, given] for position, given in ended]
        (ref,) = self._table.keep_aside(self._i, self._attempt, {name: pairs}, is_needed=self._is_needed(ended[0][1]))
        return (msgspec.structs.replace(ref, type=f"{len(ended)} elements", shape=(len(ended),)),)

    def _keep_one(self, position: int, given: dict[str, Any]) -> tuple[ValueRef, ...]:
        if not given:
            return self._keep_together([(position, given)])
        named = {f"{name}[{position}]": value for name, value in given.items()}
        return self._table.keep_aside(self._i, self._attempt, named, is_needed=self._is_needed(given))

    def _is_needed(self, given: Mapping[str, Any]) -> bool:
        return not given.keys().isdisjoint(self._node.needed)

    def _why_not(self, ended: Sequence[Given]) -> str:
        begun = time.perf_counter()
        is_unchanged = self._watch.reads_unchanged(self._i)
        self.looked_s = time.perf_counter() - begun
        if not is_unchanged:
            return "an element changed what it reads"
        try:
            return next(filter(None, (self._shares(position, given) for position, given in ended)), "")
        except Exception as error:  # noqa: BLE001  looking into values runs code of the user
            return f"what its elements gave could not be looked into ({type(error).__name__})"

    def _shares(self, position: int, given: Mapping[str, Any]) -> str:
        """Why the element's values are no values of their own; "" if they are."""
        for name, value in given.items():
            if name == DISPLAY or is_immutable(value):
                continue
            parts = self._parts = self._parts or self._parts_of_inputs()
            for place, other in parts.add((position, name), digest(value, is_hashing=False)):
                whose = "what it reads" if place is None else f"{other!r} of element {place}"
                return f"{name!r} of element {position} shares objects with {whose}"
        return ""

    def _parts_of_inputs(self) -> SharedParts:
        parts = SharedParts()
        for name, value in self._inputs.items():
            if not is_immutable(value):
                parts.add((None, name), digest(value, is_hashing=False))
        return parts


class ElementLog:
    """Elements that have ended, on their way to the record: a bounded number of times a second. On the loop.

    `aside(job, then)` runs `job` on a worker thread, then `then` with its result on the loop; `tell` has the rest
    recorded: ends, values, key and whole.
    """

    def __init__(
        self,
        record: ElementRecord,
        loop: asyncio.AbstractEventLoop,
        aside: Callable[[Callable[[], Any], Callable[[Any], None]], None],
        tell: Callable[[list[ElementEnd], tuple[ValueRef, ...], str, str], None],
    ) -> None:
        self._record = record
        self._loop = loop
        self._aside = aside
        self._tell_ = tell
        self._ends: list[ElementEnd] = []
        self._given: list[Given] = []
        self._is_due = self._is_under_way = False
        self._next = 0.0
        self._said: tuple[str, str] | None = None
        self._then: Callable[[], None] | None = None
        self._is_kept = True

    def begin(self) -> None:
        """Has it recorded what has become of earlier attempts, before any element ends."""
        self._tell_([], (), *self._news())

    def ended(self, end: ElementEnd, given: dict[str, Any] | None) -> None:
        """An element has ended for good: what it `given`, None if it failed."""
        self._ends.append(end)
        if given is not None:
            self._given.append((end.position, given))
        self._go_on()

    def close(self, then: Callable[[], None], *, is_kept: bool) -> None:
        """Calls `then` when all are told; what was given since the last time is kept only if there is use for it."""
        self._then, self._is_kept = then, is_kept
        if not self._is_under_way:
            self._record_all()

    def _go_on(self) -> None:
        if not self._is_due and not self._is_under_way and self._then is None:
            self._is_due = True
            self._loop.call_later(max(0.0, self._next - self._loop.time()), self._due)

    def _due(self) -> None:
        self._is_due = False
        if not self._is_under_way and self._then is None:
            self._record_all()

    def _record_all(self) -> None:
        ends, given = self._ends, self._given
        self._ends, self._given = [], []
        if not given or not self._is_kept or self._record.whole:
            self._told(ends, (), set())
            return
        self._is_under_way = True

        def kept(found: tuple[tuple[ValueRef, ...], set[int]]) -> None:
            self._is_under_way = False
            self._next = self._loop.time() + max(_EVERY_S, self._record.looked_s / _LOOKING)
            self._told(ends, *found)

        self._aside(lambda: self._record.keep(given), kept)

    def _told(self, ends: list[ElementEnd], refs: tuple[ValueRef, ...], kept: set[int]) -> None:
        key, whole = self._news()
        if kept:
            ends = [msgspec.structs.replace(end, kept=True) if end.position in kept else end for end in ends]
        if ends or key or whole:
            self._tell_(ends, refs, key, whole)
        if self._then is not None and not self._is_under_way:
            if self._ends:
                self._record_all()
            else:
                self._then()
        elif self._ends:
            self._go_on()

    def _news(self) -> tuple[str, str]:
        """What is to be said of key and whole: each once."""
        record = self._record
        said, self._said = self._said, (record.key, record.whole)
        key = record.key if said is None and record.begins_anew else ""
        return key, record.whole if said is None or not said[1] else ""
