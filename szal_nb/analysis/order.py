"""The edges of a flow: who waits for whom, for names, objects changed in place and hidden state; each with its reason.

Objects and hidden states are treated alike: whoever uses one waits for the last step that changed it, whoever
changes one waits for all who used it since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from szal_nb.analysis import files, hidden
from szal_nb.analysis.names import Change, StateUse
from szal_nb.analysis.resolved import Resolved
from szal_nb.model.graph import Edge, EdgeKind
from szal_nb.model.kept import attributes_owner

_DYNAMIC = "everything"
_MODULE = "module "
# Joins the remedies of an edge that has more than one reason: it takes all of them to free the step.
_AND = " and "
_WEAKER = frozenset({"changed-after-reading", "shared-object"})


@dataclass(slots=True)
class _Use:
    """A use of one object or state: by which step, under which name."""

    step: str
    name: str
    line: int | None
    change: Change | None = None
    is_certain: bool = True


@dataclass(slots=True)
class _History:
    """What happened to one object or state so far: its last change, and who used it since."""

    change: _Use | None = None
    users: list[_Use] = field(default_factory=list)


class Edges:
    """Collects edges, one for each pair and kind; the first reason stands, names are joined."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, EdgeKind], Edge] = {}

    def add(self, edge: Edge) -> None:
        """Adds an edge, or its names to the one that is there."""
        if edge.source == edge.target:
            return
        key = (edge.source, edge.target, edge.kind)
        known = self._found.get(key)
        if known is None:
            self._found[key] = edge
            return
        self._found[key] = _joined(known, edge)

    def all(self) -> tuple[Edge, ...]:
        """The edges in the order in which they were found; where data flows, no weaker reason is needed."""
        found = dict(self._found)
        for key, edge in self._found.items():
            if edge.rule in _WEAKER and (flow := (edge.source, edge.target, EdgeKind.DATA)) in found:
                del found[key]
                found[flow] = _with_rules(found[flow], edge)
        return tuple(found.values())


def _joined(known: Edge, edge: Edge) -> Edge:
    """One edge for the reasons of both."""
    known = msgspec.structs.replace(_with_rules(known, edge), is_blocking=known.is_blocking or edge.is_blocking)
    new = tuple(name for name in edge.names if name not in known.names)
    remedies = [one for one in edge.remedy.split(_AND) if one and one not in known.remedy.split(_AND)]
    if not new and not remedies:
        return known
    reason = known.reason
    if edge.reason and edge.reason not in reason:
        reason = f"{reason} {edge.reason}"
    remedy = _AND.join([*([known.remedy] if known.remedy else []), *remedies])
    return msgspec.structs.replace(known, names=known.names + new, reason=reason, remedy=remedy)


def _with_rules(known: Edge, edge: Edge) -> Edge:
    more = tuple(rule for rule in edge.rules if rule not in known.rules)
    return msgspec.structs.replace(known, also=known.also + more) if more else known


def ordering(found: Sequence[Resolved], holds: Mapping[str, set[str]], learns: Mapping[str, set[str]]) -> Edges:
    """The edges of steps that come one after another in this order.

    `holds`: objects with those that may be inside them; `learns`: those with others that they keep but leave alone.
    """
    orderer = Orderer(holds, learns)
    orderer.begin(found)
    for one in found:
        orderer.add(one)
    return orderer.edges


def reach(objects: Iterable[str], *tables: Mapping[str, set[str]]) -> Iterable[str]:
    """These objects and all that the tables say are inside them."""
    if not any(tables):
        return objects
    found = set(objects)
    todo = list(found)
    while todo:
        holder = todo.pop()
        for table in tables:
            new = table.get(holder, set()) - found
            found |= new
            todo += new
    return sorted(found)


