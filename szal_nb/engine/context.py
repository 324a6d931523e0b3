"""What a running attempt knows of itself, and where what it shows goes.

The context of the attempt that runs on this thread or in this task is in a context variable, so that `print` and
`display` find it wherever they are called.
"""

from __future__ import annotations

import logging
import math
import threading
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NoReturn, Protocol

import msgspec

from szal_nb.engine.terminal import overwritten, printable
from szal_nb.errors import StopRun
from szal_nb.model.said import said
from szal_nb.model.secret import SECRETS, StreamMask
from szal_nb.model.value import ElementEnd, Output

log = logging.getLogger(__name__)


# What an attempt may print, and what it may display, in characters. It goes on after that, but what it shows is
# dropped: no front end could show it, and a record must not fill the disk.
MOST_TEXT = 5_000_000
MOST_DATA = 100_000_000


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

    def traceback(self, context: StepContext, error: BaseException) -> str:  # noqa: ARG002 as `Presenter`
        """Python's own text, from the body's first frame on."""
        return "".join(traceback.format_exception(type(error), error, body_traceback(error)))


def body_traceback(error: BaseException) -> Any:
    """The traceback of `error` from the first frame that is not the engine's; all of it if all of them are."""
    return _frames_of_body(error) or error.__traceback__


def line_in_body(error: BaseException) -> int | None:
    """Where in its cell a body raised `error`; None if it did not."""
    frames = _frames_of_body(error)
    return None if frames is None else frames.tb_lineno


def _frames_of_body(error: BaseException) -> TracebackType | None:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("szal_nb."):
        frames = frames.tb_next
    return frames


class OwnWarnings:
    """What one step, or one thread that belongs to no step, has set inside of `warnings.catch_warnings`."""

    def __init__(self) -> None:
        self.depth = 0
        self.set: dict[str, Any] = {}

    def leave(self) -> None:
        """One of those that were entered is left; with the last of them nothing of it is left.

        Threads of one step may leave in another order than they entered: what is put back last is not what was first.
        """
        self.depth -= 1
        if not self.depth:
            self.set = {}


