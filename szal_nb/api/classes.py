"""The classes that the values of a resumed run are instances of, found by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from szal_nb.errors import ClassChanged
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.store.loading import main_module
from szal_nb.store.pickling import class_in
from szal_nb.store.runs import RunJournal


class Classes:
    """Finds the classes of a resumed run by name: those that its steps gave, else those that the notebook defines."""

    def __init__(
        self,
        graph: FlowGraph,
        journal: RunJournal,
        definitions: Mapping[str, Any],
        snapshot: RunSnapshot,
        changed: Collection[str],
    ) -> None:
        self._changed = changed
        self._journal = journal
        self._definitions = definitions
        # The last giver of a name wins; its reference says what kind of thing it gave.
        self._given = {
            ref.name: ref
            for node in graph.nodes
            for ref in snapshot.steps[node.step.name].values
            if ref.hash is not None
        }

    def __call__(self, name: str) -> type | None:
        """The class of this qualified name; None if there is none."""
        first, *rest = name.split(".")
        found: object = None
        ref = self._given.get(first)
        if ref is not None:
            found = self._journal.load(ref)
        if not isinstance(found, type):
            found = self._definitions.get(first)
        for part in rest:
            found = getattr(found, part, None)
        found = found if isinstance(found, type) else class_in(main_module())(name)
        if found is not None and ref is None:
            for each in found.__mro__:
                if each.__name__ in self._changed:
                    raise ClassChanged(each.__name__, self._journal.run_id)
        return found
