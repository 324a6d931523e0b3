"""The steps of a growing flow as they stand, with what was found of each, and which of them must be looked at again.

A look at a step depends on the names that it asks for: those that steps above leave, those of the notebook, and a few
things that are the same for all steps, such as which steps may give a name at all. Each step is entered under what it
asked for. Where an answer changes, those are marked that asked for it and stand where it changes: further down, as far
as the next step that sets the name again. They are looked at when a step at their place or below is asked for; where a
step leaves behind what it left before, those below it stay as they are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from szal_nb.analysis.around import Around, Compared
from szal_nb.analysis.captures import Captures
from szal_nb.analysis.condition import ConditionError, compile_condition
from szal_nb.analysis.edges import Edges
from szal_nb.analysis.glance import Glance, glance_at
from szal_nb.analysis.helpers import Helpers
from szal_nb.analysis.names import ImportedName
from szal_nb.analysis.order import Orderer
from szal_nb.analysis.passed import Passed
from szal_nb.analysis.places import Index, between, put, take
from szal_nb.analysis.resolve import Resolver
from szal_nb.analysis.resolved import Known, Resolved, Version, input_object, is_same
from szal_nb.analysis.sequence import Sequenced
from szal_nb.analysis.surroundings import Surroundings, Watch
from szal_nb.analysis.timeline import Cursor, Timeline
from szal_nb.errors import InvalidStep
from szal_nb.model.step import Step

_NOTHING = Glance("")
_Written = dict[tuple[int, str], Any]


@dataclass(slots=True)
class _Stand:
    """A step at its place, and what the last look at it asked for and set."""

    step: Step
    glance: Glance
    named: frozenset[str]
    is_found: bool = False
    asked: set[str] = field(default_factory=set)
    asked_givers: set[str] = field(default_factory=set)
    behind_dots: set[str] = field(default_factory=set)
    written: _Written = field(default_factory=dict)


class Standing:
    """The steps of one flow. `follow` takes what has become of them; then a step can be asked for."""

    def __init__(self) -> None:
        self.sequence = Sequenced()
        self._cursor = cursor = Cursor()
        self._watch: Watch = Compared({})
        self._around = Around(cursor, self._watch)
        self._imports: dict[str, list[tuple[int, ImportedName]]] = {}
        self._binders = Index()
        versions: Timeline[Version] = Timeline(cursor)
        imported: Timeline[ImportedName] = Timeline(cursor, self._first_import)
        deleted: Timeline[tuple[str, int]] = Timeline(cursor)
        dynamic: Timeline[str] = Timeline(cursor)
        self._tables: dict[int, Timeline[Any]] = {id(one): one for one in (versions, imported, deleted, dynamic)}
        self._steps: dict[str, Step] = {}
        self._glances: dict[str, Glance] = {}
        self.known = Known(
            self._around, self._steps, self._glances, _Givers(self), versions, imported, deleted, dynamic
        )
        self._helpers = Helpers(self.known)
        self._resolver = Resolver(self.known, self._helpers)
        self._passed = Passed(versions)
        self._orderer = Orderer(self._passed)
        self._captures = Captures(self._orderer.steps, self._passed)
        self._code: dict[str, str] = {}
        self._code_names: tuple[str, ...] = ()
        self._at: dict[int, _Stand] = {}
        # Steps that must be looked at, and what those of them left that were exchanged.
        self._open: list[int] = []
        self._left: dict[int, _Written] = {}
        self._askers, self._givers_askers, self._dots_users = Index(), Index(), Index()
        self._asking_all: list[int] = []
        # Steps by those that their flags name; those that name one which is not above them; those that are no Python.
        self._namers, self._naming = Index(), Index()
        self._astray: set[int] = set()
        self._unreadable: list[int] = []

    def follow(self, steps: tuple[Step, ...], around: Surroundings) -> bool:
        """Takes the steps and the notebook as they are now; False if it cannot go on from where it is."""
        if not self._look_around(around):
            return False
        found = self.sequence.follow(steps)
        if found is None:
            return False
        gone, come = found
        for place in gone:
            self._take(place, is_exchanged=place in come)
        for place, step in come.items():
            self._put(place, step)
        for name in {step.name for step in (*gone.values(), *come.values())}:
            for place in self._namers.of(name):
                self._look_for_named(place)
        for place in come:
            self._look_for_named(place)
        return True

    def has_edges_from_below(self) -> bool:
        """Whether a flag names a step that does not stand above, so that edges may go round in a ring."""
        return bool(self._astray)

    def resolved(self, name: str) -> Resolved:
        """All that is found of a step; InvalidStep if it, or one above it, cannot be run."""
        for unreadable in self._unreadable:
            glance_at(self._at[unreadable].step)
        place = self.sequence.place_of[name]
        while self._open and self._open[0] <= place:
            at = self._open[0]
            self._resolve(at)
            take(self._open, at)
        self._captures.check(place, self.sequence.place_of, self.known, self._around)
        return self._orderer.steps[place]

    def order(self, name: str, edges: Edges) -> None:
        """Adds the edges that lead to a step."""
        self._orderer.wait(self.sequence.place_of[name], edges)

    # The notebook

    def _look_around(self, around: Surroundings) -> bool:
        if around.watch is not None and around.watch is not self._watch:
            if self._at:
                return False
            self._watch = around.watch
            self._around.watch(around.watch)
        if isinstance(self._watch, Compared):
            self._watch.namespace = around.names
        changed = self._around.changed()
        for name in changed:
            self._mark_askers(name)
            self._captures.touch(name)
        names = tuple(around.names if around.with_code is None else around.with_code)
        if names != self._code_names:
            self._look_at_code({*names, *self._code_names}, set(names))
            self._code_names = names
        elif changed:
            known = set(names)
            self._look_at_code(known.intersection(changed), known)
        return True

    def _look_at_code(self, names: Iterable[str], known: set[str]) -> None:
        """Classes of the notebook may have come or gone."""
        for name in names:
            one = self._around.look(name) if name in known else None
            before, now = self._code.pop(name, ""), (one.source if one is not None else None) or ""
            if now:
                self._code[name] = now
            if before != now:
                for source, change in ((before, self._helpers.drop_class), (now, self._helpers.add_class)):
                    if source:
                        self._mark_users_of_class(name, change(name, source))

    # Steps that come and go

    def _put(self, place: int, step: Step) -> None:
        glance = _NOTHING
        try:
            glance = glance_at(step)
        except InvalidStep:
            put(self._unreadable, place)
        self._at[place] = _Stand(step, glance, _named_by(step))
        self._steps[step.name], self._glances[step.name] = step, glance
        for name in self._at[place].named:
            self._namers.put(name, place)
        for name in glance.bound:
            self._binders.put(name, place)
            self._mark_givers(name)
        for one in glance.imports:
            insort(self._imports.setdefault(one.name, []), (place, one), key=lambda entry: entry[0])
            self._mark_askers(one.name)
        for name, source in glance.classes:
            self._mark_users_of_class(name, self._helpers.add_class(name, source))
        put(self._open, place)

    def _take(self, place: int, *, is_exchanged: bool) -> None:
        stand = self._at[place]
        step, glance = stand.step, stand.glance
        left = self._forget(place)
        self._cursor.begin(place)
        self._helpers.behind_dots = set()
        self._enter(place, stand)
        if is_exchanged:
            self._left[place] = left
        else:
            for table, name in left:
                self._mark_below(table, name, place)
        for places in (self._open, self._unreadable):
            take(places, place)
        for name in stand.named:
            self._namers.take(name, place)
        for name in glance.bound:
            self._binders.take(name, place)
            self._mark_givers(name)
        for one in glance.imports:
            entries = self._imports[one.name]
            entries[:] = [entry for entry in entries if entry != (place, one)]
            self._mark_askers(one.name)
        for name, source in glance.classes:
            self._mark_users_of_class(name, self._helpers.drop_class(name, source))
        self._astray.discard(place)
        self._mark_namers(step.name)
        del self._steps[step.name], self._glances[step.name]
        self.known.given_by.pop(step.name, None)
        del self._at[place]

    def _forget(self, place: int) -> _Written:
        """Takes away all that a look at a step has found; what it left is returned."""
        stand = self._at[place]
        left, stand.written = self._left.pop(place, stand.written), {}
        for table, name in left if stand.is_found else ():
            self._tables[table].erase(name, place)
        one = self._orderer.steps.get(place)
        if one is not None:
            self._captures.take(place, one)
            self._orderer.take(place)
            self._passed.take(place, one)
        stand.is_found = False
        return left

    # Looks at steps

    def _resolve(self, place: int) -> None:
        """Looks at a step anew. One that is refused stays to be looked at."""
        stand = self._at[place]
        before = self._forget(place)
        self._cursor.begin(place)
        self._helpers.behind_dots = set()
        given = self.known.given_by.pop(stand.step.name, {})
        try:
            one = self._resolver.resolve(stand.step)
        except InvalidStep:
            for table, name in self._cursor.written:
                self._tables[table].erase(name, place)
            self._left[place] = before
            raise
        self._enter(place, stand)
        stand.written, stand.is_found = self._cursor.written, True
        for key in {**before, **stand.written}:
            if key not in before or key not in stand.written or not is_same(before[key], stand.written[key]):
                self._mark_below(*key, place)
            else:
                # The same object, so that those below that have it need not be compared further than that.
                stand.written[key] = before[key]
                self._tables[key[0]].exchange(key[1], place, before[key])
        now = self.known.given_by.get(stand.step.name, {})
        if not _is_given_alike(given, now):
            self._mark_namers(stand.step.name)
        self._find_passed(one)
        self._orderer.put(place, one)
        self._captures.put(place, one)
        self._passed.put(place, one, now)

    def _enter(self, place: int, stand: _Stand) -> None:
        """Enters the step under all that it asked for, and under nothing else."""
        cursor, dots = self._cursor, self._helpers.behind_dots
        for index, before, now in (
            (self._askers, stand.asked, cursor.asked),
            (self._givers_askers, stand.asked_givers, cursor.asked_givers),
            (self._dots_users, stand.behind_dots, dots),
        ):
            for name in before - now:
                index.take(name, place)
            for name in now - before:
                index.put(name, place)
        (put if cursor.is_asking_all else take)(self._asking_all, place)
        stand.asked, stand.asked_givers, stand.behind_dots = {*cursor.asked}, {*cursor.asked_givers}, dots

    def _find_passed(self, one: Resolved) -> None:
        """The names that the step may leave as they were."""
        found: dict[str, Version] = {}
        for name, version in self.known.given_by.get(one.step.name, {}).items():
            if name in one.bindings:
                continue
            if version.fallback is not None:
                found[name] = version.fallback
            elif version.or_input:
                found[name] = Version(name, "", frozenset({input_object(name)}))
        if found:
            one.passed = found

    # Marks

    def _mark_askers(self, name: str) -> None:
        for place in self._askers.of(name):
            put(self._open, place)
        for place in self._asking_all:
            put(self._open, place)

    def _mark_below(self, table: int, name: str, place: int) -> None:
        """What the step at this place leaves under a name is something else: marks those that asked for it."""
        last = self._tables[table].next_place(name, place)
        for places in (self._askers.of(name), self._asking_all):
            below = places[-1] + 1 if places and last is None else last + 1 if last is not None else 0
            for asker in between(places, place, below):
                put(self._open, asker)

    def _mark_givers(self, name: str) -> None:
        self._captures.touch(name)
        for place in self._givers_askers.of(name):
            put(self._open, place)

    def _mark_users_of_class(self, name: str, methods: Iterable[str]) -> None:
        for method in methods:
            for place in (*self._dots_users.of(method), *self._askers.of(name)):
                put(self._open, place)

    def _mark_namers(self, name: str) -> None:
        for place in self._namers.of(name):
            put(self._open, place)

    def _look_for_named(self, place: int) -> None:
        places = self.sequence.place_of
        is_astray = any(places.get(name, place) >= place for name in self._at[place].named)
        (self._astray.add if is_astray else self._astray.discard)(place)

    # What steps ask for

    def _first_import(self, name: str) -> ImportedName | None:
        found = self._imports.get(name)
        return found[0][1] if found else None

    def binders(self, name: str) -> list[str]:
        """The steps that may bind a name, for the step that is looked at."""
        self._cursor.asked_givers.add(name)
        return [self._at[place].step.name for place in self._binders.of(name)]


class _Givers(Mapping[str, list[str]]):
    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def get(self, name: str, default: Any = None) -> Any:
        return self._standing.binders(name) or default

    def __getitem__(self, name: str) -> list[str]:
        return self._standing.binders(name)

    def __iter__(self) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def _named_by(step: Step) -> frozenset[str]:
    """The steps that a step's flags name; itself, where its condition asks for it."""
    needed = {text.partition(".")[0] for _, text in step.needs}
    parent = () if step.parent is None else (step.parent,)
    try:
        asked = compile_condition(step.when).steps if step.when and "steps" in step.when else ()
    except ConditionError:
        asked = ()
    return frozenset({*needed, *step.after, *parent, *asked})


def _is_given_alike(one: Mapping[str, Version], other: Mapping[str, Version]) -> bool:
    return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
