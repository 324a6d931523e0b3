"""Carries out what the machine decides, on the running event loop. Write, act, show: in this order, in each turn.

Signals come from bodies, timers and people; they are handed to the machine, its events go to the journal, then its
actions are carried out, then the sinks are shown the events. Signals that arrive while the journal is writing are
joined into the next turn: one turn, one transaction. Without a journal a turn is taken at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from szal_nb.engine.body import Body
from szal_nb.engine.capture import captured_streams
from szal_nb.engine.context import CURRENT, PlainPresenter, Presenter, StepContext, body_traceback
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.signal import (
    AttemptCancelled,
    AttemptCompleted,
    AttemptFailed,
    AttemptOutput,
    Begin,
    CancelAttempt,
    ConditionEvaluated,
    EndRun,
    EvaluateCondition,
    RetryDue,
    SetTimer,
    Signal,
    StartAttempt,
    TimedOut,
    Turn,
)
from szal_nb.engine.worker import WorkerPool
from szal_nb.errors import RetryAfter, RunError, StepTimeout
from szal_nb.model.event import Event
from szal_nb.model.state import RunSnapshot, StepSnapshot
from szal_nb.model.step import Executor
from szal_nb.model.value import ErrorInfo, ValueRef

Sink = Callable[[Sequence[Event]], None]

log = logging.getLogger(__name__)

# How long a cancelled body may take to end before it is abandoned, and a timed-out coroutine, in seconds.
_CANCEL_GRACE_S = 0.25
_TIMEOUT_GRACE_S = 5.0
# How often what running bodies show is recorded, in seconds.
_OUTPUT_EVERY_S = 0.15


def _no_conditions(text: str, names: Mapping[str, Any], snapshot: RunSnapshot) -> bool:
    raise RunError(f"This run was not given the means to evaluate the condition {text!r}.")


class Journal(Protocol):
    """Where a run is recorded."""

    async def append(self, events: Sequence[Event]) -> None:
        """Returns when the events are committed; raises StoreError if they are not."""

    def keep(
        self, step: str, attempt: int, values: Mapping[str, object], needed: Collection[str]
    ) -> tuple[ValueRef, ...]:
        """Makes the values ready to be committed with the step's completion. Called in a worker thread."""
        ...

    def load(self, ref: ValueRef) -> object:
        """The value that was kept. Called in a worker thread."""
        ...


class _Attempt:
    """An attempt under way."""

    __slots__ = ("context", "is_timed_out", "number", "task", "timer")

    def __init__(self, number: int, context: StepContext) -> None:
        self.number = number
        self.context = context
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_timed_out = False


