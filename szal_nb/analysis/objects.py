"""Who waits for whom because of objects that steps change in place: those that they name, and those inside them.

Whoever uses an object waits for the last step that changed it, whoever changes one waits for all who used it since.
What is inside what is looked at as it is below the step that asks: a step that puts an object into an older one changes
that one, and so waits for all who used it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from szal_nb.analysis.edges import Edges
from szal_nb.analysis.names import Change
from szal_nb.analysis.places import TOP, Index, between, last_before, put, take
from szal_nb.analysis.resolved import Resolved, objects_of
from szal_nb.model.graph import Edge, EdgeKind


class _Inside:
    """Which objects may be inside which others, from which step on."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, list[int]]] = {}
        self._holders: dict[str, dict[str, list[int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def put(self, holder: str, held: str, place: int) -> None:
        places = self._held.setdefault(holder, {}).setdefault(held, [])
        put(places, place)
        self._holders.setdefault(held, {})[holder] = places

    def take(self, holder: str, held: str, place: int) -> None:
        places = self._held[holder][held]
        take(places, place)
        if not places:
            for table, key, other in ((self._held, holder, held), (self._holders, held, holder)):
                del table[key][other]
                if not table[key]:
                    del table[key]

    def held_by(self, holder: str, place: int, among: set[str] | None = None) -> Iterator[str]:
        """What is inside of it below a step; only those `among` them."""
        found = self._held.get(holder)
        if found:
            for held in found if among is None else found.keys() & among:
                if found[held][0] <= place:
                    yield held

    def holders_of(self, held: str, place: int) -> Iterator[str]:
        found = self._holders.get(held)
        if found:
            yield from (holder for holder, places in found.items() if places[0] <= place)

    def all_held_by(self, holder: str) -> Iterable[str]:
        return self._held.get(holder, ())

    def all_holders_of(self, held: str) -> Iterable[str]:
        return self._holders.get(held, ())


class Passing:
    """Which steps take in, for others further down, what they may leave as it was: `Resolved.passed`. Here, none."""

    def is_passed(self, place: int, name: str, below: int) -> bool:  # noqa: ARG002 for those that know
        """Whether a step down to `below` reads a name that the step at a place may have left as it was."""
        return False

    def passers(self, token: str, above: int, below: int) -> Iterable[int]:  # noqa: ARG002 for those that know
        """The steps between these two places that take in an object so."""
        return ()


@dataclass(frozen=True, slots=True)
class _Changed:
    """The last change of an object: by which step."""

    step: str
    change: Change


class Objects:
    """Which step reads and changes which objects; `wait` adds the edges that follow from it.

    `steps` are the steps by their places.
    """

    def __init__(self, steps: Mapping[int, Resolved], passing: Passing) -> None:
        self._steps = steps
        self._passing = passing
        self._readers, self._changers, self._deep_changers = Index(), Index(), Index()
        self._reading: list[int] = []
        self._changing: list[int] = []
        self._holds, self._learns = _Inside(), _Inside()
        # Objects inside of something that a step changes with all that is inside; and all that such objects, and those
        # that are changed themselves, are inside of. Only a search for changes asks: more than there are do no harm.
        self._below: set[str] = set()
        self._leading: set[str] = set()

    def put(self, place: int, one: Resolved) -> None:
        """Takes in a step."""
        for holder, held in one.holds:
            for token in held:
                self._hold(self._holds, holder, token, place)
        for holder, held in one.learns:
            for token in held:
                self._hold(self._learns, holder, token, place)
        for objects in one.read_objects.values():
            for token in objects:
                self._readers.put(token, place)
        if one.read_objects or one.passed:
            put(self._reading, place)
        for change, objects in one.changes:
            put(self._changing, place)
            for token in objects:
                self._change(token, place, is_deep=change.is_deep)

    def take(self, place: int, one: Resolved) -> None:
        """Forgets a step."""
        for table, pairs in ((self._holds, one.holds), (self._learns, one.learns)):
            for holder, held in pairs:
                for token in held:
                    table.take(holder, token, place)
        for objects in one.read_objects.values():
            for token in objects:
                self._readers.take(token, place)
        take(self._reading, place)
        take(self._changing, place)
        for _, objects in one.changes:
            for token in objects:
                self._changers.take(token, place)
                self._deep_changers.take(token, place)

    def wait(self, place: int, one: Resolved, edges: Edges) -> None:
        """Adds the edges to a step that has been taken in."""
        if self._changing:
            for name, objects in one.read_objects.items():
                self._wait_for_changes(place, one, name, objects, edges)
        for change, objects in one.changes:
            for token in self._all_changed(place, change, objects):
                self._wait_for_users(place, one, change, token, edges, is_named=token in objects)

    def _hold(self, table: _Inside, holder: str, held: str, place: int) -> None:
        table.put(holder, held, place)
        if table is self._holds and (holder in self._below or holder in self._deep_changers):
            self._mark_below(held)
        if held in self._leading:
            self._mark_leading(holder)

    def _change(self, token: str, place: int, *, is_deep: bool) -> None:
        self._changers.put(token, place)
        self._mark_leading(token)
        if is_deep:
            self._deep_changers.put(token, place)
            for held in self._holds.all_held_by(token):
                self._mark_below(held)

    def _mark_below(self, token: str) -> None:
        todo = [token]
        while todo:
            token = todo.pop()
            if token not in self._below:
                self._below.add(token)
                self._mark_leading(token)
                todo += self._holds.all_held_by(token)

    def _mark_leading(self, token: str) -> None:
        todo = [token]
        while todo:
            token = todo.pop()
            if token not in self._leading:
                self._leading.add(token)
                todo += self._holds.all_holders_of(token)
                todo += self._learns.all_holders_of(token)

    # Reading

    def _wait_for_changes(self, place: int, one: Resolved, name: str, objects: Iterable[str], edges: Edges) -> None:
        version = one.from_version.get(name)
        giver = version.giver if version is not None else None
        for token in sorted(self._changed_inside(place, objects, giver)):
            changed = self._last_change(token, place)
            if changed is not None and changed.step != giver:
                binding = one.bindings.get(name)
                edges.add(_to_change(one.step.name, name, binding.line if binding is not None else None, changed))

    def _changed_inside(self, place: int, objects: Iterable[str], giver: str | None) -> set[str]:
        """Those of these objects, and of all inside them, that may have been changed above."""
        seen = self._leading.intersection(objects)
        found, todo = set(), list(seen)
        while todo:
            token = todo.pop()
            if token in self._changers or token in self._below:
                found.add(token)
            if self._is_changed_throughout(token, place, giver):
                continue
            for table in (self._holds, self._learns):
                for held in table.held_by(token, place, self._leading):
                    if held not in seen:
                        seen.add(held)
                        todo.append(held)
        return found

    def _is_changed_throughout(self, token: str, place: int, giver: str | None) -> bool:
        """Whether the last change of all inside it is its own last change, or one by the giver, who is not waited for.

        Without this look, each step of a long chain of calls that are not known would look at all steps above it.
        """
        last = last_before(self._deep_changers.of(token), place) if token in self._deep_changers else TOP
        if last == TOP or self._learns or last != last_before(self._changing, place):
            return False
        one = self._steps[last]
        change, objects = one.changes[0]
        return one.step.name == giver or (change.is_deep and token in objects)

    def _last_place(self, token: str, place: int) -> int:
        """Where the object was last changed above."""
        last = last_before(self._changers.of(token), place)
        if token in self._below:
            last = max(
                [
                    last,
                    *(
                        last_before(self._deep_changers.of(one), place)
                        for one in self._above(token, place, self._holds)
                    ),
                ]
            )
        return last

    def _last_change(self, token: str, place: int) -> _Changed | None:
        last = self._last_place(token, place)
        if last == TOP:
            return None
        one, above = self._steps[last], self._above(token, place, self._holds)
        return next(
            _Changed(one.step.name, change)
            for change, objects in one.changes
            if token in objects or (change.is_deep and not above.isdisjoint(objects))
        )

    def _above(self, token: str, place: int, *tables: _Inside) -> set[str]:
        """The object, and all that it is inside of."""
        found, todo = {token}, [token]
        while todo:
            held = todo.pop()
            for table in tables:
                for holder in table.holders_of(held, place):
                    if holder not in found:
                        found.add(holder)
                        todo.append(holder)
        return found

    # Changing

    def _all_changed(self, place: int, change: Change, objects: Iterable[str]) -> list[str]:
        """The objects that a change of these may concern, without those that nobody has used since the last one."""
        if not change.is_deep:
            return sorted(objects)
        newest = last_before(self._reading, place)
        seen = {token for token in objects if not self._is_unused(token, place, newest)}
        todo = list(seen)
        while todo:
            for held in self._holds.held_by(todo.pop(), place):
                if held not in seen and not self._is_unused(held, place, newest):
                    seen.add(held)
                    todo.append(held)
        return sorted(seen)

    def _is_unused(self, token: str, place: int, newest: int) -> bool:
        """Whether it was changed with all inside it, and no step has read anything since."""
        return token in self._deep_changers and newest <= last_before(self._deep_changers.of(token), place)

    def _wait_for_users(
        self, place: int, one: Resolved, change: Change, token: str, edges: Edges, *, is_named: bool
    ) -> None:
        above = self._above(token, place, self._holds, self._learns)
        since = self._last_place(token, place)
        users = {user for holder in above for user in between(self._readers.of(holder), since, place)}
        users.update(user for holder in above for user in self._passing.passers(holder, since, place))
        for user in sorted(users):
            for name, objects in self._reads(user, place):
                if token in objects or not above.isdisjoint(objects):
                    is_direct = is_named and token in objects
                    edges.add(_to_user(one.step.name, change, self._steps[user].step.name, name, is_direct=is_direct))

    def _reads(self, place: int, below: int) -> Iterator[tuple[str, frozenset[str]]]:
        """What a step reads, and what it takes in for those down to `below`."""
        one = self._steps[place]
        yield from one.read_objects.items()
        for name, version in one.passed.items():
            if self._passing.is_passed(place, name, below):
                yield name, objects_of(version)


def _to_change(target: str, name: str, line: int | None, changed: _Changed) -> Edge:
    change = changed.change
    is_certain = change.is_certain and change.name == name
    verb = "changes" if change.is_certain else "may change"
    shared = "" if change.name == name else f", which may be or hold {change.name}"
    return Edge(
        source=changed.step, target=target, kind=EdgeKind.ORDER if is_certain else EdgeKind.DOUBT, names=(name,),
        rule="shared-object", line=line,
        remedy="" if is_certain else (
            f"copy {name}, so that it is no part of {change.name}" if change.is_certain
            else f"--pure {change.name} on {changed.step}"
        ),
        reason=f"{reads(name, line, '')}{shared}; {changed.step} {verb} it ({change.what}).",
    )  # fmt: skip


def _to_user(target: str, change: Change, user: str, name: str, *, is_direct: bool) -> Edge:
    is_certain = change.is_certain and is_direct and name == change.name
    verb = "changes" if change.is_certain else "may change"
    whom = change.name if name == change.name else f"{change.name}, which {name} may be or hold"
    return Edge(
        source=user, target=target, kind=EdgeKind.ORDER if is_certain else EdgeKind.DOUBT,
        names=(change.name,), rule="changed-after-reading", line=change.line or None,
        remedy="" if is_certain else (
            f"copy {name}, so that it is no part of {change.name}" if change.is_certain
            else f"--pure {change.name}"
        ), is_blocking=False,
        reason=f"{_line(change.line)}{verb} {whom} in place ({change.what}); {user} reads it before that.",
    )  # fmt: skip


def reads(name: str, line: int | None, via: str) -> str:
    """How a step comes to read a name, as a sentence begins."""
    if via.startswith("--"):
        return f"{via} names {name}"
    through = f" through {via}()" if via else ""
    return f"{_line(line)}reads {name}{through}"


def _line(line: int | None) -> str:
    return f"Line {line} " if line else "It "