class StepContext(msgspec.Struct, eq=False, weakref=True):
    """One attempt, seen from inside. `outputs` are what it has shown so far."""

    run_id: str
    step: str
    attempt: int
    presenter: Presenter
    _on_output: Callable[[StepContext], None]
    # Whether a resume runs the step again by itself if its process dies: it is on record, and not marked --once.
    runs_again: bool = False
    outputs: list[Output] = []
    taken: int = 0
    is_closed: bool = False
    # Whether the attempt has been asked to end; long bodies look at it and return.
    cancelled: bool = False
    # How far the body is (done, total, note, elements that ended), until that is recorded.
    progress: tuple[float, float | None, str, list[ElementEnd]] | None = None
    # The devices that the step holds, as CUDA_VISIBLE_DEVICES names them.
    devices: tuple[str, ...] = ()
    # What a person said when the step was approved (`run.approve(step, value)`): plain data.
    answer: Any = None
    # What the step has set inside of `warnings.catch_warnings`.
    own_warnings: OwnWarnings | None = None
    _room_for_text: int = MOST_TEXT
    _room_for_data: int = MOST_DATA
    _masks: dict[str, StreamMask] | None = None

    def cancel(self) -> None:
        """Asks the attempt to end."""
        self.cancelled = True

    def write(self, name: str, text: str) -> None:
        """Adds text to the stream `stdout` or `stderr` of the attempt; after its end the text is dropped."""
        if not text:
            return
        with _LOCK:
            if self.is_closed:
                return
            text = printable(text)
            if SECRETS:
                text = self._masked(name, text)
            is_first = len(self.outputs) == self.taken
            is_added = bool(text) and self._add_text(name, text)
        if is_first and is_added:
            self._on_output(self)

    def _masked(self, name: str, piece: str) -> str:
        if self._masks is None:
            self._masks = {}
        return self._masks.setdefault(name, StreamMask()).feed(piece)

    def _add_text(self, name: str, text: str) -> bool:
        """Whether there was room for the text, or for the note that there is none."""
        last = None if len(self.outputs) == self.taken else self.outputs[-1]
        joins = last is not None and last.type == "stream" and last.name == name and len(last.text) < _JOIN_BELOW
        before = last.text if last is not None and joins else ""
        text = overwritten(before + text) if "\r" in text else before + text
        if not self._has_room(text=len(text) - len(before)):
            return False
        output = Output(type="stream", name=name, text=text)
        if joins:
            self.outputs[-1] = output
        else:
            self.outputs.append(output)
        return True

    def _has_room(self, *, text: int = 0, data: int = 0) -> bool:
        """Takes the room for something to show; the first time that there is none, a note is shown instead."""
        if self._room_for_text < 0 or self._room_for_data < 0:
            return False
        self._room_for_text -= text
        self._room_for_data -= data
        if self._room_for_text >= 0 and self._room_for_data >= 0:
            return True
        note = "\n[szal: this attempt has shown more than a record can hold; the rest is dropped]\n"
        self.outputs.append(Output(type="stream", name="stderr", text=note))
        self._on_output(self)
        return False

    def emit(self, output: Output) -> None:
        """Adds one output; after the attempt's end it is dropped."""
        with _LOCK:
            if self.is_closed or not self._has_room(data=_size_of(output)):
                return
            is_first = len(self.outputs) == self.taken
            self.outputs.append(output)
        if is_first:
            self._on_output(self)

    def report(self, done: float, total: float | None, note: str, ended: ElementEnd | None = None) -> None:
        """Says how far the body is; what comes faster than it can be recorded is left out, but never the last.

        Of the elements that `ended` none is left out.
        """
        is_first = self.progress is None
        elements = [] if self.progress is None else self.progress[3]
        if ended is not None:
            elements.append(ended)
        self.progress = (done, total, note, elements)
        if is_first and not self.is_closed:
            self._on_output(self)

    def take(self, *, close: bool = False) -> tuple[Output, ...]:
        """The outputs since the last call."""
        if not self.outputs and self._masks is None:
            self.is_closed = self.is_closed or close
            return ()
        with _LOCK:
            if close and self._masks is not None:
                for name, mask in self._masks.items():
                    rest = mask.close()
                    if rest:
                        self._add_text(name, rest)
            news = tuple(self.outputs[self.taken :])
            self.taken = len(self.outputs)
            self.is_closed = self.is_closed or close
        return news

    def finish(self) -> None:
        """The body has ended, on its thread: shows what is left to show."""
        try:
            self.presenter.finish(self)
        except Exception:
            log.exception("What step %r showed last could not be caught.", self.step)


def _size_of(output: Output) -> int:
    """About how many characters the output has."""
    return sum(len(part) if isinstance(part, str) else 100 for part in output.data.values())


# Pieces of a stream are joined up to this length, in characters, to keep many small prints cheap.
_JOIN_BELOW = 4096

# One for all attempts: it is held for a moment only, and a lock of its own would cost each step more than it saves.
# A finalizer may print while it is held, on the same thread.
_LOCK = threading.RLock()

CURRENT: ContextVar[StepContext | None] = ContextVar("szal_step", default=None)


def current_context() -> StepContext | None:
    """The attempt that the caller runs in; None outside of a step."""
    return CURRENT.get()


def progress(done: float, total: float | None = None, note: str = "") -> None:
    """Shows how far the running step is: `done` of `total`, with a word on it. Outside of a step nothing happens.

    Numbers of any type. A `done` that is not finite is not shown, such a `total` is not known. Raises TypeError for
    what is no number.
    """
    reached, whole = _finite(done), None if total is None else _finite(total)
    context = CURRENT.get()
    if context is not None and reached is not None:
        context.report(reached, whole, said(note))


def _finite(number: float) -> float | None:
    """The number as an event holds it; None if it is not finite."""
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:
        return None
    except TypeError:
        raise TypeError(f"szal.progress takes numbers, not {number!r}") from None


def stop(reason: str = "") -> NoReturn:
    """Ends the run here, with success: this step completes, and what has not begun is skipped with the reason."""
    raise StopRun(said(reason))
