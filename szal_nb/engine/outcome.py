"""How a step ended, as its dependents see it, and what that means for each of them. Pure."""

from __future__ import annotations

from enum import IntEnum

from szal_nb.model.state import StepState
from szal_nb.model.step import Trigger


class Outcome(IntEnum):
    """How a step ended, as its dependents see it."""

    OPEN = 0
    COMPLETED = 1
    # Skipped by a condition or a selection, or failed where it may: stops only those that need its value.
    ABSENT = 2
    # Failed or cancelled, or skipped because of such a step: stops all that wait for it.
    BROKEN = 3


# Members of enums as plain names: looking one up on its class costs more than a comparison, several times a step.
PENDING, RUNNING, RETRYING, WAITING = StepState.PENDING, StepState.RUNNING, StepState.RETRYING, StepState.WAITING
COMPLETED, FAILED, SKIPPED = StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED
CANCELLED, ROLLED_BACK = StepState.CANCELLED, StepState.ROLLED_BACK
IS_OPEN, IS_COMPLETED, IS_ABSENT, IS_BROKEN = Outcome

Verdict = tuple[str, Outcome]

# What `judge` says of a step that starts now.
START: Verdict = ("", Outcome.OPEN)


def judge(
    trigger: Trigger,
    source: str,
    state: StepState,
    outcome: Outcome,
    *,
    is_last: bool,
    is_blocking: bool,
    is_value_needed: bool,
) -> Verdict | None:
    """Whether a step starts, is skipped (reason, outcome) or waits (None), now that `source` ended.

    `is_last`: nothing else is left that it waits for.
    """
    if trigger is Trigger.ALL_DONE:
        return START if is_last else None
    if trigger is Trigger.ANY:
        if outcome is Outcome.COMPLETED:
            return START
        return ("none of its dependencies completed", Outcome.BROKEN) if is_last else None
    if outcome is Outcome.BROKEN and is_blocking:
        return f"{source} {how(state)}", Outcome.BROKEN
    if outcome is Outcome.ABSENT and is_value_needed:
        return f"it needs what {source} gives, which {how(state)}", Outcome.ABSENT
    return START if is_last else None


def how(state: StepState) -> str:
    """The end of a sentence about a step in this state.

    >>> [how(state) for state in (StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED)]
    ['failed', 'was skipped', 'was cancelled']
    """
    return f"was {state.value}" if state in (StepState.CANCELLED, StepState.SKIPPED) else state.value
