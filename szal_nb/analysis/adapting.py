"""What declared functions make of the values of a run that is migrated, one change of version after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from szal_nb.analysis.migration import Carried
from szal_nb.errors import MigrationError
from szal_nb.model.graph import FlowGraph, StepNode


@dataclass(frozen=True, slots=True)
class _Adapted:
    """A step whose values functions make, and the names that it gave in the run."""

    node: StepNode
    carried: Carried
    before: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """What it may have given in a version between."""
        return {*self.before, *self.node.values}


class Adapter:
    """Calls the functions that adapt values. `load` gives all that the run has by name, each time in new objects."""

    def __init__(
        self, steps: Mapping[str, Carried], old: FlowGraph, new: FlowGraph, load: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._steps = {
            name: _Adapted(new.node(name), one, tuple(old.node(one.before).values) if one.before else ())
            for name, one in steps.items()
        }
        self._load = load

    def values_of(self, step: str) -> dict[str, Any]:
        """What a step gives after the migration."""
        one = self._steps[step]
        node, (place, function) = one.node, one.carried.functions[-1]
        between = self._made_before(one, place)
        found = {name: between[name] for name in node.values if name in between}
        found |= _named(node, _called(node, function, {**self._known(one, function, place), **between}))
        lacking = [name for name in node.needed if name not in found]
        if lacking:
            raise MigrationError(f"Step {step!r}: the function that adapts it gave no {', '.join(lacking)}.")
        return found

    def _made_before(self, one: _Adapted, place: int) -> dict[str, Any]:
        """What the functions of earlier changes of version have made of the values of a step."""
        found: dict[str, Any] = {}
        for earlier, function in one.carried.functions:
            if earlier < place:
                known = {**self._known(one, function, earlier), **found}
                found |= _named(one.node, _called(one.node, function, known), one.before)
        return found

    def _known(self, one: _Adapted, function: Callable[..., Any], place: int) -> dict[str, Any]:
        """What a function finds: values of the run, as earlier changes of version left those of other steps."""
        known = dict(self._load())
        asked = inspect.signature(function).parameters.keys()
        for other in self._steps.values():
            if other is not one and not other.names.isdisjoint(asked):
                known |= self._made_before(other, place)
        return known


def _named(node: StepNode, result: Any, before: Sequence[str] = ()) -> dict[str, Any]:
    """What a function returned, by name; a single value has the name that the step gives now, and that it gave."""
    single = [names[0] for names in (before, node.values) if len(names) == 1]
    if isinstance(result, Mapping) and (not single or set(result) <= {*before, *node.values}):
        if len(result) != 1 or not single:
            return dict(result)
        (result,) = result.values()
    if not single:
        raise MigrationError(
            f"Step {node.step.name!r} gives {', '.join(node.values) or 'nothing'}: "
            "the function that adapts it must return a dictionary with these names."
        )
    return dict.fromkeys(single, result)


def _called(node: StepNode, function: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """What the function returns for those of its parameters that are known; one with a default does without."""
    parameters = inspect.signature(function).parameters.values()
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    missing = [one.name for one in named if one.name not in known and one.default is one.empty]
    if missing:
        raise MigrationError(
            f"Step {node.step.name!r}: the function that adapts it asks for {', '.join(missing)}, "
            f"which the run has not. It has {', '.join(known) or 'no values'}."
        )
    if inspect.iscoroutinefunction(function):
        raise MigrationError(f"Step {node.step.name!r}: the function that adapts it is async; write a plain one.")
    taken = [known[one.name] for one in named if one.kind is one.POSITIONAL_ONLY and one.name in known]
    rest = {one.name: known[one.name] for one in named if one.kind is not one.POSITIONAL_ONLY and one.name in known}
    return function(*taken, **rest)
