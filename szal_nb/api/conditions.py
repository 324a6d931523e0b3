"""What the condition of a step sees of the run: the step's names, the inputs, the other steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from szal_nb.analysis.condition import compile_condition
from szal_nb.errors import RunError, StoreError
from szal_nb.model.state import RunSnapshot, StepSnapshot
from szal_nb.store.runs import RunStore

# Of a step that was not run here, the step as the run has it that its values come from.
Origin = Callable[[StepSnapshot], StepSnapshot]


def condition_holds(
    text: str,
    names: Mapping[str, Any],
    inputs: Mapping[str, Any],
    snapshot: RunSnapshot,
    output_of: Callable[[str], Any],
    *,
    origin: Origin | None = None,
) -> bool:
    """The condition's answer over the step's names, the run's inputs and the other steps of the run."""
    condition = compile_condition(text)
    steps: dict[str, Any] = {name: _Facts(snapshot.steps[name], origin) for name in condition.steps}
    for name in condition.outputs:
        with suppress(KeyError):
            steps[name].told["output"] = output_of(name)
    return condition.evaluate({**names, "steps": steps, "inputs": inputs})


def conditions_of(store: RunStore | None) -> Callable[..., bool]:
    """As `condition_holds`, for runs of this store: some of their steps may have run in others."""
    return condition_holds if store is None else partial(condition_holds, origin=partial(_origin_in, store))


class _Facts(Mapping[str, Any]):
    """What a condition may ask about a step. How it was run is looked up in the run that ran it."""

    def __init__(self, step: StepSnapshot, origin: Origin | None) -> None:
        self._step = step
        self._origin = origin
        self.told: dict[str, Any] = {
            "status": step.state.value,
            "error": None if step.error is None else str(step.error),
        }

    def __getitem__(self, name: str) -> Any:
        if name == "attempts":
            return len(self._ran().attempts)
        return self._ran().duration_s if name == "duration" else self.told[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.told, "attempts", "duration"))

    def __len__(self) -> int:
        return len(self.told) + 2

    def _ran(self) -> StepSnapshot:
        return self._origin(self._step) if self._step.taken_from and self._origin is not None else self._step


def _origin_in(store: RunStore, step: StepSnapshot) -> StepSnapshot:
    """The step in the run that ran it; it may have had another name there."""
    found, seen = step, set[str]()
    while found.taken_from:
        run_id = found.taken_from
        try:
            then = store.snapshot(run_id).steps if run_id not in seen else {}
        except StoreError:
            then = {}
        seen.add(run_id)
        same = [one for one in then.values() if one.fingerprint and one.fingerprint == found.fingerprint]
        before = then.get(found.name) or (same[0] if len(same) == 1 else None)
        if before is None:
            raise RunError(
                f"How step {step.name!r} was run is not on record: its values come from run {run_id}, which is gone. "
                f"Run it again: --from {step.name}."
            )
        found = before
    return found
