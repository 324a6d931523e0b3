"""Who waits for whom because of hidden state: settings, generators of random numbers, files, code that knows all names.

Whoever uses a state waits for the last step that changed it, whoever changes one waits for all who used it since.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise

from szal_nb.analysis import files, hidden
from szal_nb.analysis.edges import Edges
from szal_nb.analysis.names import StateUse
from szal_nb.analysis.places import TOP, Index, between, last_before, put, take
from szal_nb.analysis.resolved import ANY_MAKER, Resolved
from szal_nb.errors import InvalidStep
from szal_nb.model.graph import Edge, EdgeKind
from szal_nb.model.kept import attributes_owner, attributes_state, memory_owner, memory_state, patched
from szal_nb.model.step import Executor


def _uses(one: Resolved) -> dict[str, StateUse]:
    """What the step's own code uses, one use a state: the write, where it does both."""
    found = {use.state: use for use in one.names.states if not use.is_write}
    found |= {use.state: use for use in one.names.states if use.is_write}
    return found


def _reads(one: Resolved, state: str) -> bool:
    """Whether the step's own code takes something from the state; it may change it as well."""
    return any(use.state == state and not use.is_write for use in one.names.states)


def _memories(one: Resolved) -> dict[str, None]:
    """What functions remember that the step has to do with."""
    if not one.remembering and not one.names.states:
        return {}
    states = [memory_state(name) for name in one.remembering]
    states += [use.state for use in one.names.states if memory_owner(use.state)]
    return {state: None for state in states if hidden.spelled(state) not in one.step.pure}


