"""Runs a mapped step: one body for all elements, a bounded number at once, one attempt for the run as a whole.

Where there is a record, what elements give is in it before they count as ended, and is not made again by a resume.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Protocol

from szal_nb.engine.attempt import Attempt, describe
from szal_nb.engine.context import StepContext
from szal_nb.engine.elements import ElementLog, ElementRecord
from szal_nb.engine.fanout import FanOut, elements_of
from szal_nb.engine.signal import AttemptProgress, Signal
from szal_nb.errors import RetryAfter, StepTimeout, StopRun
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import Executor, Step
from szal_nb.model.value import ElementEnd, ErrorInfo, ValueRef

# How many elements of a mapped step run at once where nothing says so.
_COROUTINES = 100
_THREADS = 16
_LINE_CHARS = 300


def room_of_map(step: Step, flow: FlowDefinition, where: Executor, *, is_async: bool) -> int:
    """How many elements of a mapped step run at once: as it says, else as the flow says, else as is sensible."""
    asked = step.max_parallel or flow.max_parallel
    if asked is not None:
        return asked
    if is_async:
        return _COROUTINES
    return (os.cpu_count() or 1) if where is Executor.PROCESS else _THREADS


class _Element(Attempt):
    """One try of one element."""

    element: int = 0
    given: dict[str, Any] | None = None
    problem: BaseException | None = None


class _Runner(Protocol):
    """What is needed of the runner, which owns the attempt as a whole."""

    def inputs_of(self, attempt: Attempt) -> dict[str, Any]: ...

    def must_load(self, attempt: Attempt) -> bool: ...

    def context_of(self, i: int, number: int) -> StepContext: ...

    def begin(self, attempt: Attempt, timeout_s: float | None) -> None: ...

    def elements_of(self, attempt: Attempt) -> ElementRecord | None: ...

    def aside(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None: ...

    def post(self, signal: Signal) -> None: ...

    def now(self) -> float: ...

    def ended_map(self, attempt: Attempt, given: dict[str, Any], error: BaseException | ErrorInfo | None) -> None: ...


class MapRun:
    """One attempt of a mapped step; an `Owner` of the attempts of its elements."""

    def __init__(self, runner: _Runner, attempt: Attempt, step: Step, names: tuple[str, ...], *, at_once: int) -> None:
        self._runner = runner
        self._attempt = attempt
        self._step = step
        self._names = names
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._elements: list[dict[str, Any]] = []
        self._common: dict[str, Any] = {}
        self._under_way: set[_Element] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._fanout = FanOut(step, 0, at_once=at_once)
        self._problem: BaseException | None = None
        self._is_begun = self._is_over = self._is_held = False
        self._resumed = self._told = 0
        self._record = runner.elements_of(attempt)
        self._log: ElementLog | None = None
        attempt.stop = self.tell_to_end

    def start(self) -> None:
        """Begins the first elements."""
        if self._record is not None or self._runner.must_load(self._attempt):
            task = self._loop.create_task(self._load())
            self._attempt.task = task
        else:
            self._begin(self._prepare)

    def _prepare(self) -> dict[int, dict[str, Any]]:
        """Takes in the inputs; what elements have given already."""
        self._common = self._runner.inputs_of(self._attempt)
        self._elements = elements_of(self._step, self._common)
        return {} if self._record is None else self._record.begin(self._common)

    async def _load(self) -> None:
        results = await asyncio.gather(asyncio.to_thread(self._prepare), return_exceptions=True)
        self._attempt.task = None
        found = results[0]
        if isinstance(found, BaseException):
            self._end(found)
        else:
            self._begin(lambda: found)

    def _begin(self, prepare: Callable[[], dict[int, dict[str, Any]]]) -> None:
        try:
            resumed = prepare()
        except Exception as error:  # noqa: BLE001  iterating runs code of the user
            self._end(error)
            return
        seed = f"{self._attempt.context.run_id}/{self._attempt.number}"
        self._fanout = FanOut(self._step, len(self._elements), at_once=self._at_once, seed=seed)
        self._fanout.is_held, self._is_begun = self._is_held, True
        if self._record is not None:
            self._log = ElementLog(self._record, self._loop, self._runner.aside, self._tell)
            self._resume(self._record, self._log, resumed)
        self._go_on()

    def _resume(self, record: ElementRecord, log: ElementLog, resumed: dict[int, dict[str, Any]]) -> None:
        """Takes up where earlier attempts ended."""
        for position, given in resumed.items():
            self._fanout.take(position, given)
        self._resumed = self._told = len(resumed)
        if record.was_cut and not resumed:
            why = record.whole or "the code, or what it reads, is not what it was"
            self._attempt.context.write("stderr", f"[szal: all {self._fanout.count} elements run again: {why}]\n")
        if record.was_cut:
            log.begin()

    def _tell(self, ends: list[ElementEnd], values: tuple[ValueRef, ...], key: str, whole: str) -> None:
        """Has it recorded that elements ended."""
        self._told += len(ends)
        fanout, attempt = self._fanout, self._attempt
        progress = AttemptProgress(
            self._runner.now(),
            attempt.step,
            attempt.number,
            self._told,
            fanout.count,
            self._note(),
            ends,
            values,
            key,
            whole,
        )
        self._runner.post(progress)

    def _note(self) -> str:
        parts = ((self._resumed, "resumed"), (len(self._fanout.failed), "failed"))
        return ", ".join(f"{count} {text}" for count, text in parts if count)

    def _go_on(self) -> None:
        fanout = self._fanout
        for position, number in fanout.starts():
            context = self._runner.context_of(self._attempt.step, self._attempt.number)
            # What the body is told: which try of its element this is.
            context.attempt = number
            context.devices = self._attempt.context.devices
            element = _Element(self, self._attempt.step, number, self._attempt.body, context, element=position)
            self._under_way.add(element)
            self._runner.begin(element, self._step.timeout_s)
        if fanout.is_ended and not self._is_over:
            self._finish()

    def _finish(self) -> None:
        fanout = self._fanout
        if self._problem is not None:
            self._end(self._problem)
        elif self._attempt.context.cancelled:
            self._end(asyncio.CancelledError())
        elif fanout.is_hopeless and fanout.first_error is not None:
            error = fanout.first_error
            where = f"element {fanout.failed[0]} of {fanout.count}"
            self._end(ErrorInfo(**{**_fields(error), "message": f"{error.message} ({where})"}))
        else:
            self._close(lambda: self._runner.ended_map(self._attempt, self._columns(), None))

    def _columns(self) -> dict[str, Any]:
        """What the step gives: a list for each name that all elements can have given."""
        gone = self._record.gone if self._record is not None else ()
        return {name: column for name, column in self._fanout.columns(self._names).items() if name not in gone}

    def _end(self, error: BaseException | ErrorInfo) -> None:
        self._close(lambda: self._runner.ended_map(self._attempt, {}, error), is_kept=True)

    def _close(self, then: Callable[[], None], *, is_kept: bool = False) -> None:
        self._is_over = True
        if self._log is None:
            then()
        else:
            # If the step completes, its own values hold what the last elements gave.
            self._log.close(then, is_kept=is_kept)

    def hold(self, *, is_held: bool) -> None:
        """The run is paused, or goes on: elements that run end as they would, but no others begin meanwhile."""
        self._is_held = self._fanout.is_held = is_held
        if not is_held and self._is_begun and not self._is_over:
            self._go_on()

    def tell_to_end(self) -> None:
        """The attempt as a whole is to end."""
        self._fanout.stop()
        for timer in self._timers:
            timer.cancel()
        for element in tuple(self._under_way):
            element.tell_to_end()
        if not self._under_way and not self._is_over:
            self._loop.call_soon(self._go_on)

    # As `Owner` of the elements

    def must_load(self, attempt: Attempt) -> bool:  # noqa: ARG002 as `Owner`
        """As `Owner`: the inputs are there."""
        return False

    def inputs_of(self, attempt: Attempt) -> dict[str, Any]:
        """As `Owner`: what all elements read, and this one's own."""
        assert isinstance(attempt, _Element)  # noqa: S101 only elements are begun here
        return {**self._common, **self._elements[attempt.element]}

    def must_keep(self, attempt: Attempt, given: dict[str, Any]) -> bool:  # noqa: ARG002 as `Owner`
        """As `Owner`: values are kept when all are there."""
        return False

    def complete(self, attempt: Attempt, given: dict[str, Any]) -> None:
        """As `Owner`."""
        attempt.given = given  # type: ignore[attr-defined]

    def fail(self, attempt: Attempt, error: BaseException) -> None:
        """As `Owner`."""
        attempt.problem = error  # type: ignore[attr-defined]

    def is_current(self, attempt: Attempt) -> bool:
        """As `Owner`."""
        return attempt in self._under_way

    def end(self, attempt: Attempt, signal: Signal | None) -> None:  # noqa: ARG002 as `Owner`
        """As `Owner`."""
        assert isinstance(attempt, _Element)  # noqa: S101 as in `inputs_of`
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt not in self._under_way:
            return
        self._under_way.discard(attempt)
        whole = self._attempt.context
        for output in attempt.context.take(close=True):
            whole.emit(output)
        fanout = self._fanout
        if attempt.problem is None:
            ended: ElementEnd | None = fanout.completed(attempt.element, attempt.given or {})
        else:
            ended = self._failed(attempt, attempt.problem)
        if self._log is None:
            whole.report(fanout.done, fanout.count, self._note(), ended)
        elif ended is not None:
            self._log.ended(ended, attempt.given or {} if attempt.problem is None else None)
        self._go_on()

    def _failed(self, element: _Element, error: BaseException) -> ElementEnd | None:
        """How the element ended; None if it is tried again, or ended because it was told to."""
        fanout = self._fanout
        if isinstance(error, StopRun):
            self._problem = self._problem or error
            fanout.ended_unheard(element.element)
            self.tell_to_end()
            return None
        if isinstance(error, asyncio.CancelledError) and element.context.cancelled and not element.is_timed_out:
            fanout.ended_unheard(element.element)
            return None
        if element.is_timed_out and self._step.timeout_s is not None:
            error = StepTimeout(self._step.name, self._step.timeout_s)
        info = describe(error, element.context)
        after_s = error.seconds if isinstance(error, RetryAfter) else None
        delay_s = fanout.failed_once(element.element, info, after_s)
        if delay_s is not None:
            self._wait(element.element, delay_s)
            return None
        if fanout.is_hopeless:
            self.tell_to_end()
        line = str(info).partition("\n")[0][:_LINE_CHARS]
        return ElementEnd(element.element, element.number, error=line or info.type)

    def _wait(self, element: int, delay_s: float) -> None:
        def due() -> None:
            self._timers.discard(timer)
            self._fanout.due(element)
            self._go_on()

        timer = self._loop.call_later(delay_s, due)
        self._timers.add(timer)


def _fields(error: ErrorInfo) -> dict[str, Any]:
    return {name: getattr(error, name) for name in error.__struct_fields__}
