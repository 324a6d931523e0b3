"""Which class is meant by a name that stands in a record, and by which name a class is recorded.

A notebook may define several classes of one name, one after the other: an instance is of the one that there was.
"""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from szal_nb.analysis.versions import newest_versions
from szal_nb.engine.shared_values import SharedValues
from szal_nb.errors import ClassChanged
from szal_nb.model.graph import FlowGraph
from szal_nb.model.value import ValueRef
from szal_nb.store.class_code import NOTEBOOK
from szal_nb.store.loading import main_module
from szal_nb.store.pickling import OF_STEP, class_in
from szal_nb.store.runs import RunJournal


class Classes:
    """The classes of a run by name: those that its steps gave, else those that the notebook defines.

    `given` is what the record has of its steps. A class of the notebook that has `changed` is refused.
    """

    def __init__(
        self,
        graph: FlowGraph,
        definitions: Mapping[str, Any],
        given: Mapping[str, Sequence[ValueRef]],
        changed: Collection[str] = (),
    ) -> None:
        self._changed = changed
        # What is on record, by step and name, and stays that where its step runs again. May be set at any time.
        self.stays: Collection[tuple[str, str]] = ()
        self._definitions = definitions
        self._givers: dict[str, list[str]] = {}
        for node in graph.nodes:
            for name in node.values:
                self._givers.setdefault(name, []).append(node.step.name)
        self._given = {
            (node.step.name, ref.name): ref
            for node in graph.nodes
            for ref in given.get(node.step.name, ())
            if ref.hash is not None
        }
        # A class that a step changed is one with what it was before.
        self._newest = newest_versions(graph, given)
        self._places = {ref.hash: place for place, ref in reversed(self._given.items())}
        self._known: weakref.WeakKeyDictionary[type, tuple[str, str]] = weakref.WeakKeyDictionary()
        self._living: weakref.WeakValueDictionary[tuple[str, str], type] = weakref.WeakValueDictionary()

    def serve(self, journal: RunJournal) -> None:
        """What this journal records and loads goes by these classes from now on."""
        self._journal = journal
        journal.loader.resolve_class = self
        journal.keeper.classes = self

    def gave(self, step: str, values: Mapping[str, object]) -> None:
        """See `ClassNames`. What is recorded together is of several steps, of which some are recorded later."""
        for name, value in values.items():
            if isinstance(value, type):
                self._give(step, name, value)
            elif isinstance(value, SharedValues):
                for (giver, member), kind in value.values.items():
                    if isinstance(kind, type):
                        self._give(giver, member, kind)

    def took(self, ref: ValueRef, kind: type) -> None:
        """See `ClassNames`."""
        place = self._places.get(ref.hash)
        if place is not None:
            self._note(*place, kind, is_meant=True)

    def _give(self, step: str, name: str, kind: type) -> None:
        if step in self._givers.get(name, ()):
            self._note(step, name, kind, is_meant=(step, name) not in self.stays)

    def _note(self, step: str, path: str, kind: type, *, is_meant: bool) -> None:
        """The class is recorded by this name, and is what the name means if `is_meant`."""
        if kind.__module__ != NOTEBOOK or self._own(kind.__qualname__) is kind:
            return
        if is_meant:
            self._living[step, path] = kind
        if kind in self._known:
            return
        self._known[kind] = step, path
        for name, member in list(vars(kind).items()):
            if isinstance(member, type):
                self._note(step, f"{path}.{name}", member, is_meant=is_meant)

    def name_of(self, kind: type, *, is_class: bool) -> str:
        """See `ClassNames`. What a step gave is stored whole where it is, or is a part of, what is stored."""
        place, name = self._known.get(kind), kind.__qualname__
        if is_class:
            return name if place is None and self._own(name) is kind else ""
        if place is None and self._own(name) is None:
            # It came with another class out of the record, and nobody has asked for it by its name yet.
            first = name.partition(".")[0]
            for step in self._givers.get(first, ()):
                self._of_step(step, first)
            place = self._known.get(kind)
        if place is not None:
            step, path = place
            return f"{path}{OF_STEP}{step}"
        if self._own(name) is None:
            raise pickle.PicklingError(f"its class {name} is none that the notebook or a step gives by this name")
        return name

    def __call__(self, name: str) -> type | None:
        """The class of this name; None if there is none."""
        path, _, step = name.partition(OF_STEP)
        own = None if step else self._own(path)
        for each in own.__mro__ if own is not None else ():
            if each.__name__ in self._changed:
                raise ClassChanged(each.__name__, self._journal.run_id)
        if own is not None:
            return own
        first, *rest = path.split(".")
        found = self._of_step(step, first)
        for part in rest:
            found = getattr(found, part, None)
        return found if isinstance(found, type) else None

    def _own(self, name: str) -> type | None:
        # What an earlier run of this kernel gave is in "__main__" still.
        is_given = name.split(".", maxsplit=1)[0] in self._givers
        return class_in(None if is_given else main_module(), self._definitions)(name)

    def _of_step(self, step: str, name: str) -> object:
        """What the step gave under the name. Where that step is none of this run, its name has been changed."""
        givers = self._givers.get(name, ())
        if step not in givers:
            if step and len(givers) != 1:
                return None
            # A record that does not tell: the last one.
            step = next((one for one in reversed(givers) if self._is_there((one, name))), "")
        place = step, name
        found, ref = self._living.get(place), self._given.get(self._newest.get(place, place))
        return self._journal.load(ref) if found is None and ref is not None else found

    def _is_there(self, place: tuple[str, str]) -> bool:
        return place in self._living or place in self._given
