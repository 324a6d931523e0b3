"""What the notebook's own cells made of its names, apart from what runs have bound to them or changed in place.

A run gives its values to the notebook under their names. The next run of that flow begins nevertheless where a notebook
that is run from the top would: names that its steps give hold for it what they held before, and inputs that an earlier
run changed in place are taken from that run's record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from szal_nb.api.inputs import recorded_inputs
from szal_nb.engine.digest import Digest, TooLargeError, digest
from szal_nb.errors import InvalidParameter, SzalError
from szal_nb.model.value import ValueRef

ABSENT = object()
# Inputs of more bytes than this are not looked at again to see whether a cell has changed them.
_LARGE_BYTES = 1 << 30


class Record(Protocol):
    """Where an earlier run is recorded."""

    def inputs(self, run_id: str) -> dict[str, ValueRef]:
        """What the run took from outside."""
        ...

    def loader(self, run_id: str) -> Any:
        """What loads its values."""
        ...


@dataclass(frozen=True, slots=True)
class _Bound:
    """A value that a run of the flow has bound, and what the notebook had under the name."""

    flow: str
    value: Any
    before: Any


@dataclass(frozen=True, slots=True)
class _Changed:
    """An object of the notebook that a run has changed in place, as it left it; None if it is too large to look at."""

    value: Any
    left: Digest | None
    run_id: str
    record: Record


class OwnNames:
    """See the module. `namespace` is the notebook's."""

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self.namespace = namespace
        self._bound: dict[str, _Bound] = {}
        self._changed: dict[str, _Changed] = {}

    @property
    def given(self) -> Mapping[str, object]:
        """What runs have bound, by name: something else for each time."""
        return self._bound

    def bind(self, flow: str, name: str, value: Any) -> None:
        """A run of the flow gives this value to the notebook; ABSENT takes what is there away."""
        before = self._own(flow, name)
        if value is ABSENT:
            self.namespace.pop(name, None)
        else:
            self.namespace[name] = value
        self._bound[name] = _Bound(flow, value, before)

    def is_given(self, name: str) -> bool:
        """Whether a name holds what a run gave it."""
        bound = self._bound.get(name)
        return bound is not None and self.namespace.get(name, ABSENT) is bound.value

    def executed(self, names: Iterable[str]) -> None:
        """A cell of the notebook has bound these: what they hold is the notebook's own."""
        for name in names:
            self._bound.pop(name, None)
            self._changed.pop(name, None)

    def of(self, flow: str) -> Mapping[str, Any]:
        """The namespace as runs of this flow have left it alone."""
        return _Own(self, flow)

    def _own(self, flow: str, name: str) -> Any:
        value, bound = self.namespace.get(name, ABSENT), self._bound.get(name)
        return bound.before if bound is not None and bound.value is value and bound.flow == flow else value

    def changed(self, flow: str, inputs: Mapping[str, Any], run_id: str, record: Record) -> None:
        """A run of the flow has ended that may have changed these inputs in place; others than ours do not matter."""
        for name, value in inputs.items():
            if self._own(flow, name) is value:
                self._changed[name] = _Changed(value, _looked_at(value), run_id, record)

    def as_they_were(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The inputs as they were before an earlier run changed them in place, and what there is to say of that.

        Raises InvalidParameter for one that was changed by a cell after that.
        """
        known = {
            name: self._changed[name]
            for name, value in inputs.items()
            if name in self._changed and self._changed[name].value is value
        }
        touched = [name for name, one in known.items() if one.left is not None and _looked_at(one.value) != one.left]
        if touched:
            names = ", ".join(touched)
            raise InvalidParameter(
                f"{names}: changed in place by run {known[touched[0]].run_id}, and by a cell since then. What the flow "
                "should begin with cannot be told: execute the cell that makes it again."
            )
        found, notes = dict(inputs), []
        for run_id, record in {one.run_id: one.record for one in known.values()}.items():
            wanted = [name for name, one in known.items() if one.run_id == run_id]
            try:
                kept = recorded_inputs(record.inputs(run_id), record.loader(run_id).load, wanted)
            except SzalError as error:
                names = ", ".join(wanted)
                raise InvalidParameter(
                    f"{names}: changed in place by run {run_id}, whose record does not give it any more ({error}). "
                    "Execute the cell that makes it again."
                ) from error
            found.update(kept)
            lost = [name for name in wanted if name not in kept]
            unseen = [name for name in wanted if name in kept and known[name].left is None]
            if lost:
                notes.append(
                    f"Taken as run {run_id} left it, because it could not be stored before: {', '.join(lost)}. "
                    "Where that matters, execute the cell that makes it again."
                )
            if unseen:
                notes.append(f"Taken from the record of run {run_id}, which changed it in place: {', '.join(unseen)}.")
        return found, notes


class _Own(Mapping[str, Any]):
    def __init__(self, names: OwnNames, flow: str) -> None:
        self._names = names
        self._flow = flow

    def __getitem__(self, name: str) -> Any:
        value = self._names._own(self._flow, name)  # noqa: SLF001 - two halves of one idea
        if value is ABSENT:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys((*self._names.namespace, *self._names._bound))  # noqa: SLF001 - as above
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _looked_at(value: Any) -> Digest | None:
    try:
        return digest(value, limit=_LARGE_BYTES)
    except TooLargeError:
        return None
