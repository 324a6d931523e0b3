"""The exit codes of the program, and what each of them says."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


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
