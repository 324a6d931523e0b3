"""The classes that the recorded values which a run goes on with are instances of, found by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from szal_nb.errors import ClassChanged
from szal_nb.model.graph import FlowGraph
from szal_nb.model.value import ValueRef
from szal_nb.store.loading import main_module
from szal_nb.store.pickling import class_in
from szal_nb.store.runs import RunJournal


class Classes:
    """Finds the classes of a run by name: those that its steps gave, else those that the notebook defines.

    `given` is what the record has of its steps. A class that has `changed` is refused.
    """

    def __init__(
        self,
        graph: FlowGraph,
        journal: RunJournal,
        definitions: Mapping[str, Any],
        given: Mapping[str, Sequence[ValueRef]],
        changed: Collection[str] = (),
    ) -> None:
        self._changed = changed
        self._journal = journal
        self._definitions = definitions
        # The last giver of a name wins; its reference says what kind of thing it gave.
        self._given = {
            ref.name: ref for node in graph.nodes for ref in given.get(node.step.name, ()) if ref.hash is not None
        }

    def __call__(self, name: str) -> type | None:
        """The class of this qualified name; None if there is none."""
        first, *rest = name.split(".")
        found: object = None
        ref = self._given.get(first)
        if ref is not None:
            found = self._journal.load(ref)
        for part in rest:
            found = getattr(found, part, None)
        found = found if isinstance(found, type) else class_in(main_module(), self._definitions)(name)
        if found is not None and ref is None:
            for each in found.__mro__:
                if each.__name__ in self._changed:
                    raise ClassChanged(each.__name__, self._journal.run_id)
        return found
