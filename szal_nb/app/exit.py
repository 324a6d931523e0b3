"""The exit codes of the program, and what each of them says."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from szal_nb.errors import StepTimeout
from szal_nb.model.flow import RollbackOn
from szal_nb.model.state import RunSnapshot, RunState, StepState
from szal_nb.store.runs import StoredRun


class ExitCode(IntEnum):
    """What the program's exit tells the shell. `reason` is for `--help`."""

    reason: str

    def __new__(cls, code: int, reason: str) -> Self:
        """A code with its reason."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.reason = reason
        return member

    COMPLETED = 0, "completed"
    FAILED = 1, "a step failed, or a cell of the notebook"
    USAGE = 2, "the command cannot be done as it was given"
    INVALID = 3, "the notebook, its flow or a parameter is not valid; nothing was run"
    WAITING = 4, "the run waits for an approval or an input"
    TIMED_OUT = 124, "a timeout ended the run"
    INTERRUPTED = 130, "the run was interrupted or cancelled"
    KERNEL_DIED = 138, "the kernel died"


def exit_codes_text() -> str:
    """All codes with their reasons, one a line."""
    return "\n".join(f"  {code.value:>3}  {code.reason}" for code in ExitCode)


def exit_of_run(run: StoredRun, snapshot: RunSnapshot) -> ExitCode:
    """The exit code that says how a run stands. One that was undone ends with the code of what began that."""
    match run.state:
        case RunState.COMPLETED:
            return ExitCode.COMPLETED
        case RunState.CANCELLED:
            return ExitCode.INTERRUPTED
        case RunState.PAUSED:
            return ExitCode.WAITING
        case RunState.RUNNING | RunState.CREATED | RunState.ROLLING_BACK:
            return ExitCode.KERNEL_DIED if run.is_crashed else ExitCode.WAITING
    if snapshot.is_timed_out or _is_timeout(snapshot):
        return ExitCode.TIMED_OUT
    return ExitCode.INTERRUPTED if snapshot.undone_on == RollbackOn.CANCEL else ExitCode.FAILED


def _is_timeout(snapshot: RunSnapshot) -> bool:
    errors = [step.error.type for step in snapshot.steps.values() if step.state is StepState.FAILED and step.error]
    return bool(errors) and all(error.rpartition(".")[2] == StepTimeout.__name__ for error in errors)
