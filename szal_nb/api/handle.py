"""A run that this process runs: it can be watched, awaited and told things, on any thread."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any

from szal_nb.analysis.doubt import doubted
from szal_nb.analysis.reuse import ReusePlan
from szal_nb.api.run import History, Recorded, Run
from szal_nb.engine.runner import Runner
from szal_nb.engine.signal import Answer, Cancel, Interrupt, Pause, Signal, Skip, Unpause
from szal_nb.engine.turns import Sink
from szal_nb.errors import AnswerInDoubt, RunError, ValueUnavailable
from szal_nb.model.event import Event, RunInterrupted
from szal_nb.model.said import said
from szal_nb.model.state import RunState, StepState
from szal_nb.model.value import ValueRef


class _LiveValues:
    """Values of a run of this process: the objects themselves, else from the record."""

    def __init__(
        self, runner: Runner, stored: Callable[[ValueRef], Any] | None, afresh: Callable[[ValueRef], Any] | None
    ) -> None:
        self._runner = runner
        self._stored = stored
        self._afresh = afresh

    def value(self, step: str, name: str) -> Any:
        index = self._runner.machine.index[step]
        if (index, name) in self._runner.values:
            return self._runner.values[index, name]
        ref = next((ref for ref in self._runner.snapshot.steps[step].values if ref.name == name), None)
        if ref is None or self._stored is None:
            raise ValueUnavailable(name, f"step {step!r} has not given it.")
        if self._afresh is not None and (index, name) in self._runner.watch.superseded:
            # A later step changes the object itself; what this step gave is in the record only.
            return self._afresh(ref)
        value = self._runner.values[index, name] = self._stored(ref)
        return value

    # The objects themselves are what later steps have made of them.
    last = value


class RunHandle(Run):
    """A run that this process is running. Every control may be called on any thread, and returns at once.

    `await handle` waits for the end and gives the finished run, or raises RunFailed; `await handle.wait()` never
    raises for a run that failed. Cancelling what awaits does not cancel the run. `plan` says what it was to take from
    earlier runs, if it was asked to.
    """

    plan: ReusePlan | None = None

    def __init__(
        self,
        runner: Runner,
        main: Callable[[int | None], Coroutine[Any, Any, None]],
        *,
        store_path: Path | None = None,
        load: Callable[[ValueRef], Any] | None = None,
        load_fresh: Callable[[ValueRef], Any] | None = None,
        recorded: Recorded | None = None,
        history: History | None = None,
        refuse_if_gone_on: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        recorded = Recorded() if recorded is None else recorded
        super().__init__(
            runner.run_id,
            runner.machine.graph,
            runner.snapshot,
            source=_LiveValues(runner, load, load_fresh),
            recorded=recorded,
            store_path=store_path,
            history=history,
        )
        self._runner = runner
        self._refuse_if_gone_on = refuse_if_gone_on
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._answered: set[str] = set()
        (runner.turns.sinks if recorded else runner.turns.output_sinks).insert(0, recorded.take)
        self._main = main
        self._task = self._begin(None)

    def _begin(self, again: int | None) -> asyncio.Task[None]:
        self._runner.turns.expect()
        task = self._loop.create_task(self._main(again), name=f"szal run {self.id}")
        # The outcome is fetched here in any case, so that a failure nobody awaits is not reported by the collector.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task

    def place(self, name: str) -> tuple[str, str] | None:
        """As `Run.place`: the object itself where this process has it, for it is what all later steps made of it."""
        giver = self.giver(name)
        if giver is not None and (self._runner.machine.index[giver], name) in self._runner.values:
            return (giver, name)
        return super().place(name)

    def has(self, step: str, name: str) -> bool:
        """Whether `step` has completed and given `name`."""
        if self.snapshot.steps[step].state is not StepState.COMPLETED:
            return False
        return (self._runner.machine.index[step], name) in self._runner.values or super().has(step, name)

    @property
    def is_active(self) -> bool:
        """Whether the run is still going on in this process."""
        return not self._task.done()

    async def wait(self) -> RunHandle:
        """Waits until the run has ended; raises only StoreError, if the record could not be written."""
        await asyncio.shield(self._task)
        return self

    def __await__(self) -> Generator[Any, None, Run]:
        __tracebackhide__ = True
        yield from self.wait().__await__()
        return self.raise_if_failed()

    def subscribe(self, sink: Sink) -> Callable[[], None]:
        """Shows all further events to `sink`, after they are committed; the result ends that."""
        self._runner.turns.sinks.append(sink)
        return lambda: self._runner.turns.sinks.remove(sink) if sink in self._runner.turns.sinks else None

    async def events(self) -> AsyncIterator[Event]:
        """The events from now on, until the run ends."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def sink(events: Sequence[Event]) -> None:
            for event in events:
                queue.put_nowait(event)

        unsubscribe = self.subscribe(sink)
        self._task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            unsubscribe()

    def cancel(self, reason: str = "") -> None:
        """Asks the run to end: nothing new starts, running bodies are told."""
        text = said(reason)
        self._send(lambda at: Cancel(at, text))

    def pause(self, reason: str = "") -> None:
        """Lets nothing new start."""
        text = said(reason)
        self._send(lambda at: Pause(at, text))

    def resume(self) -> None:
        """Lets a paused run go on."""
        self._send(Unpause)

    def retry(self, step: str) -> None:
        """Runs a step of a run that has ended again, with what was skipped because of it; nothing that completed.

        Raises RunError while the run is going on, if it completed, some of it was undone or its answer is in doubt, for
        a step that completed, and where one that failed had begun to change what only a resume can read as it was;
        RunGoneOn if the run was resumed since it ended here.
        """
        index = self._index_of(step)
        if self.is_active:
            raise RunError(f"Run {self.id} is still going on; a step can be retried when it has ended.")
        if self.state not in (RunState.FAILED, RunState.CANCELLED):
            raise RunError(
                f"Run {self.id} is {self.state}; only a run that failed or was cancelled has steps to retry."
            )
        undone = [name for name, one in self.snapshot.steps.items() if one.state is StepState.ROLLED_BACK]
        if undone:
            raise RunError(
                f"Run {self.id}: {', '.join(undone)} {'was' if len(undone) == 1 else 'were'} undone, so step {step!r} "
                "cannot be tried again by itself. Resume the run: what was undone runs again first."
            )
        if self[step].state == StepState.COMPLETED:
            raise RunError(f"Step {step!r} of run {self.id} has completed; it is not run again.")
        if (found := doubted(self.snapshot)) is not None:
            raise AnswerInDoubt(self.id, found.name, str(found.error))
        self._refuse_what_is_changed(step)
        self._refuse_if_gone_on()
        self._refuse_what_is_lost(step, index)
        if _is_running(self._loop):
            self._begin_again(index)
        else:
            self._loop.call_soon_threadsafe(self._begin_again, index)

    def _refuse_what_is_changed(self, step: str) -> None:
        """Without a record nobody knows what a step should have read that others have changed in place since."""
        if self.store_path is not None:
            return
        for edge in self.graph.edges:
            if (
                edge.source == step
                and "changed-after-reading" in edge.rules
                and self.snapshot.steps[edge.target].state is StepState.COMPLETED
            ):
                raise RunError(
                    f"Step {step!r} reads {', '.join(edge.names)}, which step {edge.target!r} has changed in place "
                    "since. The run is not recorded, so what it was is gone: start a new run."
                )

    def _refuse_what_is_lost(self, step: str, index: int) -> None:
        """A step that failed in the middle of a change would be tried again on what it has left."""
        lost = self._runner.lost_for(index)
        if lost is not None:
            way = "start a new run" if self.store_path is None else "resume the run, which reads it from the record"
            raise RunError(
                f"Step {lost[0]!r} came to nothing after it began to change in place: {', '.join(lost[1])}. "
                f"As it was it is not at hand any more, so step {step!r} cannot be tried again by itself: {way}."
            )

    def _begin_again(self, index: int) -> None:
        if not self.is_active:
            self._task = self._begin(index)

    def interrupt(self, reason: str) -> None:
        """Records that the process is going away."""
        self._send(lambda at: Interrupt(at, reason))

    async def interrupted(self, reason: str) -> None:
        """As `interrupt`; returns when that is recorded, or the run has ended."""
        recorded = self._loop.create_future()

        def see(events: Sequence[Event]) -> None:
            if not recorded.done() and any(isinstance(event, RunInterrupted) for event in events):
                recorded.set_result(None)

        unsubscribe = self.subscribe(see)
        self.interrupt(reason)
        await asyncio.wait([recorded, self._task], return_when=asyncio.FIRST_COMPLETED)
        recorded.cancel()
        unsubscribe()

    def look_away(self) -> None:
        """Something else than the run's steps begins to be executed, and may draw random numbers or set options."""
        self._runner.watch.hidden.look_away()

    def look_again(self) -> None:
        """It has ended, or waits."""
        self._runner.watch.hidden.look_again()

    def changed_inputs(self) -> set[str]:
        """The inputs that steps of this process may have changed in place, and all that share something with them."""
        return self._runner.watch.changed_inputs()

    def waiting_for_a_person(self) -> list[str]:
        """The steps that wait for an answer, if nothing else is under way or can begin."""
        steps = self.snapshot.steps
        waiting = [name for name, step in steps.items() if step.state is StepState.WAITING]
        # An answer that is given counts before it is on record.
        self._answered.intersection_update(waiting)
        is_busy = any(
            step.state in (StepState.RUNNING, StepState.RETRYING)
            or (
                step.state is StepState.PENDING
                and all(steps[source].state.is_final for source in self.graph.dependencies[name])
            )
            for name, step in steps.items()
        )
        return [] if is_busy or self._answered else waiting

    async def leave(self, reason: str) -> None:
        """Stops to run it in this process; the record says that it is paused, and it can be resumed anywhere."""
        self.pause(reason)
        await self.interrupted(reason)
        self._task.cancel()
        await asyncio.wait([self._task])

    def approve(self, step: str, value: Any = None) -> None:
        """Lets a waiting step start; the body finds `value`, which must be plain data, as `szal.context().answer`.

        Raises RunError for a step that does not wait.
        """
        self._answer(step, approved=True, value=value)

    def reject(self, step: str, value: Any = None) -> None:
        """Fails a waiting step."""
        self._answer(step, approved=False, value=value)

    def skip(self, step: str, reason: str = "skipped by hand") -> None:
        """Lets the run go on without a step that has not begun or waits; what needs its values is skipped as well.

        Raises RunError for a step that is running or has ended, and for a run that does not go on any more.
        """
        index = self._index_of(step)
        state = self.snapshot.steps[step].state
        if not self.is_active:
            raise RunError(f"Run {self.id} is {self.state}; only of a run that goes on can a step be skipped.")
        if state is StepState.RUNNING or state.is_final:
            raise RunError(f"Step {step!r} of run {self.id} is {state}; only one that has not begun can be skipped.")
        text = said(reason)
        self._send(lambda at: Skip(at, index, text))

    def _answer(self, step: str, *, approved: bool, value: Any) -> None:
        index = self._index_of(step)
        try:
            text = None if value is None else json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RunError(f"The answer to step {step!r} must be plain data, as JSON has it: {error}.") from error
        state = self.snapshot.steps[step].state
        if state is not StepState.WAITING:
            raise RunError(f"Step {step!r} of run {self.id} waits for nobody: it is {state}.")
        self._answered.add(step)
        self._send(lambda at: Answer(at, index, approved, text))

    def _index_of(self, step: str) -> int:
        index = self._runner.machine.index.get(step)
        if index is None:
            raise RunError(f"Run {self.id} has no step {step!r}; it has {', '.join(self.snapshot.steps)}.")
        return index

    def _send(self, make: Callable[[float], Signal]) -> None:
        signal = make(self._clock())
        if not self._runner.turns.has_begun and _is_running(self._loop):
            # Before the first step, also where nothing is to be written down first.
            self._runner.post(signal)
        else:
            self._loop.call_soon_threadsafe(self._runner.post, signal)


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller is on this loop's thread."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
