"""What a running attempt knows of itself, and where what it shows goes.

The context of the attempt that runs on this thread or in this task is in a context variable, so that `print` and
`display` find it wherever they are called.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from szal_nb.model.value import Output


class Presenter(Protocol):
    """How values and errors are turned into something to look at; the notebook has its own."""

    def show(self, context: StepContext, value: Any) -> None:
        """Shows the value of a body's last expression."""

    def finish(self, context: StepContext) -> None:
        """Is called on the body's thread when it has ended, also after an error: shows what is left to show."""

    def traceback(self, context: StepContext, error: BaseException) -> str:
        """The traceback as text, without the engine's own frames."""


class PlainPresenter:
    """For scripts: values by their `repr`, tracebacks as Python prints them."""

    def show(self, context: StepContext, value: Any) -> None:
        """Shows `repr(value)`."""
        context.emit(Output(type="execute_result", data={"text/plain": repr(value)}))

    def finish(self, context: StepContext) -> None:
        """Nothing is left to show."""

    def traceback(self, context: StepContext, error: BaseException) -> str:
        """Python's own text, from the body's first frame on."""
        return "".join(traceback.format_exception(type(error), error, body_traceback(error)))


def body_traceback(error: BaseException) -> Any:
    """The traceback of `error` from the first frame that is not the engine's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("szal_nb."):
        frames = frames.tb_next
    return frames if frames is not None else error.__traceback__


class StepContext:
    """One attempt, seen from inside. `outputs` are what it has shown so far."""

    __slots__ = (
        "_cancelled",
        "_has_news",
        "_lock",
        "_on_output",
        "attempt",
        "is_closed",
        "outputs",
        "presenter",
        "run_id",
        "step",
        "taken",
    )

    def __init__(
        self,
        run_id: str,
        step: str,
        attempt: int,
        presenter: Presenter,
        on_output: Callable[[StepContext], None],
    ) -> None:
        self.run_id = run_id
        self.step = step
        self.attempt = attempt
        self.presenter = presenter
        self.outputs: list[Output] = []
        self.taken = 0
        self.is_closed = False
        self._cancelled = False
        self._has_news = False
        self._lock = threading.Lock()
        self._on_output = on_output

    @property
    def cancelled(self) -> bool:
        """Whether the attempt has been asked to end; long bodies look at it and return."""
        return self._cancelled

    def cancel(self) -> None:
        """Asks the attempt to end."""
        self._cancelled = True

    def write(self, name: str, text: str) -> None:
        """Adds text to the stream `stdout` or `stderr` of the attempt; after its end the text is dropped."""
        if not text:
            return
        with self._lock:
            if self.is_closed:
                return
            last = self.outputs[-1] if len(self.outputs) > self.taken else None
            if last is not None and last.type == "stream" and last.name == name and len(last.text) < _JOIN_BELOW:
                self.outputs[-1] = Output(type="stream", name=name, text=last.text + text)
            else:
                self.outputs.append(Output(type="stream", name=name, text=text))
        self._announce()

    def emit(self, output: Output) -> None:
        """Adds one output; after the attempt's end it is dropped."""
        with self._lock:
            if self.is_closed:
                return
            self.outputs.append(output)
        self._announce()

    def take(self, *, close: bool = False) -> tuple[Output, ...]:
        """The outputs since the last call."""
        with self._lock:
            news = tuple(self.outputs[self.taken :])
            self.taken = len(self.outputs)
            self._has_news = False
            self.is_closed = self.is_closed or close
        return news

    def _announce(self) -> None:
        if not self._has_news:
            self._has_news = True
            self._on_output(self)


# Pieces of a stream are joined up to this length, in characters, to keep many small prints cheap.
_JOIN_BELOW = 4096

CURRENT: ContextVar[StepContext | None] = ContextVar("szal_step", default=None)


def current_context() -> StepContext | None:
    """The attempt that the caller runs in; None outside of a step."""
    return CURRENT.get()
