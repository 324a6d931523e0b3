"""Shows runs as they go: a bar on a terminal, plain lines elsewhere. It reads the store, on a thread of its own."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from szal_nb.errors import StoreError
from szal_nb.model.duration import format_duration
from szal_nb.model.event import (
    Event,
    RollbackStarted,
    RunCreated,
    RunResumed,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepProgress,
    StepRetrying,
    StepRollbackFailed,
    StepRolledBack,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.secret import SECRETS
from szal_nb.model.state import RunSnapshot, StepSnapshot, StepState
from szal_nb.model.value import NOT_STORED
from szal_nb.store.runs import RunStore, StoredRun
from szal_nb.widget.wording import elements_failed_said, one_line, progress_said

# How often the store is asked for news: often enough for an eye, seldom enough for a disk.
LOOK_EVERY_S = 0.15
# How often a line tells how far a body is, where there is no terminal: a log is read from its beginning.
PROGRESS_EVERY_S = 10.0
_NOTE_CHARS = 40
_BAR = "{percentage:3.0f}%|{bar:30}| {n_fmt}/{total_fmt} steps, {elapsed} {desc}"
# A notebook seldom starts more runs than this between two looks.
_LATEST = 20


class Progress:
    """What a person sees of one run, event by event."""

    def __init__(self, run_id: str, *, stream: TextIO | None = None) -> None:
        self.run_id = run_id
        self.snapshot = RunSnapshot()
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._said_at: dict[str, float] = {}

    def skip(self, events: Sequence[Event]) -> None:
        """Takes in what was there before, without showing it."""
        for event in events:
            self.snapshot.apply(event)

    def take(self, events: Sequence[Event]) -> None:
        """Shows the next events."""
        for event in events:
            self.snapshot.apply(event)
            line = line_of(event, self.snapshot, self.run_id)
            if line is None and isinstance(event, StepProgress) and self._is_worth_a_line(event):
                line = f"  running    {_at_work(self.snapshot.steps[event.step])}"
            if line is not None:
                self._print(line)
        self._move_bar()

    def _is_worth_a_line(self, event: StepProgress) -> bool:
        """On a terminal the bar tells the progress of bodies; elsewhere a line now and then does."""
        said_at = self._said_at.get(event.step, self.snapshot.steps[event.step].started_at or 0.0)
        if self._stream.isatty() or event.at - said_at < PROGRESS_EVERY_S:
            return False
        self._said_at[event.step] = event.at
        return True

    def tick(self) -> None:
        """Time has passed."""
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Takes the bar away; the lines stay."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print(self, line: str) -> None:
        line = SECRETS.masked(line)
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)

    def _move_bar(self) -> None:
        if not self._stream.isatty() or not self.snapshot.steps:
            return
        if self._bar is None:
            from tqdm import tqdm  # late: only a terminal needs it

            self._bar = tqdm(
                total=len(self.snapshot.steps), leave=False, file=self._stream, bar_format=_BAR, mininterval=0
            )
        running = [_at_work(step) for step in self.snapshot.steps.values() if step.state is StepState.RUNNING]
        self._bar.set_description_str(", ".join(running[:3]) + (" …" if len(running) > 3 else ""), refresh=False)
        self._bar.n = sum(step.state.is_final for step in self.snapshot.steps.values())
        self._bar.refresh()


def line_of(event: Event, snapshot: RunSnapshot, run_id: str) -> str | None:
    """The line that shows `event`, in the state that it led to; None if it needs none."""
    match event:
        case RunCreated():
            count = len(event.steps)
            return f"Run {run_id} of {event.flow}: {count} step{'s' * (count != 1)}"
        case RunResumed():
            again = f", again: {', '.join(event.rebuilt)}" if event.rebuilt else ""
            begun = [(name, len(snapshot.steps[name].kept_elements)) for name in event.reset]
            after = "".join(f", {name} after {count:,} elements" for name, count in begun if count)
            return f"Run {run_id} goes on: {len(event.reset)} of {len(snapshot.steps)} steps to run{again}{after}"
        case StepStarted() if event.attempt > 1:
            return _step_line("running", event.step, f"attempt {event.attempt}")
        case StepCompleted():
            origin = "" if event.origin == "ran" else event.origin
            step = snapshot.steps[event.step]
            failed = elements_failed_said(len(step.failed_elements)) if step.failed_elements else ""
            lost = [f"{ref.name}: {ref.live}" for ref in event.values if (ref.live or "").startswith(NOT_STORED)]
            facts = (origin, failed, step.reason, *lost)
            return _step_line("completed", event.step, _duration(snapshot, event.step), *facts)
        case StepFailed():
            return _step_line("failed", event.step, _duration(snapshot, event.step), str(event.error))
        case StepRetrying():
            wait = format_duration(event.delay_s)
            return _step_line("retrying", event.step, f"attempt {event.attempt}: {event.error}; next in {wait}")
        case StepSkipped() | StepCancelled():
            return _step_line(snapshot.steps[event.step].state.value, event.step, event.reason)
        case StepWaiting():
            return _step_line("waiting", event.step, event.message)
    return _line_of_rollback(event, run_id)


def _line_of_rollback(event: Event, run_id: str) -> str | None:
    match event:
        case RollbackStarted():
            because = f", because {event.reason}" if event.reason else ""
            return f"Run {run_id} is rolled back{because}: {', '.join(event.steps) or 'nothing to undo'}"
        case StepRolledBack():
            return _step_line("rolled back", event.step)
        case StepRollbackFailed():
            wait = "" if event.delay_s is None else f"; next in {format_duration(event.delay_s)}"
            return _step_line("not undone", event.step, f"attempt {event.attempt}: {event.error}{wait}")
    return None


def _at_work(step: StepSnapshot) -> str:
    """A running step with what its body says of its progress."""
    said = [step.name]
    if step.done is not None:
        said.append(progress_said(step.done, step.total))
    return " ".join([*said, one_line(step.note, _NOTE_CHARS)]).rstrip()


def _step_line(state: str, step: str, *facts: str) -> str:
    return f"  {state:<10} {step}  " + "  ".join(fact.partition("\n")[0] for fact in facts if fact)


def _duration(snapshot: RunSnapshot, step: str) -> str:
    duration_s = snapshot.steps[step].duration_s
    return "" if duration_s is None else format_duration(duration_s)


class Follower:
    """Watches a store for the runs that `is_wanted` picks, and shows them until it is stopped."""

    def __init__(self, path: Path, is_wanted: Callable[[StoredRun], bool], *, stream: TextIO | None = None) -> None:
        self._path = path
        self._is_wanted = is_wanted
        self._stream = stream
        self.shown: dict[str, Progress] = {}

    def expect(self, run_id: str, events: Sequence[Event]) -> None:
        """Shows of a run that is there already only what comes after `events`."""
        progress = self.shown[run_id] = Progress(run_id, stream=self._stream)
        progress.skip(events)

    def look(self, store: RunStore) -> None:
        """Shows what is new."""
        latest = {run.id: run for run in reversed(store.runs(limit=_LATEST))}
        for run in latest.values():
            if run.id not in self.shown and self._is_wanted(run):
                self.shown[run.id] = Progress(run.id, stream=self._stream)
        for progress in self.shown.values():
            run = latest.get(progress.run_id) or store.run(progress.run_id)
            if run.events > progress.snapshot.events:
                progress.take(store.events(run.id, first=progress.snapshot.events))
            progress.tick()

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Shows runs while the block runs; what came until its end is shown before it is left."""
        stop = threading.Event()
        thread = threading.Thread(target=self._follow, args=(stop,), name="szal progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.close()

    def close(self) -> None:
        """Takes all bars away."""
        for progress in self.shown.values():
            progress.close()

    def _follow(self, stop: threading.Event) -> None:
        store: RunStore | None = None
        try:
            while True:
                is_last = stop.wait(LOOK_EVERY_S)
                with contextlib.suppress(StoreError):
                    # A store that is being made, or is busy, is asked again.
                    if store is None and self._path.exists():
                        store = RunStore.open(self._path, read_only=True)
                    if store is not None:
                        self.look(store)
                if is_last:
                    return
        finally:
            if store is not None:
                store.close()
