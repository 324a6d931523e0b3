"""The values of a run while it runs: the inputs of each step, what steps gave, and what an earlier process kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from szal_nb.analysis.fingerprint import FingerprintBase, key_of_elements
from szal_nb.engine.immutable import is_immutable
from szal_nb.engine.rebuilding import Rebuilding
from szal_nb.engine.usage import Key
from szal_nb.engine.wiring import Wiring
from szal_nb.errors import ClassIsOne, ValueNotStored, ValueUnavailable, ValueUnreadable
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Step
from szal_nb.model.value import ValueRef, is_about_the_process

# A name that a step reads: the name there, the version that it means, and whether it may lack.
Read = tuple[str, Key, bool]


class Journal(Protocol):
    """Where a run is recorded."""

    async def append(self, events: Sequence[Event]) -> None:
        """Returns when the events are committed; raises StoreError if they are not."""

    def keep(
        self, step: str, attempt: int, values: Mapping[str, object], needed: Collection[str]
    ) -> tuple[ValueRef, ...]:
        """Makes the values ready to be committed with the step's completion. Called on the loop only if small."""
        ...

    def load(self, ref: ValueRef) -> object:
        """The value that was kept. Called in a worker thread."""
        ...

    def load_fresh(self, ref: ValueRef) -> object:
        """The value that was kept, in an object that nobody else has. Called in a worker thread."""
        ...


