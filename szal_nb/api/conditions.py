"""What the condition of a step sees of the run: the step's names, the inputs, the other steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from szal_nb.analysis.condition import compile_condition
from szal_nb.model.state import RunSnapshot, StepSnapshot


def condition_holds(
    text: str,
    names: Mapping[str, Any],
    inputs: Mapping[str, Any],
    snapshot: RunSnapshot,
    output_of: Callable[[str], Any],
) -> bool:
    """The condition's answer over the step's names, the run's inputs and the other steps of the run."""
    condition = compile_condition(text)
    steps = {name: _facts_of(snapshot.steps[name]) for name in condition.steps}
    for name in condition.outputs:
        with suppress(KeyError):
            steps[name]["output"] = output_of(name)
    return condition.evaluate({**names, "steps": steps, "inputs": inputs})


def _facts_of(step: StepSnapshot) -> dict[str, Any]:
    return {
        "status": step.state.value,
        "error": None if step.error is None else str(step.error),
        "attempts": len(step.attempts),
        "duration": step.duration_s,
    }
