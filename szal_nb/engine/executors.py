"""Where bodies run: coroutines on the loop, functions on threads or on the loop's own thread.

A coroutine that does not suspend costs no task: one task runs body after body, each in a context of its own, until
one suspends or its slice of time is over. A spare task stands ready whenever bodies are left to begin, so that a body
that suspends holds nobody up. Functions on the loop's thread follow each other in slices in the same way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from types import FrameType
from typing import Any, Protocol

from szal_nb.engine.attempt import UNREADABLE, Attempt
from szal_nb.engine.context import CURRENT, PlainPresenter, StepContext
from szal_nb.engine.process import PROCESSES, ProcessBody
from szal_nb.engine.signal import AttemptCompleted, Signal
from szal_nb.engine.thread_settings import (
    ThreadSettings,
    changed_settings,
    read_thread_settings,
    set_thread_settings,
)
from szal_nb.engine.worker import WorkerPool
from szal_nb.errors import RunError
from szal_nb.model.step import Executor

# How long bodies may follow each other before the loop gets its turn, in seconds.
_SLICE_S = 0.002
# A plain name: looking a member up on its enum costs a good part of what a begin costs.
_MAIN = Executor.MAIN
# How many threads write down what coroutines gave.
_MOST_KEEPERS = 4


class Turns(Protocol):
    """Who takes in what was told. While it `is_serving`, one body follows the other on the loop."""

    is_serving: bool

    def take(self) -> None:
        """The bodies that followed each other have ended: is called before anything else happens on the loop."""
        ...


class Executors:
    """Begins attempts; their owners are told on the loop how they ended. `surroundings` is copied for each body."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: WorkerPool,
        surroundings: Context,
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._loop = loop
        self._pool = pool
        self._surroundings = surroundings
        self._ready: deque[Attempt] = deque()
        self._ready_here: deque[Attempt] = deque()
        self._is_here = False
        self._has_spare = False
        self._is_taking = False
        self._spares: set[asyncio.Task[None]] = set()
        self._from_threads: deque[tuple[Attempt, Signal | None, ThreadSettings]] = deque()
        self._is_draining = False
        self._to_keep: deque[tuple[Attempt, Context, dict[str, Any], ThreadSettings]] = deque()
        self._keepers = 0

    def begin(self, attempt: Attempt, executor: Executor) -> None:
        """Begins the attempt where it belongs: a coroutine always on the loop."""
        if attempt.body.is_async:
            self._ready.append(attempt)
            if not self._is_taking and not self._has_spare:
                self._add_spare()
        elif executor is _MAIN:
            self._ready_here.append(attempt)
            if not self._is_here:
                self._is_here = True
                self._loop.call_soon(self._serve_here)
        elif executor is Executor.PROCESS:
            attempt.body = ProcessBody(attempt, PROCESSES)
            self._begin_on_a_thread(attempt)
        else:
            self._begin_on_a_thread(attempt)

    def complete(self, attempt: Attempt, given: dict[str, Any]) -> None:
        """The attempt gave this; its owner is told on the loop when that is kept."""
        context = self._surroundings.copy()
        if given and attempt.owner.must_keep(attempt, given):
            self._keep(attempt, context, given)
        else:
            attempt.owner.end(attempt, context.run(_complete, attempt, given))

    def on_a_thread(self, job: Callable[[], None]) -> None:
        """Runs `job`, which must not raise, on a worker thread, in a context of its own."""
        self._pool.submit(partial(self._surroundings.copy().run, job))

    def on_loop(self, callback: Callable[..., None], *args: object) -> None:
        """Calls `callback` on the loop's thread soon; to be called on other threads."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # An abandoned body outlived the loop: there is nobody left to tell.
            if not self._loop.is_closed():
                raise

    # Coroutines

    def _add_spare(self) -> None:
        self._has_spare = True
        task = self._loop.create_task(self._serve())
        self._spares.add(task)
        task.add_done_callback(self._spares.discard)

    async def _serve(self) -> None:
        self._has_spare = False
        ready, task = self._ready, asyncio.current_task()
        assert task is not None  # noqa: S101 only tasks are made of this
        slice_ends = self._loop.time() + _SLICE_S
        while ready:
            attempt = ready.popleft()
            if ready and not self._has_spare:
                self._add_spare()
            attempt.task = task
            self._turns.is_serving = True
            rest = self._run_now(attempt)
            if rest is not None:
                self._turns.is_serving = False
                self._turns.take()
                await rest
            elif not ready:
                self._serve_no_more()
            # What a cancellation leaves in a task must not reach another body.
            if attempt.context.cancelled or task.cancelling() or self._loop.time() > slice_ends:
                self._serve_no_more()
                if ready and not self._has_spare:
                    self._add_spare()
                return

    def _take_in(self) -> None:
        """The bodies that followed each other have ended, for now."""
        self._turns.is_serving = False
        self._turns.take()

    def _serve_no_more(self) -> None:
        """As `_take_in`; coroutines that become ready by this are taken up by the task that runs."""
        self._is_taking = True
        try:
            self._take_in()
        finally:
            self._is_taking = False

    def _run_now(self, attempt: Attempt) -> Coroutine[Any, Any, None] | None:
        """Runs the body as far as it goes without waiting; what is left of it if it waits."""
        owner, context = attempt.owner, self._surroundings.copy()
        try:
            if attempt.context.cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 the end of an attempt that never began
            if owner.must_load(attempt):
                return self._load_and_run(attempt, context)
            coroutine, found = context.run(_begin_coroutine, attempt, owner.inputs_of(attempt))
        except BaseException as error:  # noqa: BLE001  whatever a body throws is the outcome of its attempt
            self._threw(attempt, context, error)
            return None
        if coroutine is not None:
            return self._run_on(attempt, context, _Rest(context, coroutine, found))
        self._ended(attempt, context, found)
        return None

    async def _load_and_run(self, attempt: Attempt, context: Context) -> None:
        try:
            inputs, changed = await asyncio.to_thread(_load, attempt, read_thread_settings())
            # What a resume puts back there counts for the body, which runs here.
            set_thread_settings(changed)
            coroutine, found = context.run(_begin_coroutine, attempt, inputs)
        except BaseException as error:  # noqa: BLE001  as in `_run_now`
            self._threw(attempt, context, error)
            return
        if coroutine is not None:
            await self._run_on(attempt, context, _Rest(context, coroutine, found))
        else:
            self._ended(attempt, context, found)

    async def _run_on(self, attempt: Attempt, context: Context, rest: _Rest) -> None:
        try:
            given = await rest
        except BaseException as error:  # noqa: BLE001  as in `_run_now`
            self._threw(attempt, context, error)
        else:
            self._ended(attempt, context, given)

    def _ended(self, attempt: Attempt, context: Context, given: dict[str, Any]) -> None:
        attempt.task = None
        if attempt.timer is not None and self._is_late(attempt):
            context.run(attempt.context.finish)
            self._tell(attempt, _timed_out(attempt))
        elif given and attempt.owner.must_keep(attempt, given):
            self._keep(attempt, context, given)
        elif type(attempt.context.presenter) is PlainPresenter:
            # It has nothing left to show, so nothing of the body's context is needed.
            self._tell(attempt, _outcome(attempt, given))
        else:
            self._tell(attempt, context.run(_complete, attempt, given))

    def _is_late(self, attempt: Attempt) -> bool:
        """Whether its time was over when the body ended: while one holds the loop, no timer can tell."""
        return attempt.timer is not None and self._loop.time() > attempt.timer.when()

    def _threw(self, attempt: Attempt, context: Context, error: BaseException) -> None:
        attempt.task = None
        signal = _failure(attempt, error)
        context.run(attempt.context.finish)
        self._tell(attempt, signal)

    def _tell(self, attempt: Attempt, signal: Signal | None) -> None:
        self._is_taking = True
        try:
            attempt.owner.end(attempt, signal)
        finally:
            self._is_taking = False

    def _keep(self, attempt: Attempt, context: Context, given: dict[str, Any]) -> None:
        """Has a thread write down what a coroutine gave; few threads do so for all of them."""
        self._to_keep.append((attempt, context, given, read_thread_settings()))
        if self._keepers < _MOST_KEEPERS:
            self._keepers += 1
            self._pool.submit(self._keep_all)

    def _keep_all(self) -> None:
        queue = self._to_keep
        while True:
            try:
                attempt, context, given, settings = queue.popleft()
            except IndexError:
                break
            # They are recorded as the body left them.
            set_thread_settings(settings)
            self._from_threads.append((attempt, context.run(_complete, attempt, given), {}))
            self._wake()
        self.on_loop(self._keeper_left)

    def _keeper_left(self) -> None:
        self._keepers -= 1
        if self._to_keep:
            self._keepers += 1
            self._pool.submit(self._keep_all)

    # Functions

    def _serve_here(self) -> None:
        """Runs functions on the loop's thread until none is ready or the slice of time is over."""
        ready, now, surroundings = self._ready_here, self._loop.time, self._surroundings
        slice_ends = now() + _SLICE_S
        while ready and now() <= slice_ends:
            attempt = ready.popleft()
            self._turns.is_serving = True
            signal = surroundings.copy().run(_run_function, attempt)
            if attempt.timer is not None and type(signal) is AttemptCompleted and self._is_late(attempt):
                signal = _timed_out(attempt)
            attempt.owner.end(attempt, signal)
            if not ready:
                self._turns.is_serving = False
                self._turns.take()
        if self._turns.is_serving:
            self._take_in()
        self._is_here = bool(ready)
        if ready:
            self._loop.call_soon(self._serve_here)

    def _begin_on_a_thread(self, attempt: Attempt) -> None:
        self.on_a_thread(partial(self._run_in_thread, attempt, read_thread_settings()))

    def _run_in_thread(self, attempt: Attempt, settings: ThreadSettings) -> None:
        set_thread_settings(settings)
        signal = _run_function(attempt)
        self._from_threads.append((attempt, signal, changed_settings(settings)))
        self._wake()

    def _wake(self) -> None:
        if not self._is_draining:
            self._is_draining = True
            self.on_loop(self._drain)

    def _drain(self) -> None:
        """Takes in the attempts that ended in threads; those that end close together are taken in together."""
        self._is_draining = False
        queue = self._from_threads
        while queue:
            attempt, signal, settings = queue.popleft()
            set_thread_settings(settings)
            attempt.owner.end(attempt, signal)


