"""Carries out what the machine decides, on the running event loop: the only owner of attempts and timers.

Signals come from bodies, timers and people; `engine.turns` takes them to the machine, and what it decides comes back.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from szal_nb.engine.attempt import Attempt, names_of
from szal_nb.engine.body import Body
from szal_nb.engine.cached_properties import lock_free_properties
from szal_nb.engine.capture import captured_streams
from szal_nb.engine.conditions import Conditions, Evaluate, no_conditions
from szal_nb.engine.context import PlainPresenter, Presenter, StepContext
from szal_nb.engine.device import DeviceSlots
from szal_nb.engine.elements import ElementRecord
from szal_nb.engine.executors import Executors
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.mapping import MapRun
from szal_nb.engine.own_warnings import own_warnings
from szal_nb.engine.placement import Placement
from szal_nb.engine.rebuilding import Rebuilding
from szal_nb.engine.showing import Showing
from szal_nb.engine.signal import (
    AttemptCompleted,
    AttemptFailed,
    AttemptOutput,
    AttemptProgress,
    Begin,
    CancelAttempt,
    EndRun,
    EvaluateCondition,
    Given,
    Hold,
    Overdue,
    Reopen,
    RetryDue,
    SetDeadline,
    SetTimer,
    Signal,
    StartAttempt,
    StartRollback,
    TimedOut,
    Turn,
    Wake,
    WakeAfter,
)
from szal_nb.engine.step_owner import Earlier, StepOwner
from szal_nb.engine.turns import Sink, Turns
from szal_nb.engine.undoing import Undoing
from szal_nb.engine.usage import Key
from szal_nb.engine.values import Journal
from szal_nb.engine.worker import THREADS, WorkerPool
from szal_nb.errors import StepTimeout
from szal_nb.model.state import RunSnapshot, RunState, not_begun
from szal_nb.model.value import ErrorInfo, ValueRef

# How long a cancelled body may take to end before it is abandoned, and a timed-out coroutine, in seconds.
CANCEL_GRACE_S = 0.25
_TIMEOUT_GRACE_S = 5.0


class Runner(StepOwner):
    """One run on the current event loop. `bodies` are in the order of the graph's nodes.

    `evaluate` answers a step's condition. `values` are the objects that steps of this
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
        rollbacks: Mapping[int, Body] | None = None,
        devices: DeviceSlots | None = None,
        journal: Journal | None = None,
        earlier: Earlier | None = None,
        evaluate: Evaluate = no_conditions,
        presenter: Presenter | None = None,
        sinks: Sequence[Sink] = (),
        pool: WorkerPool | None = None,
        clock: Callable[[], float] = time.time,
        rebuilding: Rebuilding | None = None,
    ) -> None:
        self.run_id = run_id
        self._bodies = bodies
        self.epoch = epoch
        super().__init__(
            machine, inputs, kept or {}, journal=journal, earlier=earlier, clock=clock, rebuilding=rebuilding
        )
        self.watch.states.definitions = bodies
        self._conditions = Conditions(machine, self._table, evaluate, clock)
        self._presenter: Presenter = presenter or PlainPresenter()
        self._loop = asyncio.get_running_loop()
        placement = machine.graph.derived(Placement)
        self._where, self._is_usual = placement.where, placement.usual
        self._map_room = placement.rooms(bodies)
        flow = machine.graph.flow
        self.turns = Turns(
            machine,
            # The steps are there before the record is: who has just started a run may ask for one at once.
            snapshot if snapshot is not None else not_begun(flow.name, flow.version, machine.names),
            sinks,
            self._act,
            run_id=run_id,
            journal=journal,
            may_wait=placement.are_on_the_loop(bodies),
        )
        self.snapshot, self.post = self.turns.snapshot, self.turns.post
        self._executors = Executors(self._loop, pool or THREADS, contextvars.copy_context(), self.turns)
        self._devices = devices if devices is not None and devices.weights else None
        self._asked = placement.asked
        self._runs_again = [journal is not None and not step.once for step in machine.steps]
        self._attempts: dict[int, Attempt] = {}
        self._maps: dict[int, MapRun] = {}
        self._deadlines: dict[int, asyncio.TimerHandle] = {}
        self._goes_straight = self._devices is None and earlier is None
        self._undoing = Undoing(self, rollbacks or {}, self._table)
        self._noticed = Showing(self._executors.on_loop, self.post, machine.index, clock).noticed

    @property
    def input_refs(self) -> tuple[ValueRef, ...]:
        """What the record says of the run's inputs."""
        return self._table.input_refs

    @input_refs.setter
    def input_refs(self, refs: tuple[ValueRef, ...]) -> None:
        self._table.take_inputs(refs)

    @property
    def values(self) -> dict[Key, Any]:
        """The objects that steps of this process gave, by step index and name."""
        return self._table.objects

    async def run(self) -> None:
        """Runs to the end. Raises only what kept the record from being written; nothing runs on then."""
        await self._run(Begin(self._clock(), self.input_refs, self.epoch))

    async def run_again(self, step: int, journal: Journal | None, epoch: int) -> None:
        """Goes on, under a new epoch, with one step of a run that has ended and what was skipped because of it."""
        self.epoch, self.turns.journal = epoch, journal
        self._table.use(journal)
        self.watch.use(None if journal is None else journal.load_fresh)
        await self._run(Reopen(self._clock(), step, epoch))

    async def _run(self, first: Signal) -> None:
        timeout_s = self.machine.graph.flow.timeout_s
        timer = None
        if timeout_s is not None:
            timer = self._loop.call_later(timeout_s, lambda: self.post(TimedOut(self._clock(), timeout_s)))
        with captured_streams(), own_warnings(), lock_free_properties():
            try:
                await self.turns.run(first)
            finally:
                if timer is not None:
                    timer.cancel()
                self._abandon_all()

    def _act(self, turn: Turn) -> None:
        for action in turn.actions:
            match action:
                case StartAttempt():
                    self._start(action.step, action.attempt)
                case SetTimer() | SetDeadline() | WakeAfter():
                    self._set_timer(action)
                case CancelAttempt():
                    self._cancel(action.step, action.attempt)
                case EvaluateCondition():
                    self._executors.on_a_thread(partial(self._judge, action.step))
                case StartRollback():
                    self._undoing.start(action.step, action.attempt)
                case Hold():
                    self._hold(action)
                case EndRun():
                    self.turns.end()

    def _set_timer(self, action: SetTimer | SetDeadline | WakeAfter) -> None:
        timer = self._loop.call_later(action.delay_s, _DUE[type(action)], self, action)
        if isinstance(action, SetDeadline):
            # If the step is tried again when its run has ended, its time begins anew.
            if action.step in self._deadlines:
                self._deadlines[action.step].cancel()
            self._deadlines[action.step] = timer

    def _judge(self, i: int) -> None:
        """Evaluates the condition of step `i`, in a worker thread: it may look at large values."""
        self._executors.on_loop(self.post, self._conditions.answer(i, self.snapshot))

    def _retry_due(self, timer: SetTimer) -> None:
        self.post(RetryDue(self._clock(), timer.step, timer.attempt))

    def _hold(self, hold: Hold) -> None:
        for mapped in self._maps.values():
            mapped.hold(is_held=hold.is_held)

    def _wake(self, _: WakeAfter) -> None:
        self.post(Wake(self._clock()))

    def _overdue(self, deadline: SetDeadline) -> None:
        attempt = self._attempts.get(deadline.step)
        if attempt is not None:
            attempt.is_overdue = True
            self._time_out(attempt, deadline.delay_s)
        else:
            error = StepTimeout(self.machine.names[deadline.step], deadline.delay_s)
            info = ErrorInfo(type="StepTimeout", message=str(error), names=names_of(error))
            self.post(Overdue(self._clock(), deadline.step, info))

    # Attempts

    def elements_of(self, attempt: Attempt) -> ElementRecord | None:
        """The record of the elements of a mapped step; None where nothing is recorded."""
        if self.turns.journal is None:
            return None
        i = attempt.step
        earlier = self.snapshot.steps[self.machine.names[i]]
        return ElementRecord(self._table, self.watch, i, self.machine.graph.nodes[i], earlier)

    def aside(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Runs `job`, which must not raise, on a worker thread, and calls `then` with its result on the loop."""
        self._executors.on_a_thread(lambda: self._executors.on_loop(then, job()))

    def _start(self, i: int, number: int) -> None:
        name, runs_again = self.machine.names[i], self._runs_again[i]
        context = StepContext(self.run_id, name, number, self._presenter, self._noticed, runs_again)
        attempt = self._attempts[i] = Attempt(self, i, number, self._bodies[i], context)
        if self._goes_straight and self._is_usual[i]:
            self._executors.begin(attempt, self._where[i])
            return
        if i in self._asked:
            context.answer = self._answer_of(i)
        if self._devices is not None:
            context.devices = self._devices.held_by(i)
        is_again = self._rebuilding is not None and i in self._rebuilding
        if self._earlier is not None and not is_again and self._earlier.may_have(self.machine.names[i]):
            self._executors.on_a_thread(partial(self._look, attempt))
        else:
            self._begin(attempt)

    def _begin(self, attempt: Attempt) -> None:
        """Begins an attempt that nothing earlier stands for."""
        i = attempt.step
        step = self.machine.steps[i]
        if step.map:
            mapped = MapRun(self, attempt, step, self.machine.graph.nodes[i].gives, at_once=self._map_room[i])
            self._maps[i] = mapped
            mapped.hold(is_held=self.machine.run_state is RunState.PAUSED)
            mapped.start()
        else:
            self.begin(attempt, step.timeout_s)

    def ended_map(self, attempt: Attempt, given: dict[str, Any], error: BaseException | ErrorInfo | None) -> None:
        """All elements of a mapped step have ended; their tries are over too."""
        if isinstance(error, ErrorInfo):
            failed = AttemptFailed(self._clock(), attempt.step, attempt.number, error, is_final=True)
            self.end(attempt, failed)
        elif error is not None:
            signal = self.fail(attempt, error)
            self.end(
                attempt, msgspec.structs.replace(signal, is_final=True) if isinstance(signal, AttemptFailed) else signal
            )
        else:
            self._executors.complete(attempt, given)

    def _look(self, attempt: Attempt) -> None:
        """Looks for what stands for the attempt, on a worker thread."""
        self._executors.on_loop(self._looked, attempt, self.look(attempt))

    def _looked(self, attempt: Attempt, found: Given | None) -> None:
        if self._attempts.get(attempt.step) is not attempt:
            return
        if found is None or attempt.context.cancelled:
            self._begin(attempt)
            return
        self._table.take(attempt.step, found.values)
        self.watch.take(attempt.step, found.values)
        signal = AttemptCompleted(
            self._clock(),
            attempt.step,
            attempt.number,
            found.values,
            fingerprint=found.fingerprint,
            origin=found.origin,
            taken_from=found.taken_from,
        )
        self.end(attempt, signal)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def context_of(self, i: int, number: int) -> StepContext:
        """What attempt `number` of step `i` knows of itself."""
        name, runs_again = self.machine.names[i], self._runs_again[i]
        context = StepContext(self.run_id, name, number, self._presenter, self._noticed, runs_again)
        context.answer = self._answer_of(i) if i in self._asked else None
        return context

    def _answer_of(self, i: int) -> Any:
        text = self.snapshot.steps[self.machine.names[i]].answer
        return None if text is None else msgspec.json.decode(text)

    def begin(self, attempt: Attempt, timeout_s: float | None) -> None:
        """Begins an attempt where its step belongs, and looks at the clock for it."""
        self._executors.begin(attempt, self._where[attempt.step])
        if timeout_s is not None:
            attempt.timer = self._loop.call_later(timeout_s, self._time_out, attempt, timeout_s)

    def end(self, attempt: Attempt, signal: Signal | None) -> None:
        """As `Owner`."""
        if attempt.timer is not None:
            attempt.timer.cancel()
        if self._attempts.get(attempt.step) is not attempt:
            return
        del self._attempts[attempt.step]
        if self._maps:
            self._maps.pop(attempt.step, None)
        context = attempt.context
        shown, progress = context.take(close=True), context.progress
        if shown:
            self.post(AttemptOutput(self._clock(), attempt.step, attempt.number, shown))
        if progress is not None:
            self.post(AttemptProgress(self._clock(), attempt.step, attempt.number, *progress))
        if signal is not None:
            self.post(signal)

    def _time_out(self, attempt: Attempt, timeout_s: float) -> None:
        if not attempt.owner.is_current(attempt):
            return
        attempt.is_timed_out = True
        attempt.tell_to_end()
        if attempt.body.is_async:
            self._loop.call_later(_TIMEOUT_GRACE_S, self._abandon, attempt, timeout_s)
        else:
            self._abandon(attempt, timeout_s)

    def is_current(self, attempt: Attempt) -> bool:
        """As `Owner`."""
        return self._attempts.get(attempt.step) is attempt

    def _cancel(self, i: int, number: int) -> None:
        attempt = self._attempts.get(i)
        if attempt is None or attempt.number != number:
            return
        attempt.tell_to_end()
        self._loop.call_later(CANCEL_GRACE_S, self._abandon, attempt, None)

    def _abandon(self, attempt: Attempt, timeout_s: float | None) -> None:
        """Waits no longer for a body that does not end; what it still does reaches nobody."""
        if not attempt.owner.is_current(attempt):
            return
        self.watch.abandon(attempt.step)
        error: BaseException = (
            asyncio.CancelledError() if timeout_s is None else StepTimeout(attempt.context.step, timeout_s)
        )
        attempt.owner.end(attempt, attempt.owner.fail(attempt, error))

    def _abandon_all(self) -> None:
        for attempt in (*self._attempts.values(), *self._undoing.under_way()):
            attempt.context.take(close=True)
            if attempt.timer is not None:
                attempt.timer.cancel()
            attempt.tell_to_end()
        self._attempts.clear()


# What follows when a timer is due.
_DUE: dict[type, Callable[[Runner, Any], None]] = {
    SetTimer: Runner._retry_due,  # noqa: SLF001 of this module
    SetDeadline: Runner._overdue,  # noqa: SLF001 of this module
    WakeAfter: Runner._wake,  # noqa: SLF001 of this module
}