class States:
    """Which step uses and changes which hidden states; `wait` adds the edges. `steps` are the steps by their places."""

    def __init__(self, steps: Mapping[int, Resolved]) -> None:
        self._steps = steps
        self._writers, self._readers = Index(), Index()
        # Those that settings of the process may matter to, because they call anything; and users of modules.
        self._calling: list[int] = []
        self._importing = Index()
        # Those that have to do with what functions of the notebook remember.
        self._remembering = Index()
        # Users of functions and classes of the notebook, which may keep something from call to call.
        self._using = Index()
        # Readers of what classes and modules made, by these; and who changes such.
        self._holding, self._remaking = Index(), Index()
        self._dynamic: list[int] = []
        self._all: list[int] = []
        # Files by the steps that use them; those among them whose paths are not fully known.
        self._files, self._patterns = Index(), Index()

    def put(self, place: int, one: Resolved) -> None:
        """Takes in a step."""
        put(self._all, place)
        if one.names.has_calls:
            put(self._calling, place)
        if one.names.dynamic:
            put(self._dynamic, place)
        for module in one.modules:
            self._importing.put(module, place)
        for name in one.definitions:
            self._using.put(name, place)
        for maker in one.makers:
            self._holding.put(maker, place)
        for maker in one.remade:
            self._remaking.put(maker, place)
        for state in _memories(one):
            self._remembering.put(state, place)
        for use in _uses(one).values() if one.names.states else ():
            (self._writers if use.is_write else self._readers).put(use.state, place)
            for index in self._kept_as_files(use.state):
                index.put(use.state, place)

    def take(self, place: int, one: Resolved) -> None:
        """Forgets a step."""
        for places in (self._all, self._calling, self._dynamic):
            take(places, place)
        for module in one.modules:
            self._importing.take(module, place)
        for name in one.definitions:
            self._using.take(name, place)
        for maker in one.makers:
            self._holding.take(maker, place)
        for maker in one.remade:
            self._remaking.take(maker, place)
        for state in _memories(one):
            self._remembering.take(state, place)
        for state in _uses(one):
            for index in (self._writers, self._readers, *self._kept_as_files(state)):
                index.take(state, place)

    def _kept_as_files(self, state: str) -> tuple[Index, ...]:
        if not state.startswith(files.PREFIX):
            return ()
        return (self._files, self._patterns) if files.is_pattern(state) else (self._files,)

    def wait(self, place: int, one: Resolved, edges: Edges) -> None:
        """Adds the edges to a step that has been taken in."""
        uses = _uses(one) if one.names.states else {}
        if self._writers:
            self._add_implied(one, uses)
        target = one.step.name
        for use in uses.values():
            self._wait_for_like_files(place, target, use, edges)
        for use in uses.values():
            if not (memory_owner(use.state) or patched(use.state)):
                self._wait_for_state(place, target, use, edges)
        for state in _memories(one) if self._writers and self._remembering else ():
            first = self._writers.of(state)
            if first and first[0] <= place:
                self._wait_for_memory(last_before(self._remembering.of(state), place), place, state, edges)
        if self._dynamic:
            self._wait_for_dynamic(place, one, edges)

    def _add_implied(self, one: Resolved, uses: dict[str, StateUse]) -> None:
        """What any code uses that calls something, or that uses a module, a function or a class."""
        if one.names.has_calls:
            for state in sorted(hidden.PROCESS_WIDE & self._writers.keys()):
                uses.setdefault(state, StateUse(state, 0, is_write=False, what=""))
        if hidden.PYPLOT in uses and hidden.LOOKS in self._writers:
            uses.setdefault(hidden.LOOKS, StateUse(hidden.LOOKS, 0, is_write=False, what=""))
        for state in sorted(f"{hidden.MODULE}{module}" for module in one.modules):
            if state in self._writers:
                uses.setdefault(state, StateUse(state, 0, is_write=False, what=""))
        for name in sorted(set(one.definitions)):
            if (state := attributes_state(name)) in self._writers:
                uses.setdefault(state, StateUse(state, 0, is_write=False, what=name))
        for state in self._remade(one) if self._remaking and one.makers else ():
            uses.setdefault(state, StateUse(state, 0, is_write=False, what="by what it reads"))

    def _remade(self, one: Resolved) -> list[str]:
        """What made what the step reads, or may have, and is changed by some step."""
        remade = self._remaking.keys()
        found = remade if ANY_MAKER in one.makers else one.makers & remade
        return sorted(state for state in found if hidden.spelled(state) not in one.step.pure)

    def _users(self, state: str, since: int, place: int) -> Iterator[tuple[str, StateUse]]:
        """The steps between that use the state and do not change it."""
        found = {*between(self._readers.of(state), since, place)}
        if state in hidden.PROCESS_WIDE:
            found.update(between(self._calling, since, place))
        if state == hidden.LOOKS:
            found.update(between(self._writers.of(hidden.PYPLOT), since, place))
            found.update(between(self._readers.of(hidden.PYPLOT), since, place))
        if state.startswith(hidden.MODULE):
            found.update(between(self._importing.of(state.removeprefix(hidden.MODULE)), since, place))
        if attributes_owner(state):
            found.update(between(self._using.of(attributes_owner(state)), since, place))
        if state in self._remaking:
            holding = {user for one in (state, ANY_MAKER) for user in between(self._holding.of(one), since, place)}
            found.update(user for user in holding if hidden.spelled(state) not in self._steps[user].step.pure)
        for user in sorted(found):
            yield self._use(user, state)

    def _use(self, place: int, state: str) -> tuple[str, StateUse]:
        one = self._steps[place]
        return one.step.name, _uses(one).get(state) or StateUse(state, 0, is_write=False, what="")

    def _wait_for_state(self, place: int, target: str, use: StateUse, edges: Edges) -> None:
        last = last_before(self._writers.of(use.state), place)
        users = [*self._users(use.state, last, place)] if use.is_write else []
        others = users or ([self._use(last, use.state)] if last != TOP else [])
        needs = use.state.startswith(files.PREFIX) and _reads(self._steps[place], use.state)
        # Settings of the process concern every call: only the step that writes them can be taken out.
        is_own = use.is_write or (bool(use.what) and use.state not in hidden.PROCESS_WIDE)
        both = f"both use {use.state}" if use.is_write else f"it depends on {use.state}"
        what = f" ({use.what})" if use.what else ""
        for source, other in others:
            edges.add(Edge(
                source=source, target=target, kind=EdgeKind.ORDER, names=(use.state,), rule="hidden-state",
                line=use.line or other.line or None, is_blocking=needs,
                reason=f"{target} waits for {source}: {both}{what}.",
                remedy=f"--pure {hidden.spelled(use.state)}{'' if is_own else f' on {source}'}",
            ))  # fmt: skip

    def wait_for_memories(self, edges: Edges) -> None:
        """Adds the edges between steps that call what remembers, above the first step that changes what it gave.

        Which of them is the first decides what object all others get.
        """
        for state, writers in self._writers.items() if self._remembering else ():
            above = between(self._remembering.of(state), TOP, writers[0])
            for before, place in pairwise(above):
                self._wait_for_memory(before, place, state, edges)

    def _wait_for_memory(self, before: int, place: int, state: str, edges: Edges) -> None:
        if before == TOP:
            return
        name, writers = memory_owner(state), self._writers.of(state)
        changer = self._steps[writers[max(bisect_right(writers, place) - 1, 0)]]
        use = _uses(changer)[state]
        for one in (self._steps[before].step, self._steps[place].step):
            if one.executor is Executor.PROCESS:
                raise InvalidStep(
                    one.name,
                    f"it uses what {name} remembers, which {changer.step.name!r} changes ({use.what}) and another "
                    f"process does not share.",
                    "Remove --executor process, or pass what is kept as an argument.",
                )
        source, target = self._steps[before].step.name, self._steps[place].step.name
        edges.add(Edge(
            source=source, target=target, kind=EdgeKind.ORDER, names=(state,), rule="hidden-state",
            line=use.line if changer.step.name == target else None,
            reason=f"{target} waits for {source}: both have to do with what {name} remembers, "
                   f"which {changer.step.name} changes ({use.what}).",
            remedy=f"--pure {hidden.spelled(state)}",
        ))  # fmt: skip

    def _wait_for_like_files(self, place: int, target: str, use: StateUse, edges: Edges) -> None:
        """A file whose path is not fully known may be one that another step used under another text."""
        if not use.state.startswith(files.PREFIX):
            return
        others = self._files if files.is_pattern(use.state) else self._patterns
        like = (state for state in others if state != use.state and files.may_be_same(use.state, state))
        for state in sorted(like):
            last = last_before(self._writers.of(state), place)
            changed = [self._use(last, state)] if last != TOP else []
            for source, other in (*changed, *(self._users(state, last, place) if use.is_write else ())):
                both = f"{_path(use.state)} may be {_path(state)}"
                edges.add(Edge(
                    source=source, target=target, kind=EdgeKind.DOUBT, names=(use.state,), rule="hidden-state",
                    line=use.line or other.line or None, is_blocking=_reads(self._steps[place], use.state),
                    reason=f"{target} waits for {source}: {both} ({use.what or other.what}).",
                    remedy=f"--pure {use.state}",
                ))  # fmt: skip

    def _wait_for_dynamic(self, place: int, one: Resolved, edges: Edges) -> None:
        """Code that knows all names is ordered with all steps."""
        last = last_before(self._dynamic, place)
        if one.names.dynamic:
            others = between(self._all, last, place) or ([last] if last != TOP else [])
            read = one.names.dynamic[0]
        elif last != TOP:
            others, read = [last], self._steps[last].names.dynamic[0]
        else:
            return
        for other in others:
            edges.add(Edge(
                source=self._steps[other].step.name, target=one.step.name, kind=EdgeKind.DOUBT, names=(),
                rule="dynamic-code", line=read.line,
                reason=f"{read.name} can read and change anything, so the order of the document is kept.",
                remedy=f"replace {read.name} by plain names",
            ))  # fmt: skip


def _path(state: str) -> str:
    path = state.removeprefix(files.PREFIX)
    return path if path != files.ANY else "any file"