def _load(attempt: Attempt, settings: ThreadSettings) -> tuple[dict[str, Any], ThreadSettings]:
    """The inputs, and what reading them has set for the thread."""
    set_thread_settings(settings)
    inputs = attempt.owner.inputs_of(attempt)
    return inputs, changed_settings(settings)


def _begin_coroutine(attempt: Attempt, inputs: dict[str, Any]) -> tuple[Coroutine[Any, Any, Any] | None, Any]:
    """The body's coroutine and what it waits for first; None and what it gave if it ended without waiting."""
    CURRENT.set(attempt.context)
    coroutine: Any = attempt.body.call(inputs)
    try:
        return coroutine, coroutine.send(None)
    except StopIteration as end:
        return None, end.value


def _run_function(attempt: Attempt) -> Signal | None:
    owner, context = attempt.owner, attempt.context
    CURRENT.set(context)
    try:
        if context.cancelled:
            raise asyncio.CancelledError  # noqa: TRY301 the end of an attempt that never began
        given: Any = attempt.body.call(owner.inputs_of(attempt))
        signal = owner.complete(attempt, given)
    except BaseException as error:  # noqa: BLE001  whatever a body throws is the outcome of its attempt
        signal = _failure(attempt, error)
    if type(context.presenter) is not PlainPresenter:
        context.finish()
    return signal