class ValueTable:
    """Values by step index and name. `objects` are those of this process; `kept` are on record and can be loaded."""

    def __init__(
        self,
        graph: FlowGraph,
        inputs: Mapping[str, Any],
        kept: Mapping[tuple[int, str], ValueRef],
        journal: Journal | None,
        rebuilding: Rebuilding | None = None,
    ) -> None:
        self._rebuilding = rebuilding
        # What could not be read of that which is read again before anything runs.
        self.unreadable: ValueUnreadable | None = None
        self.objects: dict[Key, Any] = {}
        self.inputs = dict(inputs)
        # What a later step has begun to change in place: only the record knows what it was.
        self.superseded: set[Key] = set()
        self._kept = dict(kept)
        # Whether some of them were given by another process or run.
        self._is_from_before = bool(kept)
        self.use(journal)
        self.take_inputs(())
        # What the record says of the values that steps have given.
        self._refs: dict[int, dict[str, ValueRef]] = {}
        for (i, name), ref in self._kept.items():
            self._refs.setdefault(i, {})[name] = ref
        self._nodes = graph.nodes
        self._bindings = graph.derived(_bindings_of)
        self._reads = graph.derived(_reads_of)
        self._fingerprints = graph.derived(_fingerprints_of)

    def take_inputs(self, refs: tuple[ValueRef, ...]) -> None:
        """What the record says of the run's inputs."""
        self.input_refs = refs
        self._inputs_by_name = {ref.name: ref for ref in refs}

    def read_late(self, rebuilding: Rebuilding | None) -> None:
        """From now on these steps read some values as they were."""
        self._rebuilding = rebuilding

    def use(self, journal: Journal | None) -> None:
        """The run goes on with this journal."""
        self._journal = journal
        # Whether there is a record to read values from.
        self.is_recorded = journal is not None

    def check_readable(self) -> None:
        """ValueUnreadable if something that counts for all steps could not be read: none of them may go on."""
        if self.unreadable is not None:
            raise ValueUnreadable(self.unreadable.name, self.unreadable.reason) from self.unreadable

    def is_kept(self, i: int, name: str) -> bool:
        """Whether the record of an earlier process has what step `i` gave under `name`."""
        return (i, name) in self._kept

    def must_load(self, i: int) -> bool:
        """Whether an input of step `i` must be read from the record first."""
        if self._rebuilding is not None and self._rebuilding.reads_first(i):
            return True
        # Usually all that is on record was given by this very process.
        return bool(self._is_from_before or self.superseded) and any(
            key not in self.objects and key in self._kept for _, key, _ in self._bindings[i]
        )

    def gather(self, i: int) -> dict[str, Any]:
        """The inputs of step `i` by their local names; loads what an earlier process kept."""
        self.check_readable()
        inputs: dict[str, Any] = {}
        objects: Mapping[Key, Any] = self.objects
        if self._rebuilding is not None and self._rebuilding.reads_first(i):
            self._refuse_classes(i, self._rebuilding)
            objects = {**objects, **self._rebuilding.as_first(i, [key for _, key, _ in self._bindings[i]])}
        for local, key, is_optional in self._bindings[i]:
            try:
                inputs[local] = objects[key]
            except KeyError:
                self._gather_other(inputs, local, key, is_optional=is_optional)
        return inputs

    def _refuse_classes(self, i: int, rebuilding: Rebuilding) -> None:
        """ClassIsOne if step `i` needs a class as it was before it was changed: there is no other one of it."""
        for local, key, _ in self._bindings[i]:
            if rebuilding.is_of_changed_class(i, key):
                raise ClassIsOne(self._nodes[i].step.name, local)

    def _gather_other(self, inputs: dict[str, Any], local: str, key: Key, *, is_optional: bool) -> None:
        """Puts in what no step of this process has given, if it is there."""
        source, name = key
        if source is None:
            if name in self.inputs:
                inputs[local] = self.inputs[name]
        elif (source, name) in self._kept:
            inputs[local] = self.given(source, name)
        elif not is_optional:
            giver = self._nodes[source].step.name
            raise NameError(f"name {name!r} is not defined: step {giver!r} ended without giving it")

    def given(self, i: int, name: str) -> Any:
        """What step `i` gave under `name`; KeyError if it did not."""
        key = (i, name)
        if key not in self.objects and self._journal is not None:
            load = self._journal.load_fresh if key in self.superseded else self._journal.load
            self.objects[key] = load(self._kept[key])
        return self.objects[key]

    def given_names(self, i: int) -> list[str]:
        """The names that step `i` has given."""
        return list(dict.fromkeys(name for j, name in (*self.objects, *self._kept) if j == i))

    def around(self, i: int, names: Collection[str] | None) -> dict[str, Any]:
        """The inputs of step `i` and what it gave, which wins: those of these names (None: all) that are there.

        Recorded ones are read from the record, in objects that nobody has changed since and nobody else has. A live
        value is gone with its process; who does not ask for it need not care.
        """
        read: dict[tuple[str, str | None], Any] = {}
        inputs = self._inputs_by_name
        sources = {local: key for local, key, _ in self._bindings[i]}
        # Code spells the name of a step that holds a hyphen with an underscore.
        sources |= {name.replace("-", "_"): (i, name) for name in self.given_names(i)}
        found = {}
        for local, (source, name) in sources.items():
            if names is not None and local not in names:
                continue
            if source is None:
                if name in self.inputs:
                    found[local] = self._as_recorded(self.inputs[name], inputs.get(name), read)
            elif (source, name) in self.objects or (source, name) in self._kept:
                found[local] = self._as_recorded(self.given(source, name), self._kept.get((source, name)), read)
        return found

    def _as_recorded(self, value: Any, ref: ValueRef | None, read: dict[tuple[str, str | None], Any]) -> Any:
        """`value` as the record has it; `read` are those of one beginning, so that names of one object stay that."""
        if self._journal is None or ref is None or ref.live is not None or is_immutable(value):
            return value
        same = (ref.identity or f"only {ref.name}", ref.hash)
        if same not in read:
            # What cannot be read in this process is here as it is: better than not to undo.
            with suppress(ValueUnavailable):
                read[same] = self._journal.load_fresh(ref)
        return read.get(same, value)

    def must_keep(self, given: Mapping[str, Any]) -> bool:
        """Whether what a step gave must be written down before it counts."""
        return self._journal is not None and bool(given)

    def settle(self, i: int, refs: Iterable[ValueRef]) -> None:
        """What the record says of all that step `i` has given, once it was rebuilt."""
        self._refs[i] = {ref.name: ref for ref in refs}

    def keep(self, i: int | None, attempt: int, given: Mapping[str, Any]) -> tuple[ValueRef, ...]:
        """Writes down what step `i` gave; None: the inputs of the run."""
        if self._journal is None or not given:
            return ()
        if i is None:
            return self._journal.keep("", attempt, given, tuple(given))
        refs = self._journal.keep(self._nodes[i].step.name, attempt, given, self._nodes[i].needed)
        self._refs[i] = {ref.name: ref for ref in refs}
        return refs

    def keep_aside(
        self, i: int | None, attempt: int, values: Mapping[str, Any], *, is_needed: bool
    ) -> tuple[ValueRef, ...]:
        """Writes down what will stand in for a part of what step `i` gives. There must be a journal."""
        assert self._journal is not None  # noqa: S101 as it says
        step = "" if i is None else self._nodes[i].step.name
        return self._journal.keep(step, attempt, values, tuple(values) if is_needed else ())

    def load_aside(self, ref: ValueRef) -> Any:
        """What `keep_aside` wrote down, in an object of its own."""
        assert self._journal is not None  # noqa: S101 as above
        return self._journal.load_fresh(ref)

    def take(self, i: int, refs: Sequence[ValueRef]) -> None:
        """Step `i` has given what another run has on record."""
        self._is_from_before = True
        self._refs[i] = {ref.name: ref for ref in refs}
        self._kept.update({(i, ref.name): ref for ref in refs if ref.live is None})

    def read(self, i: int) -> dict[str, ValueRef]:
        """What the record says of all that step `i` reads, by its local names."""
        inputs = self._inputs_by_name
        found = {}
        for local, (source, name), _ in self._reads[i]:
            ref = inputs.get(name) if source is None else self._refs.get(source, {}).get(name)
            if ref is not None:
                found[local] = ref
        return found

    def fingerprint(self, i: int) -> str:
        """The fingerprint of step `i` with all that it reads; "" where there is no record, or it cannot be told."""
        return "" if self._journal is None else self._fingerprints[i](self.read(i))

    def key_of_elements(self, i: int) -> str:
        """What must be equal for the elements of mapped step `i` to be the same; "" where it cannot be told."""
        return key_of_elements(self._nodes[i], self.read(i))

    def put(self, i: int, given: Mapping[str, Any], refs: Sequence[ValueRef]) -> None:
        """Step `i` has given these values, which are on record as `refs` say."""
        for name, value in given.items():
            self.objects[i, name] = value
            if self.superseded:
                self.superseded.discard((i, name))
        for ref in refs:
            if ref.name in given and ref.live is None:
                self._kept[i, ref.name] = ref


def _bindings_of(graph: FlowGraph) -> list[tuple[Read, ...]]:
    """As `_reads_of`, without what only a step's condition reads under a name that code cannot spell."""
    return [
        tuple(read for read in reads if "." not in read[0]) if any("." in read[0] for read in reads) else reads
        for reads in graph.derived(_reads_of)
    ]


def _fingerprints_of(graph: FlowGraph) -> list[FingerprintBase]:
    return list(map(FingerprintBase, graph.nodes))


def _reads_of(graph: FlowGraph) -> list[tuple[Read, ...]]:
    """The names that each step reads."""
    index = graph.derived(Wiring).index
    return [
        tuple(
            (b.name, (None if b.step is None else index[b.step], b.source or b.name), b.is_optional)
            for b in node.bindings
        )
        for node in graph.nodes
    ]


def check_kept(step: Step, refs: Iterable[ValueRef]) -> None:
    """Refuses, for a step marked `--once` or `--strict`, a value that a later step needs and that is only live."""
    for ref in refs:
        if ref.needed and ref.live is not None and not is_about_the_process(ref.name):
            raise ValueNotStored(step.name, ref.name, ref.live, "--once" if step.once else "--strict")
