"""Puts what steps show where a reader looks for it: under the step's own cell, or under the cell that waits.

A front end that keeps output which arrives after its cell has ended gets it under the step's cell. One that drops it
(nbclient, nbconvert) gets it under the cell that waits for the run, headed by the step's name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from szal_nb.analysis.live import REBUILDS
from szal_nb.model.event import (
    Event,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepRetrying,
    StepRollbackFailed,
    StepRolledBack,
    StepStarted,
)
from szal_nb.model.kept import state_of
from szal_nb.model.step import OnError, Step, StepKind
from szal_nb.model.value import ErrorInfo, Output, ValueRef, rebuilt_on_resume, tied_text

Parent = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Home:
    """The cell of a step: the request that defined it, and the chip that it shows."""

    parent: Parent
    chip: Mapping[str, object]
    is_clearable: bool = True

    @classmethod
    def of(cls, step: Step, parent: Parent, chip: Mapping[str, object]) -> Home:
        """The home of `step`; a cell that defines functions may show other things, so it is never cleared."""
        return cls(parent, chip, is_clearable=step.kind is StepKind.CELL)


def keeps_late_output(parent: Parent) -> bool:
    """Whether the front end that sent this request shows output that comes after its cell has ended."""
    return os.environ.get("SZAL_ROUTING") == "1" or bool((parent.get("metadata") or {}).get("cellId"))


class StepOutputs:
    """A sink of one run: publishes what its steps show.

    `homes` are the steps' cells. `shown` are the steps whose cell shows what an earlier run put there; it is kept up
    to date. `waiting` is the request of the cell that waits for the run, or that began it. `is_attended` says that a
    person is at the front end; elsewhere an error that a step shows would be taken for that of its cell, and a notebook
    that deals with it would count as failed. `earlier` tells what a step showed when it ran, by run and step.
    """

    def __init__(
        self,
        publish: Callable[[str, Mapping[str, Any], Parent], None],
        steps: Sequence[Step],
        homes: Mapping[str, Home],
        shown: set[str],
        waiting: Parent,
        *,
        is_attended: bool = True,
        earlier: Callable[[str, str], Sequence[Output]] = lambda _run, _step: (),
    ) -> None:
        self._publish = publish
        self._earlier = earlier
        self._steps = {step.name: step for step in steps}
        self._homes = homes
        self._shown = shown
        self.waiting = waiting
        self.is_attended = is_attended
        self._last: str | None = None
        self._begun: set[str] = set()

    def __call__(self, events: Sequence[Event]) -> None:
        """Publishes the news of a turn."""
        for event in events:
            match event:
                case StepStarted():
                    self._begin(event.step)
                case StepOutput():
                    self._show_all(event.step, event.items)
                case StepRetrying():
                    text = f"Attempt {event.attempt} failed: {event.error}. Next attempt in {event.delay_s:.3g} s.\n"
                    self._show(event.step, "stream", {"name": "stderr", "text": text})
                case StepFailed():
                    self._show_error(event.step, event.error)
                case StepRolledBack():
                    self._show(event.step, "stream", {"name": "stdout", "text": "rolled back\n"})
                case StepRollbackFailed():
                    text = f"Its rollback failed, attempt {event.attempt}: {event.error}\n{event.error.traceback}\n"
                    self._show(event.step, "stream", {"name": "stderr", "text": text})
                case StepCompleted():
                    self._end(event)

    def _end(self, event: StepCompleted) -> None:
        """Says what a step did not do; and which value is live, beneath a chip that did not know before the run."""
        if event.origin != "ran":
            is_empty = event.step not in self._shown
            self._show(event.step, "stream", {"name": "stdout", "text": f"{event.origin}: not run again\n"})
            if event.taken_from and is_empty and self._home(event.step) is not None:
                self._show_all(event.step, self._earlier(event.taken_from, event.step))
            return
        home = self._homes.get(event.step)
        live = rebuilt_on_resume(event.values)
        if live and (home is None or REBUILDS not in str(home.chip)):
            why = "; ".join(map(_why_again, live))
            self._show(event.step, "stream", {"name": "stdout", "text": f"{REBUILDS}: {why}\n"})

    def recall(self, step: str, outputs: Sequence[Output], taken_from: str = "") -> None:
        """The cell of a step that does not run again shows `outputs`, or what it showed in the run it is taken from.

        A cell that waits shows only what happens while it does.
        """
        if step not in self._shown and self._home(step) is not None:
            self._show_all(step, self._earlier(taken_from, step) if taken_from else outputs)

    def _show_all(self, step: str, outputs: Iterable[Output]) -> None:
        for output in outputs:
            self._show(step, *message_of(output))

    def _begin(self, step: str) -> None:
        """What an earlier run showed under the cell makes room, once a run."""
        home = self._home(step)
        if step in self._begun or home is None:
            return
        self._begun.add(step)
        if step in self._shown and home.is_clearable:
            self._shown.discard(step)
            self._publish("clear_output", {"wait": True}, home.parent)
            self._publish("display_data", {**home.chip, "transient": {}}, home.parent)

    def _show_error(self, step: str, error: ErrorInfo) -> None:
        if self._steps[step].on_error is OnError.CONTINUE or not self.is_attended:
            self._show(step, "stream", {"name": "stderr", "text": f"{error.traceback or error}\n"})
            return
        traceback = error.traceback.split("\n") if error.traceback else [str(error)]
        self._show(step, "error", {"ename": error.type, "evalue": error.message, "traceback": traceback})

    def _home(self, step: str) -> Home | None:
        home = self._homes.get(step)
        return home if home is not None and keeps_late_output(home.parent) else None

    def _show(self, step: str, kind: str, content: Mapping[str, Any]) -> None:
        home = self._home(step)
        if home is not None:
            self._shown.add(step)
            self._publish(kind, content, home.parent)
            return
        parent = self.waiting
        if step != self._last:
            self._last = step
            self._publish("stream", {"name": "stdout", "text": f"── step {step} ──\n"}, parent)
        self._publish(kind, content, parent)


def message_of(output: Output) -> tuple[str, dict[str, Any]]:
    """The type and content of the message that shows `output`."""
    if output.type == "stream":
        return "stream", {"name": output.name, "text": output.text}
    transient = {"display_id": output.display_id} if output.display_id else {}
    kind = "update_display_data" if output.type == "update_display_data" else "display_data"
    return kind, {"data": output.data, "metadata": output.metadata, "transient": transient}


def kernel_publisher(kernel: Any) -> Callable[[str, Mapping[str, Any], Parent], None]:
    """Publishes a message to all front ends as an answer to the request `parent`; any thread may call it."""

    def publish(kind: str, content: Mapping[str, Any], parent: Parent) -> None:
        kernel.session.send(
            kernel.iopub_socket,
            kind,
            dict(content),
            # Only the header names the request; the rest of it (its code) would travel with each message.
            parent={"header": parent.get("header", {})},
            ident=f"kernel.{kernel.ident}.{kind}".encode(),
        )

    return publish


def _why_again(ref: ValueRef) -> str:
    """Why a resume may have to make the value again."""
    if ref.live is not None:
        return f"{state_of(ref.name)} cannot be stored, because {ref.live}"
    return f"{ref.name} shares parts with {tied_text(ref)}, which cannot be stored"