def _complete(attempt: Attempt, given: dict[str, Any]) -> Signal | None:
    """What follows from the end of the body, which then has shown all that it shows."""
    signal = _outcome(attempt, given)
    attempt.context.finish()
    return signal


def _outcome(attempt: Attempt, given: dict[str, Any]) -> Signal | None:
    """What follows from the end of the body; writing down what it gave runs code of the user, which may throw."""
    try:
        return attempt.owner.complete(attempt, given)
    except BaseException as error:  # noqa: BLE001  as in `_run_function`
        return _failure(attempt, error)


def _failure(attempt: Attempt, error: BaseException) -> Signal | None:
    """What follows from an exception of the body. To look at one runs code of the user, too, which may throw."""
    try:
        return attempt.owner.fail(attempt, error)
    except BaseException:  # noqa: BLE001  as in `_run_function`
        return attempt.owner.fail(attempt, RunError(UNREADABLE))


def _timed_out(attempt: Attempt) -> Signal | None:
    attempt.is_timed_out = True
    return _failure(attempt, TimeoutError())


def enters_body(frame: FrameType) -> Context | StepContext | None:
    """What tells the attempt whose coroutine runs below this frame; None for any other frame. For any thread."""
    if frame.f_code is _begin_coroutine.__code__:
        attempt: Attempt = frame.f_locals["attempt"]
        return attempt.context
    if frame.f_code is _Rest.__await__.__code__:
        context: Context = frame.f_locals["self"]._context  # noqa: SLF001 - of this module
        return context
    return None


class _Rest:
    """The rest of a coroutine that has begun to wait for `future`, run in its own context inside of the task."""

    __slots__ = ("_context", "_coroutine", "_future")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Any], future: Any) -> None:
        self._context = context
        self._coroutine = coroutine
        self._future = future

    def __await__(self) -> Generator[Any, Any, Any]:
        run, coroutine, future = self._context.run, self._coroutine, self._future
        try:
            while True:
                try:
                    value = yield future
                except GeneratorExit:
                    run(coroutine.close)
                    raise
                except BaseException as error:  # noqa: BLE001  the coroutine decides what it means
                    future = run(coroutine.throw, error)
                else:
                    future = run(coroutine.send, value)
        except StopIteration as end:
            return end.value
