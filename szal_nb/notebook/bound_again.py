"""What ordinary cells bind again below a step that uses it: the run has what it is now, for all of its steps.

The notebook that is run from the top would have, at the step, what the cell above it binds. Nobody sees that from the
answer, so the run says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from szal_nb.analysis.surroundings import NameKind, NotebookName
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.notebook.history import Executed, bound_in

_CODE = (NameKind.FUNCTION, NameKind.CLASS, NameKind.CALLABLE)


def bound_again(
    graph: FlowGraph, cell_of: Mapping[str, str], cells: Iterable[Executed], numbers: Mapping[str, int]
) -> list[str]:
    """What to say before a run of the graph, a sentence for each name.

    `cell_of` has the keys of cells by step, `cells` are those that were executed, and `numbers` are those of the cells
    in the saved notebook, by key: of other cells nobody knows where they stand.
    """
    bound: dict[str, list[tuple[int, NotebookName]]] = {}
    for cell in cells:
        for name, known in bound_in(cell.source).items() if cell.key in numbers else ():
            bound.setdefault(name, []).append((numbers[cell.key], known))
    again = {name: sorted(places, key=_number) for name, places in bound.items() if len(places) > 1}
    found: dict[tuple[str, int, int], list[str]] = {}
    for node in graph.nodes if again else ():
        at = numbers.get(cell_of.get(node.step.name, ""))
        if at is None:
            continue
        for name in filter(again.__contains__, _used(node)):
            above = [one for one in again[name] if one[0] < at]
            below = [one for one in again[name] if one[0] > at]
            if above and below and not _is_same(above[-1][1], below[-1][1]):
                found.setdefault((name, above[-1][0], below[-1][0]), []).append(node.step.name)
    return [
        f"{name} is bound again in cell {below}, below {', '.join(steps)}: all steps are given what it is now. "
        f"Run from the top, the notebook would give there what cell {above} makes it: use two names."
        for (name, above, below), steps in found.items()
    ]


def _number(one: tuple[int, NotebookName]) -> int:
    return one[0]


def _used(node: StepNode) -> Sequence[str]:
    """The names that the step takes from the notebook."""
    return (*node.definitions, *(binding.source for binding in node.bindings if binding.step is None))


def _is_same(one: NotebookName, other: NotebookName) -> bool:
    """Whether both are the same code. Of data nobody can tell; what is imported is what it is."""
    if NameKind.MODULE in (one.kind, other.kind):
        return one.kind == other.kind
    return one.kind in _CODE and one.source is not None and one.source == other.source