class Runner:
    """One run on the current event loop. `bodies` are in the order of the graph's nodes.

    `evaluate` answers a step's condition from the names it reads. `values` are the objects that steps of this
    process gave, by step index and name; `kept` are references to those that an earlier process recorded.
    """

    def __init__(
        self,
        machine: RunMachine,
        bodies: Sequence[Body],
        *,
        run_id: str,
        inputs: Mapping[str, Any],
        epoch: int = 1,
        snapshot: RunSnapshot | None = None,
        kept: Mapping[tuple[int, str], ValueRef] | None = None,
        journal: Journal | None = None,
        evaluate: Callable[[str, Mapping[str, Any], RunSnapshot], bool] = _no_conditions,
        presenter: Presenter | None = None,
        sinks: Sequence[Sink] = (),
        pool: WorkerPool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.machine = machine
        self.run_id = run_id
        # The steps are there before the record is: who has just started a run may ask for one at once.
        self.snapshot = snapshot if snapshot is not None else _nothing_yet(machine)
        self.values: dict[tuple[int, str], Any] = {}
        self.sinks: list[Sink] = list(sinks)
        self._bodies = bodies
        self._inputs = dict(inputs)
        self.input_refs: tuple[ValueRef, ...] = ()
        self._epoch = epoch
        self._kept = dict(kept or {})
        self._journal = journal
        self._evaluate = evaluate
        self._presenter: Presenter = presenter or PlainPresenter()
        self._pool = pool or WorkerPool()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._attempts: dict[int, _Attempt] = {}
        self._inbox: list[Signal] = []
        self._news = asyncio.Event()
        self._from_threads: deque[tuple[int, _Attempt, Sequence[Signal]]] = deque()
        self._is_draining = False
        self._flushing: set[StepContext] = set()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._bindings = [
            [
                (b.name, None if b.step is None else machine.index[b.step], b.source or b.name, b.is_optional)
                for b in node.bindings
            ]
            for node in machine.graph.nodes
        ]

    async def run(self) -> None:
        """Runs to the end. Raises only what kept the record from being written; nothing runs on then."""
        timeout_s = self.machine.graph.flow.timeout_s
        timer = None
        if timeout_s is not None:
            timer = self._loop.call_later(timeout_s, lambda: self.post(TimedOut(self._clock(), timeout_s)))
        with captured_streams():
            try:
                self.post(Begin(self._clock(), self.input_refs, self._epoch))
                if self._journal is None:
                    await self._ended
                else:
                    await self._pump(self._journal)
            finally:
                if timer is not None:
                    timer.cancel()
                self._abandon_all()

    def post(self, signal: Signal) -> None:
        """Takes in a signal, on the loop's thread."""
        if self._ended.done():
            return
        if self._journal is None:
            turn = self.machine.handle((signal,))
            self._act(turn)
            self._show(turn.events)
        else:
            self._inbox.append(signal)
            self._news.set()

    def _drain(self) -> None:
        """Takes in the attempts that ended in threads; those that end close together are taken in together."""
        self._is_draining = False
        queue = self._from_threads
        while queue:
            self._end_attempt(*queue.popleft())

    async def _pump(self, journal: Journal) -> None:
        while not self._ended.done():
            await self._news.wait()
            self._news.clear()
            signals, self._inbox = self._inbox, []
            turn = self.machine.handle(signals)
            if turn.events:
                await journal.append(turn.events)
            self._act(turn)
            self._show(turn.events)

    def _show(self, events: Sequence[Event]) -> None:
        apply = self.snapshot.apply
        for event in events:
            apply(event)
        for sink in self.sinks if events else ():
            try:
                sink(events)
            except Exception:
                log.exception("What shows run %s failed; the run itself goes on.", self.run_id)

    def _act(self, turn: Turn) -> None:
        for action in turn.actions:
            match action:
                case StartAttempt():
                    self._start(action.step, action.attempt)
                case SetTimer():
                    self._loop.call_later(action.delay_s, self._retry_due, action)
                case CancelAttempt():
                    self._cancel(action.step, action.attempt)
                case EvaluateCondition():
                    self._pool.submit(partial(contextvars.copy_context().run, self._judge, action.step))
                case EndRun():
                    self._ended.set_result(None)

    def _retry_due(self, timer: SetTimer) -> None:
        self.post(RetryDue(self._clock(), timer.step, timer.attempt))

    # Attempts

    def _start(self, i: int, number: int) -> None:
        step = self.machine.steps[i]
        context = StepContext(self.run_id, step.name, number, self._presenter, self._noticed)
        attempt = self._attempts[i] = _Attempt(number, context)
        if self._bodies[i].is_async:
            attempt.task = self._loop.create_task(self._run_async(i, attempt))
        elif step.executor is Executor.MAIN or self.machine.graph.nodes[i].is_main_thread:
            self._loop.call_soon(self._run_here, i, attempt, context=contextvars.copy_context())
        else:
            self._pool.submit(partial(contextvars.copy_context().run, self._run_in_thread, i, attempt))
        if step.timeout_s is not None:
            attempt.timer = self._loop.call_later(step.timeout_s, self._time_out, i, attempt, step.timeout_s)

    async def _run_async(self, i: int, attempt: _Attempt) -> None:
        CURRENT.set(attempt.context)
        body = self._bodies[i]
        try:
            if self._kept and self._needs_loading(i):
                inputs = await asyncio.to_thread(self._gather, i)
            else:
                inputs = self._gather(i)
            given = await body.call(inputs)  # type: ignore[misc]
            if self._journal is not None and given:
                signal: Signal = await asyncio.to_thread(self._completed, i, attempt, given)
            else:
                signal = self._completed(i, attempt, given)
        except BaseException as error:  # noqa: BLE001  whatever a body throws is the outcome of its attempt
            signal = self._failed(i, attempt, error)
        self._finish(attempt)
        self._end_attempt(i, attempt, self._with_output(i, attempt, signal))

    def _run_here(self, i: int, attempt: _Attempt) -> None:
        self._end_attempt(i, attempt, self._run_sync(i, attempt))

    def _run_in_thread(self, i: int, attempt: _Attempt) -> None:
        self._from_threads.append((i, attempt, self._run_sync(i, attempt)))
        if not self._is_draining:
            self._is_draining = True
            self._on_loop(self._drain)

    def _run_sync(self, i: int, attempt: _Attempt) -> Sequence[Signal]:
        CURRENT.set(attempt.context)
        try:
            given = self._bodies[i].call(self._gather(i))
            signal: Signal = self._completed(i, attempt, given)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001  whatever a body throws is the outcome of its attempt
            signal = self._failed(i, attempt, error)
        self._finish(attempt)
        return self._with_output(i, attempt, signal)

    def _end_attempt(self, i: int, attempt: _Attempt, signals: Sequence[Signal]) -> None:
        if attempt.timer is not None:
            attempt.timer.cancel()
        if self._attempts.get(i) is attempt:
            del self._attempts[i]
            for signal in signals:
                self.post(signal)

    def _finish(self, attempt: _Attempt) -> None:
        try:
            attempt.context.presenter.finish(attempt.context)
        except Exception:
            log.exception("What step %r showed last could not be caught.", attempt.context.step)

    def _with_output(self, i: int, attempt: _Attempt, signal: Signal) -> Sequence[Signal]:
        shown = attempt.context.take(close=True)
        if not shown:
            return (signal,)
        return (AttemptOutput(signal.at, i, attempt.number, shown), signal)

    def _needs_loading(self, i: int) -> bool:
        return any(
            source is not None and (source, name) not in self.values and (source, name) in self._kept
            for _, source, name, _ in self._bindings[i]
        )

    def _gather(self, i: int) -> dict[str, Any]:
        """The inputs of step `i` by their local names; loads what an earlier process kept."""
        inputs: dict[str, Any] = {}
        for local, source, name, is_optional in self._bindings[i]:
            if source is None:
                if name in self._inputs:
                    inputs[local] = self._inputs[name]
            elif (source, name) in self.values:
                inputs[local] = self.values[source, name]
            elif (source, name) in self._kept and self._journal is not None:
                inputs[local] = self.values[source, name] = self._journal.load(self._kept[source, name])
            elif not is_optional:
                giver = self.machine.names[source]
                raise NameError(f"name {name!r} is not defined: step {giver!r} ended without giving it")
        return inputs

    def _completed(self, i: int, attempt: _Attempt, given: dict[str, Any]) -> AttemptCompleted:
        at = self._clock()
        refs: tuple[ValueRef, ...] = ()
        if self._journal is not None and given:
            node = self.machine.graph.nodes[i]
            refs = self._journal.keep(node.step.name, attempt.number, given, node.needed)
        if not attempt.context.is_closed:
            for name, value in given.items():
                self.values[i, name] = value
        return AttemptCompleted(at, i, attempt.number, refs)

    def _failed(self, i: int, attempt: _Attempt, error: BaseException) -> Signal:
        at = self._clock()
        step = self.machine.steps[i]
        if isinstance(error, asyncio.CancelledError) and attempt.context.cancelled and not attempt.is_timed_out:
            return AttemptCancelled(at, i, attempt.number)
        if attempt.is_timed_out and step.timeout_s is not None:
            error = StepTimeout(step.name, step.timeout_s)
        retry_after_s = error.seconds if isinstance(error, RetryAfter) else None
        return AttemptFailed(at, i, attempt.number, describe(error, attempt.context), retry_after_s)

    def _time_out(self, i: int, attempt: _Attempt, timeout_s: float) -> None:
        if self._attempts.get(i) is not attempt:
            return
        attempt.is_timed_out = True
        attempt.context.cancel()
        if attempt.task is not None:
            attempt.task.cancel()
            self._loop.call_later(_TIMEOUT_GRACE_S, self._abandon, i, attempt, timeout_s)
        else:
            self._abandon(i, attempt, timeout_s)

    def _cancel(self, i: int, number: int) -> None:
        attempt = self._attempts.get(i)
        if attempt is None or attempt.number != number:
            return
        attempt.context.cancel()
        if attempt.task is not None:
            attempt.task.cancel()
        self._loop.call_later(_CANCEL_GRACE_S, self._abandon, i, attempt, None)

    def _abandon(self, i: int, attempt: _Attempt, timeout_s: float | None) -> None:
        """Waits no longer for a body that does not end; what it still does reaches nobody."""
        if self._attempts.get(i) is not attempt:
            return
        at = self._clock()
        signal: Signal = AttemptCancelled(at, i, attempt.number)
        if timeout_s is not None:
            error = StepTimeout(attempt.context.step, timeout_s)
            signal = AttemptFailed(at, i, attempt.number, describe(error, attempt.context))
        self._end_attempt(i, attempt, self._with_output(i, attempt, signal))

    def _abandon_all(self) -> None:
        for attempt in self._attempts.values():
            attempt.context.cancel()
            attempt.context.take(close=True)
            if attempt.timer is not None:
                attempt.timer.cancel()
            if attempt.task is not None:
                attempt.task.cancel()
        self._attempts.clear()

    # Conditions and outputs

    def _judge(self, i: int) -> None:
        """Evaluates the condition of step `i`, in a worker thread: it may look at large values."""
        step = self.machine.steps[i]
        holds, failure = False, None
        try:
            holds = self._evaluate(step.when or "", {**self._inputs, **self._gather(i)}, self.snapshot)
        except Exception as error:  # noqa: BLE001  values of any type may throw anything when compared
            failure = ErrorInfo(type=type(error).__name__, message=str(error), names=_names(error))
        signal = ConditionEvaluated(self._clock(), i, holds, failure)
        self._on_loop(self.post, signal)

    def _noticed(self, context: StepContext) -> None:
        """A body has shown something, on whatever thread."""
        self._on_loop(self._flush_later, context)

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # An abandoned body outlived the loop: there is nobody left to tell.
            if not self._loop.is_closed():
                raise

    def _flush_later(self, context: StepContext) -> None:
        if context not in self._flushing:
            self._flushing.add(context)
            self._loop.call_later(_OUTPUT_EVERY_S, self._flush, context)

    def _flush(self, context: StepContext) -> None:
        self._flushing.discard(context)
        if not context.is_closed:
            shown = context.take()
            if shown:
                self.post(AttemptOutput(self._clock(), self.machine.index[context.step], context.attempt, shown))


def _nothing_yet(machine: RunMachine) -> RunSnapshot:
    flow = machine.graph.flow
    steps = {name: StepSnapshot(name=name) for name in machine.names}
    return RunSnapshot(flow=flow.name, version=flow.version, steps=steps)


def describe(error: BaseException, context: StepContext) -> ErrorInfo:
    """What the record keeps of an exception that a body raised."""
    frames = body_traceback(error)
    try:
        text = context.presenter.traceback(context, error)
    except Exception as broken:  # noqa: BLE001  an exception's own methods are user code
        text = f"The traceback could not be shown: {type(broken).__name__}: {broken}"
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001  as above
        message = f"<its text could not be made: {type(broken).__name__}>"
    return ErrorInfo(
        type=type(error).__name__,
        message=message,
        traceback=text,
        names=_names(error),
        line=frames.tb_lineno if frames is not None else None,
    )


def _names(error: BaseException) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for base in type(error).__mro__:
        if base is not object and base is not BaseException:
            names[base.__name__] = None
            names[f"{base.__module__}.{base.__qualname__}"] = None
    return tuple(names)
