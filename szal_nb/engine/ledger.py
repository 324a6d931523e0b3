"""Where each step of a run is, and the elementary moves: a step starts, fails, is skipped, is settled.

Part of the machine; it decides nothing about the run as a whole. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType

from szal_nb.engine import signal as told
from szal_nb.engine.limit import Limit, Starts, limits_of
from szal_nb.engine.outcome import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IS_ABSENT,
    IS_BROKEN,
    IS_COMPLETED,
    IS_OPEN,
    RUNNING,
    SKIPPED,
    START,
    WAITING,
    Outcome,
    judge,
)
from szal_nb.engine.rollback import Rollback
from szal_nb.engine.signal import Action, Given
from szal_nb.engine.wiring import Wiring
from szal_nb.model import event as happened
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunState, StepState
from szal_nb.model.step import OnError, Step
from szal_nb.model.value import ErrorInfo, ValueRef

_MAY_HAVE_RUN = (
    "It was running when its process died, and it is marked --once: look whether it has done its work. "
    "Approve it to run it again, reject it to let it fail."
)


class Ledger:
    """The steps of one run.

    `given` maps steps to the origin and values that they complete with, without running; `skipped` maps steps that
    were not selected to the reason. `limits` are further ones than the flow's own, each with the indices of the
    steps that share it; a number stands for so many at once.
    """

    def __init__(
        self,
        graph: FlowGraph,
        *,
        given: Mapping[str, Given] | None = None,
        skipped: Mapping[str, str] | None = None,
        limits: Iterable[tuple[int | Limit, Iterable[int]]] = (),
        seed: str = "",
    ) -> None:
        self.graph = graph
        self.wiring = wiring = graph.derived(Wiring)
        self.names = wiring.names
        self.index = wiring.index
        self.steps = wiring.steps
        count = len(self.names)
        self.state = [StepState.PENDING] * count
        self.run_state = RunState.CREATED
        self._seed = seed
        self._given = {self.index[name]: value for name, value in (given or {}).items()}
        self._skipped = {self.index[name]: reason for name, reason in (skipped or {}).items()}
        self._blockers = list(wiring.blockers)
        self._outcome = [Outcome.OPEN] * count
        self._attempt = [0] * count
        self._base_attempt = [0] * count
        # The steps whose conditions are not known to hold, and those of them that are being evaluated.
        self._conditional = set(wiring.conditional)
        self._evaluating: set[int] = set()
        # What a person must say yes to before the step starts; and the steps that one refused while nobody ran the run.
        self._questions = dict(wiring.questions)
        self._rejected: set[int] = set()
        self._is_triggered = [False] * count
        self._open_count = count
        self._failures: list[str] = []
        self._is_cancelling = False
        self._cancel_reason = ""
        self._is_timed_out = False
        self._stop: str | None = None
        self._resume: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        # What this run itself completed and could undo, the first that completed first.
        self._undoable: list[int] = []
        self._can_undo = wiring.has_rollbacks
        self._rollback: Rollback | None = None
        more = [(Limit(size) if isinstance(size, int) else size, members) for size, members in limits]
        self._starts = Starts(wiring.places, [*limits_of(graph), *more])
        # Whether a step has shown something, in this process.
        self.has_shown = False
        self._events: list[Event] = []
        self._actions: list[Action] = []

    def resume_from(
        self,
        completed: Mapping[str, tuple[ValueRef, ...]],
        attempts: Mapping[str, int],
        *,
        reset: Sequence[str],
        rebuilt: Sequence[str],
        approved: Iterable[str] = (),
        rejected: Iterable[str] = (),
        held: Iterable[str] = (),
        undoable: Iterable[str] = (),
        stopped: str | None = None,
        skipped: Mapping[str, str] = MappingProxyType({}),
        is_rolling_back: bool = False,
        waits: Mapping[int, Collection[int]] | None = None,
    ) -> None:
        """Puts the machine where a record ends, before `Begin`: `reset` steps run again, `completed` ones do not.

        `undoable` are in the order of their completion. If the run was being undone, that goes on. `stopped`: a step
        had ended the run early, so that `skipped` ones, with their reasons, stay so. `held` may have done once already
        what they may do only once: a person decides. `waits` are further steps that wait for a step to end, whatever
        becomes of it.
        """
        if waits:
            self.wiring = self.wiring.with_waits(waits)
            self._blockers = list(self.wiring.blockers)
        self._resume = (tuple(reset), tuple(rebuilt))
        for name, attempt in attempts.items():
            self._attempt[self.index[name]] = self._base_attempt[self.index[name]] = attempt
        for name in approved:
            self._questions.pop(self.index[name], None)
        self._rejected.update(self.index[name] for name in rejected)
        for name in held:
            self._questions[self.index[name]] = _MAY_HAVE_RUN
        for name in completed:
            i = self.index[name]
            self.state[i] = COMPLETED
            self._outcome[i] = IS_COMPLETED
        self._undoable = [self.index[name] for name in undoable]
        self._stop = stopped
        self._skipped |= {self.index[name]: reason for name, reason in skipped.items()}
        self._given.clear()
        if is_rolling_back:
            self.run_state = RunState.ROLLING_BACK

    @property
    def standing(self) -> list[Step]:
        """The steps that have completed already, or will without running."""
        return [self.steps[i] for i, state in enumerate(self.state) if state is COMPLETED or i in self._given]

    def _is_current(self, i: int, attempt: int) -> bool:
        return self.state[i] is RUNNING and self._attempt[i] == attempt

    def _trigger(self, i: int, at: float) -> None:
        """The dependencies of step `i` let it start; its condition and a person may still hold it."""
        self._is_triggered[i] = True
        if self._is_cancelling:
            return
        if i in self._conditional:
            self._evaluating.add(i)
            self._actions.append(told.EvaluateCondition(i))
        elif i in self._rejected:
            # If the step is tried again, a person is asked again.
            self._rejected.discard(i)
            self._fail(i, 0, happened.rejected(), at)
        elif i in self._questions:
            self.state[i] = WAITING
            self._events.append(happened.StepWaiting(at=at, step=self.names[i], message=self._questions[i]))
        else:
            self._starts.add(i)

    def _start_ready(self, at: float) -> None:
        starts, deadlines = self._starts, self.wiring.deadlines
        events, actions, attempts = self._events, self._actions, self._attempt
        while starts.ready:
            # Without limits there is room for all of them.
            i = starts.take_next(at) if starts.limits else heappop(starts.ready)[1]
            if i is None:
                break
            if self._outcome[i] is not IS_OPEN:
                starts.refuse(i)
                continue
            attempt = attempts[i] = attempts[i] + 1
            self.state[i] = RUNNING
            events.append(happened.StepStarted(at=at, step=self.names[i], attempt=attempt))
            actions.append(told.StartAttempt(i, attempt))
            if i in deadlines and attempt == self._base_attempt[i] + 1:
                self._actions.append(told.SetDeadline(i, deadlines[i]))
        if starts.rates:
            delay_s = starts.wake_in_s(at)
            if delay_s is not None:
                self._actions.append(told.WakeAfter(delay_s))

    def _fail(self, i: int, attempt: int, error: ErrorInfo, at: float) -> None:
        self.state[i] = FAILED
        self._events.append(happened.StepFailed(at=at, step=self.names[i], attempt=attempt, error=error))
        if self.steps[i].on_error is OnError.CONTINUE:
            self._settle(i, IS_ABSENT, at)
        else:
            self._failures.append(self.names[i])
            self._settle(i, IS_BROKEN, at)

    def _cancel_step(self, i: int, at: float) -> None:
        self.state[i] = CANCELLED
        attempt = self._attempt[i] if self._attempt[i] > self._base_attempt[i] else 0
        self._events.append(
            happened.StepCancelled(
                at=at, step=self.names[i], attempt=attempt, reason=self._cancel_reason or "cancelled"
            )
        )
        self._settle(i, IS_BROKEN, at)

    def _skip(self, i: int, reason: str, outcome: Outcome, at: float) -> None:
        self.state[i] = SKIPPED
        self._events.append(happened.StepSkipped(at=at, step=self.names[i], reason=reason))
        self._settle(i, outcome, at)

    def _settle(self, i: int, outcome: Outcome, at: float) -> None:
        """Step `i` has ended: tells all that wait for it, and those that this ends, however long the chain is."""
        self._outcome[i] = outcome
        self._open_count -= 1
        ended = [i]
        while ended:
            source = ended.pop()
            for target, is_blocking, is_value_needed in self.wiring.successors[source]:
                self._blockers[target] -= 1
                if self._outcome[target] is not IS_OPEN or self._is_cancelling or self._is_triggered[target]:
                    continue
                verdict = judge(
                    self.steps[target].trigger,
                    self.names[source],
                    self.state[source],
                    self._outcome[source],
                    is_last=self._blockers[target] == 0,
                    is_blocking=is_blocking,
                    is_value_needed=is_value_needed,
                )
                if verdict == START:
                    self._trigger(target, at)
                elif verdict is not None:
                    reason, outcome = verdict
                    self.state[target] = SKIPPED
                    self._events.append(happened.StepSkipped(at=at, step=self.names[target], reason=reason))
                    self._outcome[target] = outcome
                    self._open_count -= 1
                    ended.append(target)

    def _settle_completed(self, i: int, at: float) -> None:
        """As `_settle` for a step that completed: the usual case, made short."""
        targets = self.wiring.plain_targets[i]
        if targets is None or self._is_cancelling:
            self._settle(i, IS_COMPLETED, at)
            return
        self._outcome[i] = IS_COMPLETED
        self._open_count -= 1
        blockers, ready, places = self._blockers, self._starts.ready, self._starts.places
        for target in targets:
            left = blockers[target] = blockers[target] - 1
            if not left and self._outcome[target] is IS_OPEN and not self._is_triggered[target]:
                self._is_triggered[target] = True
                heappush(ready, places[target])
