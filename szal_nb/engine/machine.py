"""Every decision of a run: signals in, a turn of events and actions out. Pure, synchronous, no clock.

Rules. A step starts the moment its trigger is met and its limits have room; never before its dependencies ended.
Among steps that wait for room the one with the longest remaining path goes first. A failed step skips what depends
on it; a step that was skipped or may fail (`--on-error continue`) skips only those that need its value. A turn's
events are recorded before its actions are carried out. Signals of attempts that are no longer current are ignored.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from szal_nb.engine.signal import (
    Action,
    Answer,
    AttemptCancelled,
    AttemptCompleted,
    AttemptFailed,
    AttemptOutput,
    Begin,
    Cancel,
    CancelAttempt,
    ConditionEvaluated,
    EndRun,
    EvaluateCondition,
    Given,
    Interrupt,
    Pause,
    RetryDue,
    SetTimer,
    Signal,
    StartAttempt,
    TimedOut,
    Turn,
    Unpause,
)
from szal_nb.model.event import (
    CancelRequested,
    Event,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
    RunUnpaused,
    StepAnswered,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.graph import EdgeKind, FlowGraph
from szal_nb.model.state import RunState, StepState
from szal_nb.model.step import OnError, Trigger
from szal_nb.model.value import ErrorInfo, ValueRef

_UNDER_WAY = (RunState.RUNNING, RunState.PAUSED)


class Outcome(IntEnum):
    """How a step ended, as its dependents see it."""

    OPEN = 0
    COMPLETED = 1
    # Skipped by a condition or a selection, or failed where it may: stops only those that need its value.
    ABSENT = 2
    # Failed or cancelled, or skipped because of such a step: stops all that wait for it.
    BROKEN = 3


# Members of enums as plain names: looking one up on its class costs more than a comparison, several times a step.
_PENDING, _RUNNING, _RETRYING, _WAITING, _COMPLETED, _FAILED, _SKIPPED, _CANCELLED = (
    StepState.PENDING,
    StepState.RUNNING,
    StepState.RETRYING,
    StepState.WAITING,
    StepState.COMPLETED,
    StepState.FAILED,
    StepState.SKIPPED,
    StepState.CANCELLED,
)
_IS_OPEN, _IS_COMPLETED, _IS_ABSENT, _IS_BROKEN = Outcome

# What `_judge` says of a step that starts now.
_START = ("", _IS_OPEN)


class Limit:
    """Room for some number of attempts at once, with the steps that wait for it, longest remaining path first."""

    __slots__ = ("free", "waiting")

    def __init__(self, size: int) -> None:
        self.free = size
        self.waiting: list[tuple[int, int]] = []


class RunMachine:
    """Decides for one run. `handle` is the only way in.

    `given` maps steps to what they complete with, without running; `skipped` maps steps that
    were not selected to the reason. `limits` are pairs of a size and the indices of the steps that share it.
    """

    def __init__(
        self,
        graph: FlowGraph,
        *,
        given: Mapping[str, Given] | None = None,
        skipped: Mapping[str, str] | None = None,
        limits: Iterable[tuple[int, Iterable[int]]] = (),
        seed: str = "",
    ) -> None:
        self.graph = graph
        self.names = [node.step.name for node in graph.nodes]
        self.steps = [node.step for node in graph.nodes]
        self.index = {name: i for i, name in enumerate(self.names)}
        count = len(self.names)
        self.state = [_PENDING] * count
        self.run_state = RunState.CREATED
        self._seed = seed
        self._given = {self.index[name]: value for name, value in (given or {}).items()}
        self._skipped = {self.index[name]: reason for name, reason in (skipped or {}).items()}
        self._outcome = [_IS_OPEN] * count
        self._attempt = [0] * count
        self._base_attempt = [0] * count
        self._is_settled_by_condition = [not step.when for step in self.steps]
        self._is_approved = [step.approve is None for step in self.steps]
        self._is_triggered = [False] * count
        # The usual step: starts when all its dependencies completed, with nothing else to hold it.
        self._is_plain = [
            step.trigger in (Trigger.ALL, Trigger.NONE_FAILED) and step.when is None and step.approve is None
            for step in self.steps
        ]
        self._is_evaluating = [False] * count
        self._open_count = count
        self._running = 0
        self._failures: list[str] = []
        self._is_cancelling = False
        self._cancel_reason = ""
        self._is_timed_out = False
        self._resume: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._ready: list[tuple[int, int]] = []
        self._held: list[int] = []
        self._events: list[Event] = []
        self._actions: list[Action] = []
        self._wire(limits)

    def _wire(self, limits: Iterable[tuple[int, Iterable[int]]]) -> None:
        index, count = self.index, len(self.names)
        self._successors: list[list[tuple[int, bool, bool]]] = [[] for _ in range(count)]
        self._blockers = [0] * count
        value_needed = {
            (index[binding.step], i)
            for i, node in enumerate(self.graph.nodes)
            for binding in node.bindings
            if binding.step is not None and not binding.is_optional
        }
        # What belongs to a parent is not run without it, as if it needed a value.
        value_needed |= {(index[e.source], index[e.target]) for e in self.graph.edges if e.kind is EdgeKind.PARENT}
        blocking = {(index[edge.source], index[edge.target]) for edge in self.graph.edges if edge.is_blocking}
        for target, sources in self.graph.dependencies.items():
            i = index[target]
            self._blockers[i] = len(sources)
            for source in sources:
                pair = (index[source], i)
                self._successors[pair[0]].append((i, pair in blocking or pair in value_needed, pair in value_needed))
        # The heap gives the smallest first: the step with the longest path behind it.
        self._urgency = [-length for length in _remaining_path(self._successors, self._blockers)]
        # Where all that wait for a step are usual: just them, for the short way through `_settle`.
        self._plain_targets = [
            [target for target, _, _ in targets] if all(self._is_plain[target] for target, _, _ in targets) else None
            for targets in self._successors
        ]
        self._limits: list[list[Limit]] = [[] for _ in range(count)]
        if self.graph.flow.max_parallel is not None:
            limits = [(self.graph.flow.max_parallel, range(count)), *limits]
        for size, members in limits:
            limit = Limit(size)
            for i in members:
                self._limits[i].append(limit)

    def resume_from(
        self,
        completed: Mapping[str, tuple[ValueRef, ...]],
        attempts: Mapping[str, int],
        *,
        reset: Sequence[str],
        rebuilt: Sequence[str],
        approved: Iterable[str] = (),
    ) -> None:
        """Puts the machine where a record ends, before `Begin`: `reset` steps run again, `completed` ones do not."""
        self._resume = (tuple(reset), tuple(rebuilt))
        for name, attempt in attempts.items():
            self._attempt[self.index[name]] = self._base_attempt[self.index[name]] = attempt
        for name in approved:
            self._is_approved[self.index[name]] = True
        for name in completed:
            i = self.index[name]
            self.state[i] = _COMPLETED
            self._outcome[i] = _IS_COMPLETED
        self._given.clear()

    @property
    def is_ended(self) -> bool:
        """Whether the run has reached a final state."""
        return self.run_state.is_final

    def handle(self, signals: Iterable[Signal]) -> Turn:
        """What follows from these signals, in order; one turn for all of them."""
        at = 0.0
        for signal in signals:
            at = signal.at
            _HANDLERS[type(signal)](self, signal)
        if self._ready:
            self._start_ready(at)
        if not self._open_count and not self._running and self.run_state in _UNDER_WAY:
            self._end(at)
        turn = Turn(self._events, self._actions)
        self._events, self._actions = [], []
        return turn

    # What is told

    def _begin(self, signal: Begin) -> None:
        at = signal.at
        if self._resume is None:
            flow = self.graph.flow
            self._events.append(
                RunCreated(at=at, flow=flow.name, version=flow.version, steps=tuple(self.names), inputs=signal.inputs)
            )
            self._events.append(RunStarted(at=at))
        else:
            reset, rebuilt = self._resume
            self._events.append(RunResumed(at=at, epoch=signal.epoch, reset=reset, rebuilt=rebuilt))
        self.run_state = RunState.RUNNING
        for i, outcome in enumerate(self._outcome):
            if outcome is _IS_COMPLETED:
                self._settle(i, _IS_COMPLETED, at)
        for i, given in self._given.items():
            self.state[i] = _COMPLETED
            self._events.append(
                StepCompleted(
                    at=at,
                    step=self.names[i],
                    attempt=0,
                    origin=given.origin,
                    values=given.values,
                    fingerprint=given.fingerprint,
                    taken_from=given.taken_from,
                )
            )
            self._settle(i, _IS_COMPLETED, at)
        for i, reason in self._skipped.items():
            if self._outcome[i] is _IS_OPEN:
                self._skip(i, reason, _IS_ABSENT, at)
        for i, blockers in enumerate(self._blockers):
            if not blockers and self._outcome[i] is _IS_OPEN and not self._is_triggered[i]:
                self._trigger(i, at)

    def _attempt_completed(self, signal: AttemptCompleted) -> None:
        i, attempt = signal.step, signal.attempt
        if self.state[i] is not _RUNNING or self._attempt[i] != attempt:
            return
        self.state[i] = _COMPLETED
        self._events.append(
            StepCompleted(
                at=signal.at,
                step=self.names[i],
                attempt=attempt,
                origin=signal.origin,
                values=signal.values,
                fingerprint=signal.fingerprint,
                taken_from=signal.taken_from,
            )
        )
        self._release(i)
        self._settle(i, _IS_COMPLETED, signal.at)

    def _attempt_failed(self, signal: AttemptFailed) -> None:
        i = signal.step
        if not self._is_current(i, signal.attempt):
            return
        self._release(i)
        retry = self.steps[i].retry
        tried = signal.attempt - self._base_attempt[i]
        if (
            tried <= retry.retries
            and not signal.is_final
            and not self._is_cancelling
            and retry.allows(signal.error.names)
        ):
            delay = signal.retry_after_s
            if delay is None:
                delay = retry.wait_s(tried, seed=f"{self._seed}/{self.names[i]}")
            self.state[i] = _RETRYING
            self._events.append(
                StepRetrying(
                    at=signal.at, step=self.names[i], attempt=signal.attempt, error=signal.error, delay_s=delay
                )
            )
            self._actions.append(SetTimer(i, signal.attempt, delay))
        else:
            self._fail(i, signal.attempt, signal.error, signal.at)

    def _attempt_cancelled(self, signal: AttemptCancelled) -> None:
        if self._is_current(signal.step, signal.attempt):
            self._release(signal.step)
            self._cancel_step(signal.step, signal.at)

    def _attempt_output(self, signal: AttemptOutput) -> None:
        if self._is_current(signal.step, signal.attempt):
            self._events.append(
                StepOutput(at=signal.at, step=self.names[signal.step], attempt=signal.attempt, items=signal.items)
            )

    def _retry_due(self, signal: RetryDue) -> None:
        i = signal.step
        if self.state[i] is _RETRYING and signal.attempt == self._attempt[i]:
            self._make_ready(i)

    def _condition_evaluated(self, signal: ConditionEvaluated) -> None:
        i = signal.step
        if not self._is_evaluating[i] or self._outcome[i] is not _IS_OPEN:
            return
        self._is_evaluating[i] = False
        if signal.error is not None:
            self._fail(i, 0, signal.error, signal.at)
        elif signal.holds:
            self._is_settled_by_condition[i] = True
            self._trigger(i, signal.at)
        else:
            self._skip(i, f"condition not met: {self.steps[i].when}", _IS_ABSENT, signal.at)

    def _cancel(self, signal: Cancel) -> None:
        if self.run_state.is_final or self._is_cancelling:
            return
        self._is_cancelling, self._cancel_reason = True, signal.reason
        self._events.append(CancelRequested(at=signal.at, reason=signal.reason))
        self._ready.clear()
        for i, state in enumerate(self.state):
            if state is _RUNNING:
                self._actions.append(CancelAttempt(i, self._attempt[i]))
            elif self._outcome[i] is _IS_OPEN:
                self._cancel_step(i, signal.at)

    def _timed_out(self, signal: TimedOut) -> None:
        if not self.run_state.is_final and not self._is_cancelling:
            self._is_timed_out = True
            self._cancel(Cancel(signal.at, f"the flow took longer than its timeout of {signal.timeout_s:g} s"))

    def _pause(self, signal: Pause) -> None:
        if self.run_state is RunState.RUNNING and not self._is_cancelling:
            self.run_state = RunState.PAUSED
            self._events.append(RunPaused(at=signal.at, reason=signal.reason))

    def _unpause(self, signal: Unpause) -> None:
        if self.run_state is RunState.PAUSED:
            self.run_state = RunState.RUNNING
            self._events.append(RunUnpaused(at=signal.at))
            held, self._held = self._held, []
            for i in held:
                if self._outcome[i] is _IS_OPEN:
                    self._make_ready(i)

    def _interrupt(self, signal: Interrupt) -> None:
        if not self.run_state.is_final:
            self._events.append(RunInterrupted(at=signal.at, reason=signal.reason))

    def _answer(self, signal: Answer) -> None:
        i = signal.step
        if self.state[i] is not _WAITING:
            return
        self._events.append(
            StepAnswered(at=signal.at, step=self.names[i], approved=signal.approved, value=signal.value)
        )
        self.state[i] = _PENDING
        if signal.approved:
            self._is_approved[i] = True
            self._trigger(i, signal.at)
        else:
            self._fail(i, 0, ErrorInfo(type="Rejected", message="a person refused this step"), signal.at)

    # What follows

    def _is_current(self, i: int, attempt: int) -> bool:
        return self.state[i] is _RUNNING and self._attempt[i] == attempt

    def _trigger(self, i: int, at: float) -> None:
        """The dependencies of step `i` let it start; its condition and a person may still hold it."""
        self._is_triggered[i] = True
        if self._is_cancelling:
            return
        if not self._is_settled_by_condition[i]:
            self._is_evaluating[i] = True
            self._actions.append(EvaluateCondition(i))
        elif not self._is_approved[i]:
            self.state[i] = _WAITING
            self._events.append(StepWaiting(at=at, step=self.names[i], message=self.steps[i].approve or ""))
        else:
            self._make_ready(i)

    def _make_ready(self, i: int) -> None:
        heapq.heappush(self._ready, (self._urgency[i], i))

    def _start_ready(self, at: float) -> None:
        ready = self._ready
        while ready:
            _, i = entry = heapq.heappop(ready)
            if self._outcome[i] is not _IS_OPEN:
                continue
            if self.run_state is RunState.PAUSED:
                self._held.append(i)
                continue
            limits = self._limits[i]
            full = next((limit for limit in limits if limit.free <= 0), None) if limits else None
            if full is not None:
                heapq.heappush(full.waiting, entry)
                # It may have been let in by another of its limits: that room is for the next who waits there.
                for limit in limits:
                    if limit.free > 0 and limit.waiting:
                        heapq.heappush(ready, heapq.heappop(limit.waiting))
                continue
            for limit in limits:
                limit.free -= 1
            attempt = self._attempt[i] = self._attempt[i] + 1
            self.state[i] = _RUNNING
            self._running += 1
            self._events.append(StepStarted(at=at, step=self.names[i], attempt=attempt))
            self._actions.append(StartAttempt(i, attempt))

    def _release(self, i: int) -> None:
        """The attempt of step `i` is over: one of the waiting steps may use its room."""
        self._running -= 1
        for limit in self._limits[i]:
            limit.free += 1
            if limit.waiting:
                heapq.heappush(self._ready, heapq.heappop(limit.waiting))

    def _fail(self, i: int, attempt: int, error: ErrorInfo, at: float) -> None:
        self.state[i] = _FAILED
        self._events.append(StepFailed(at=at, step=self.names[i], attempt=attempt, error=error))
        if self.steps[i].on_error is OnError.CONTINUE:
            self._settle(i, _IS_ABSENT, at)
        else:
            self._failures.append(self.names[i])
            self._settle(i, _IS_BROKEN, at)

    def _cancel_step(self, i: int, at: float) -> None:
        self.state[i] = _CANCELLED
        attempt = self._attempt[i] if self._attempt[i] > self._base_attempt[i] else 0
        self._events.append(
            StepCancelled(at=at, step=self.names[i], attempt=attempt, reason=self._cancel_reason or "cancelled")
        )
        self._settle(i, _IS_BROKEN, at)

    def _skip(self, i: int, reason: str, outcome: Outcome, at: float) -> None:
        self.state[i] = _SKIPPED
        self._events.append(StepSkipped(at=at, step=self.names[i], reason=reason))
        self._settle(i, outcome, at)

    def _settle(self, i: int, outcome: Outcome, at: float) -> None:
        """Step `i` has ended: tells all that wait for it, and those that this ends, however long the chain is."""
        self._outcome[i] = outcome
        self._open_count -= 1
        ended = [i]
        if outcome is _IS_COMPLETED and not self._is_cancelling:
            ended = self._tell_completed(i)
        while ended:
            source = ended.pop()
            for target, is_blocking, is_value_needed in self._successors[source]:
                self._blockers[target] -= 1
                if self._outcome[target] is not _IS_OPEN or self._is_cancelling or self._is_triggered[target]:
                    continue
                verdict = self._judge(target, source, is_blocking=is_blocking, is_value_needed=is_value_needed)
                if verdict == _START:
                    self._trigger(target, at)
                elif verdict is not None:
                    reason, outcome = verdict
                    self.state[target] = _SKIPPED
                    self._events.append(StepSkipped(at=at, step=self.names[target], reason=reason))
                    self._outcome[target] = outcome
                    self._open_count -= 1
                    ended.append(target)

    def _tell_completed(self, i: int) -> list[int]:
        """The common case of `_settle`, made short: step `i` completed. Returns `i` if some target is unusual."""
        targets = self._plain_targets[i]
        if targets is None:
            return [i]
        blockers = self._blockers
        for target in targets:
            left = blockers[target] = blockers[target] - 1
            if not left and self._outcome[target] is _IS_OPEN and not self._is_triggered[target]:
                self._is_triggered[target] = True
                heapq.heappush(self._ready, (self._urgency[target], target))
        return []

    def _judge(
        self, target: int, source: int, *, is_blocking: bool, is_value_needed: bool
    ) -> tuple[str, Outcome] | None:
        """Whether `target` starts, is skipped (reason, outcome), or waits (None), now that `source` ended."""
        outcome, trigger = self._outcome[source], self.steps[target].trigger
        is_last = self._blockers[target] == 0
        if trigger is Trigger.ALL_DONE:
            return _START if is_last else None
        if trigger is Trigger.ANY:
            if outcome is _IS_COMPLETED:
                return _START
            return ("none of its dependencies completed", _IS_BROKEN) if is_last else None
        if outcome is _IS_BROKEN and is_blocking:
            return f"{self.names[source]} {_how(self.state[source])}", _IS_BROKEN
        if outcome is _IS_ABSENT and is_value_needed:
            return f"it needs what {self.names[source]} gives, which {_how(self.state[source])}", _IS_ABSENT
        return _START if is_last else None

    def _end(self, at: float) -> None:
        if self._is_cancelling and not self._is_timed_out:
            self.run_state = RunState.CANCELLED
            self._events.append(RunCancelled(at=at, reason=self._cancel_reason))
        elif self._failures or self._is_timed_out:
            self.run_state = RunState.FAILED
            reason = self._cancel_reason if self._is_timed_out else f"{', '.join(self._failures)} failed"
            self._events.append(RunFailed(at=at, reason=reason))
        else:
            self.run_state = RunState.COMPLETED
            self._events.append(RunCompleted(at=at))
        self._actions.append(EndRun())


def _how(state: StepState) -> str:
    return "was cancelled" if state is _CANCELLED else f"was {state}" if state is _SKIPPED else state


def _remaining_path(successors: list[list[tuple[int, bool, bool]]], blockers: list[int]) -> list[int]:
    """For each step the number of steps on the longest path from it to an end, itself included."""
    waiting = list(blockers)
    order = [i for i, count in enumerate(waiting) if not count]
    for i in order:
        for target, _, _ in successors[i]:
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    longest = [1] * len(blockers)
    for i in reversed(order):
        for target, _, _ in successors[i]:
            if longest[target] >= longest[i]:
                longest[i] = longest[target] + 1
    return longest


_HANDLERS: dict[type, Callable[[RunMachine, Any], None]] = {
    Begin: RunMachine._begin,
    AttemptCompleted: RunMachine._attempt_completed,
    AttemptFailed: RunMachine._attempt_failed,
    AttemptCancelled: RunMachine._attempt_cancelled,
    AttemptOutput: RunMachine._attempt_output,
    RetryDue: RunMachine._retry_due,
    ConditionEvaluated: RunMachine._condition_evaluated,
    Cancel: RunMachine._cancel,
    Pause: RunMachine._pause,
    Unpause: RunMachine._unpause,
    Interrupt: RunMachine._interrupt,
    Answer: RunMachine._answer,
    TimedOut: RunMachine._timed_out,
}
