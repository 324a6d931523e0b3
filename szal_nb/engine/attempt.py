"""One call of a body under way, and what the record keeps of an exception that it raised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from szal_nb.engine.body import Body
from szal_nb.engine.context import StepContext, line_in_body
from szal_nb.engine.signal import Signal
from szal_nb.engine.terminal import printable
from szal_nb.model.value import ErrorInfo


class Owner(Protocol):
    """Who an attempt is made for: gives it its inputs, and is told how it ended."""

    def must_load(self, attempt: Attempt) -> bool:
        """Whether the inputs must be read from a record first, which is done off the loop."""
        ...

    def inputs_of(self, attempt: Attempt) -> dict[str, Any]:
        """The inputs of the body by their local names. Called on the loop, or on any thread if `must_load`."""
        ...

    def must_keep(self, attempt: Attempt, given: dict[str, Any]) -> bool:
        """Whether what was given must be written down first, which is done off the loop."""
        ...

    def complete(self, attempt: Attempt, given: dict[str, Any]) -> Signal | None:
        """What follows from the end of the body. Called on its thread, or on any thread if `must_keep`."""
        ...

    def fail(self, attempt: Attempt, error: BaseException) -> Signal | None:
        """What follows from an exception of the body. Called on its thread."""
        ...

    def is_current(self, attempt: Attempt) -> bool:
        """Whether the attempt is still waited for. Called on the loop."""
        ...

    def end(self, attempt: Attempt, signal: Signal | None) -> None:
        """The attempt is over. Called on the loop."""


class Attempt(msgspec.Struct, eq=False):
    """One call of a body. `stop` ends it from outside where that is possible (a process)."""

    owner: Owner
    step: int
    number: int
    body: Body
    context: StepContext
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    is_timed_out: bool = False
    # The step as a whole took too long, not this attempt alone: there is no next one.
    is_overdue: bool = False
    stop: Callable[[], None] | None = None

    def tell_to_end(self) -> None:
        """Asks the body to end: a coroutine by a cancellation, a process by a kill, a thread through its context."""
        self.context.cancel()
        if self.task is not None:
            self.task.cancel()
        if self.stop is not None:
            self.stop()


UNREADABLE = "The body raised an exception that raises another when it is looked at."


class RemoteFailure(Exception):
    """A body failed in another process; `info` is what that process says of it."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info)
        self.info = info


def describe(error: BaseException, context: StepContext) -> ErrorInfo:
    """What the record keeps of an exception that a body raised."""
    if isinstance(error, RemoteFailure):
        return error.info
    try:
        text = context.presenter.traceback(context, error)
    except BaseException as broken:  # noqa: BLE001  an exception's own methods are user code
        text = f"The traceback could not be shown: {type(broken).__name__}"
    return ErrorInfo(
        type=type(error).__name__,
        message=message_of(error),
        traceback=printable(text),
        names=names_of(error),
        line=line_in_body(error),
    )


# A longer message is somebody's data; the record keeps its beginning, in characters.
_LONGEST_MESSAGE = 10_000


def message_of(error: BaseException) -> str:
    """The text of an exception, whatever its `__str__` does."""
    try:
        text = printable(str(error))
        return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}… ({len(text):,} characters)"
    except BaseException as broken:  # noqa: BLE001  an exception's own methods are user code
        return f"<its text could not be made: {type(broken).__name__}>"


def names_of(error: BaseException) -> tuple[str, ...]:
    """The class of an exception and its bases, plain and dotted."""
    names: dict[str, None] = {}
    for base in type(error).__mro__:
        if base is not object and base is not BaseException:
            names[base.__name__] = None
            names[f"{base.__module__}.{base.__qualname__}"] = None
    return tuple(names)