class Orderer:
    """Takes in steps one after another, and gathers the edges that lead to them in `edges`."""

    def __init__(self, holds: Mapping[str, set[str]], learns: Mapping[str, set[str]]) -> None:
        self.edges = Edges()
        self.holds = holds
        self.learns = learns
        self.objects: dict[str, _History] = {}
        self.states: dict[str, _History] = {}
        self.files: dict[str, None] = {}
        self.patterns: dict[str, None] = {}
        self.widely_written: set[str] = set()

    def begin(self, found: Iterable[Resolved]) -> bool:
        """What all steps may depend on, when these come next; False if those before should have known of it."""
        written = {use.state for one in found for use in one.names.states if use.is_write}
        new = {
            state
            for state in written
            if state in hidden.PROCESS_WIDE or state.startswith(_MODULE) or attributes_owner(state)
        }
        if any(one.names.dynamic for one in found):
            new.add(_DYNAMIC)
        is_known = new <= self.widely_written
        self.widely_written |= new
        self.process_wide = sorted(self.widely_written & hidden.PROCESS_WIDE)
        self.modules = sorted(state for state in self.widely_written if state.startswith(_MODULE))
        self.owners = {
            state: attributes_owner(state) for state in sorted(self.widely_written) if attributes_owner(state)
        }
        self.is_dynamic = _DYNAMIC in self.widely_written
        return is_known

    def add(self, one: Resolved) -> None:
        """The next step."""
        self._names(one)
        self._objects(one)
        self._states(one)

    def _names(self, one: Resolved) -> None:
        target = one.step.name
        for name, version in one.from_version.items():
            binding = one.bindings[name]
            via = one.vias.get(name, "")
            line = binding.line
            if version.is_doubtful:
                self.edges.add(Edge(
                    source=version.giver, target=target, kind=EdgeKind.DOUBT, names=(name,), rule="changed-in-place",
                    line=line, remedy=f"--pure {name} on {version.giver}",
                    reason=f"{_reads(name, line, via)}, which {version.giver} may change ({version.what}).",
                ))  # fmt: skip
                continue
            how = f", which {version.giver} changes ({version.what})." if version.what else "."
            rule = "changed-in-place" if version.what else (via.lstrip("-") if via.startswith("--") else "reads")
            self.edges.add(Edge(
                source=version.giver, target=target, kind=EdgeKind.DATA, names=(name,), rule=rule, line=line,
                reason=_reads(name, line, via) + how,
            ))  # fmt: skip

    def _objects(self, one: Resolved) -> None:
        target = one.step.name
        for name, objects in one.read_objects.items():
            line = one.bindings[name].line
            for token in reach(objects, self.holds, self.learns):
                history = self.objects.setdefault(token, _History())
                changed = history.change
                version = one.from_version.get(name)
                if (
                    changed is not None
                    and changed.step != target
                    and (version is None or version.giver != changed.step)
                ):
                    self._wait_for_change(target, name, line, changed)
                history.users.append(_Use(target, name, line, is_certain=token in objects))
        # Each change of the step waits for the users before the step, not for its other changes.
        changed_now: dict[str, _History] = {}
        for change, objects in one.changes:
            direct = set(objects)
            for token in reach(objects, self.holds) if change.is_deep else sorted(objects):
                history = self.objects.setdefault(token, _History())
                for user in history.users:
                    if user.step != target:
                        self._wait_for_user(one, change, user, is_direct=token in direct and user.is_certain)
                use = _Use(target, change.name, change.line, change, is_certain=change.is_certain)
                changed_now.setdefault(token, _History(use))
        self.objects.update(changed_now)

    def _wait_for_change(self, target: str, name: str, line: int | None, changed: _Use) -> None:
        what = changed.change.what if changed.change is not None else ""
        is_certain = changed.is_certain and changed.name == name
        verb = "changes" if changed.is_certain else "may change"
        shared = "" if changed.name == name else f", which may be or hold {changed.name}"
        self.edges.add(Edge(
            source=changed.step, target=target, kind=EdgeKind.ORDER if is_certain else EdgeKind.DOUBT, names=(name,),
            rule="shared-object", line=line,
            remedy="" if is_certain else (
                f"copy {name}, so that it is no part of {changed.name}" if changed.is_certain
                else f"--pure {changed.name} on {changed.step}"
            ),
            reason=f"{_reads(name, line, '')}{shared}; {changed.step} {verb} it ({what}).",
        ))  # fmt: skip

    def _wait_for_user(self, one: Resolved, change: Change, user: _Use, *, is_direct: bool) -> None:
        is_certain = change.is_certain and is_direct and user.name == change.name
        verb = "changes" if change.is_certain else "may change"
        whom = change.name if user.name == change.name else f"{change.name}, which {user.name} may be or hold"
        self.edges.add(Edge(
            source=user.step, target=one.step.name, kind=EdgeKind.ORDER if is_certain else EdgeKind.DOUBT,
            names=(change.name,), rule="changed-after-reading", line=change.line or None,
            remedy="" if is_certain else (
                f"copy {user.name}, so that it is no part of {change.name}" if change.is_certain
                else f"--pure {change.name}"
            ), is_blocking=False,
            reason=f"{_line(change.line)}{verb} {whom} in place ({change.what}); {user.step} reads it before that.",
        ))  # fmt: skip

    def _states(self, one: Resolved) -> None:
        names = one.names
        uses = {use.state: use for use in names.states if not use.is_write}
        uses |= {use.state: use for use in names.states if use.is_write}
        if names.has_calls:
            for state in self.process_wide:
                uses.setdefault(state, StateUse(state, 0, is_write=False, what=""))
        for state in self.modules:
            if state.removeprefix(_MODULE) in one.modules:
                uses.setdefault(state, StateUse(state, 0, is_write=False, what=""))
        for state, owner in self.owners.items():
            if owner in one.definitions:
                uses.setdefault(state, StateUse(state, 0, is_write=False, what=owner))
        for use in uses.values():
            self._like_files(one.step.name, use)
        for use in uses.values():
            self._state(one.step.name, use)
        if self.is_dynamic:
            self._dynamic(one)

    def _state(self, target: str, use: StateUse) -> None:
        history = self.states.setdefault(use.state, _History())
        mine = _Use(target, use.what, use.line)
        others = (
            ([history.change] if history.change is not None else []) if not use.is_write or not history.users else []
        )
        others += history.users if use.is_write else []
        is_file = use.state.startswith(files.PREFIX)
        # Settings of the process concern every call: only the step that writes them can be taken out.
        is_own = use.is_write or (bool(use.what) and use.state not in hidden.PROCESS_WIDE)
        for other in others:
            both = f"both use {use.state}" if use.is_write and other.change is None else f"it depends on {use.state}"
            what = f" ({use.what})" if use.what else ""
            self.edges.add(Edge(
                source=other.step, target=target, kind=EdgeKind.ORDER, names=(use.state,), rule="hidden-state",
                line=use.line or other.line or None, is_blocking=is_file and not use.is_write,
                reason=f"{target} waits for {other.step}: {both}{what}.",
                remedy=f"--pure {hidden.spelled(use.state)}{'' if is_own else f' on {other.step}'}",
            ))  # fmt: skip
        if use.is_write:
            self.states[use.state] = _History(mine)
        else:
            history.users.append(mine)

    def _like_files(self, target: str, use: StateUse) -> None:
        """A file whose path is not fully known may be one that another step used under another text."""
        if not use.state.startswith(files.PREFIX):
            return
        is_pattern = files.is_pattern(use.state)
        for state in self.files if is_pattern else self.patterns:
            if state == use.state or not files.may_be_same(use.state, state):
                continue
            history = self.states[state]
            changed = [history.change] if history.change is not None else []
            for other in (*changed, *(history.users if use.is_write else ())):
                self.edges.add(Edge(
                    source=other.step, target=target, kind=EdgeKind.DOUBT, names=(use.state,), rule="hidden-state",
                    line=use.line or other.line or None, is_blocking=not use.is_write,
                    reason=f"{target} waits for {other.step}: {_path(use.state)} may be {_path(state)} ({use.what}).",
                    remedy=f"--pure {use.state}",
                ))  # fmt: skip
        self.files.setdefault(use.state)
        if is_pattern:
            self.patterns.setdefault(use.state)
        self.states.setdefault(use.state, _History())

    def _dynamic(self, one: Resolved) -> None:
        history = self.states.setdefault(_DYNAMIC, _History())
        target = one.step.name
        dynamic = one.names.dynamic
        if not dynamic:
            if history.change is not None:
                self._dynamic_edge(history.change.step, target, history.change.name, history.change.line)
            history.users.append(_Use(target, "", None))
            return
        for other in history.users or ([history.change] if history.change is not None else []):
            self._dynamic_edge(other.step, target, dynamic[0].name, dynamic[0].line)
        self.states[_DYNAMIC] = _History(_Use(target, dynamic[0].name, dynamic[0].line))

    def _dynamic_edge(self, source: str, target: str, what: str, line: int | None) -> None:
        self.edges.add(Edge(
            source=source, target=target, kind=EdgeKind.DOUBT, names=(), rule="dynamic-code", line=line,
            reason=f"{what} can read and change anything, so the order of the document is kept.",
            remedy=f"replace {what} by plain names",
        ))  # fmt: skip


def _path(state: str) -> str:
    return state.removeprefix(files.PREFIX)


def _line(line: int | None) -> str:
    return f"Line {line} " if line else "It "


def _reads(name: str, line: int | None, via: str) -> str:
    if via.startswith("--"):
        return f"{via} names {name}"
    through = f" through {via}()" if via else ""
    return f"{_line(line)}reads {name}{through}"
