"""A run through time, as plain JSON: what each event changed in the picture, and the attempts side by side. Pure.

The front end never folds events: frames hold what the one fold, `model.state`, made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from szal_nb.model.event import Event, StepEvent, StepOutput, StepStarted, kind_of
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import Output
from szal_nb.widget.details import LOG_CHARS, output_view
from szal_nb.widget.view import STATE_CODES, JsonObject, run_view, step_facts

_RUN_FACTS = ("state", "created", "started", "ended", "epoch", "reason", "cancelling", "interrupted", "doubted")


class Frames:
    """The frames of a run as its events come: one an event, except those that only printed something.

    A frame has `at` and `kind`; a step's has its index, its state's code and its facts after the event; `run` holds
    what changed of the run itself, None for what is no longer so. `reset` has the facts of the steps that a resume made
    pending again, by index.
    """

    def __init__(self, graph: FlowGraph) -> None:
        self._index = {node.step.name: number for number, node in enumerate(graph.nodes)}
        self._snapshot = RunSnapshot()
        self._run: JsonObject = {}
        self.frames: list[JsonObject] = []

    def take(self, events: Sequence[Event]) -> None:
        """Takes in all events of the run so far; those that it has seen already cost nothing."""
        for event in events[self._snapshot.events :]:
            self._take(event)

    def _take(self, event: Event) -> None:
        snapshot, index = self._snapshot, self._index
        before = snapshot.epoch
        snapshot.apply(event)
        if isinstance(event, StepOutput):
            return
        frame: JsonObject = {"at": event.at, "kind": kind_of(event)}
        if isinstance(event, StepEvent) and event.step in index:
            step = snapshot.steps[event.step]
            frame |= {"step": index[event.step], "state": STATE_CODES[step.state], "facts": step_facts(step)}
        now = run_view(snapshot, "")
        changed = {key: now.get(key) for key in _RUN_FACTS if now.get(key) != self._run.get(key)}
        if changed:
            frame["run"] = changed
            self._run |= changed
        if snapshot.epoch != before:
            reset = [name for name in getattr(event, "reset", ()) if name in index]
            frame["reset"] = {str(index[name]): step_facts(snapshot.steps[name]) for name in reset}
        self.frames.append(frame)


def history_view(graph: FlowGraph, events: Sequence[Event]) -> JsonObject:
    """All frames of a run, as `Frames` makes them."""
    history = Frames(graph)
    history.take(events)
    return {"frames": history.frames}


def log_view(events: Iterable[Event], step: str) -> list[JsonObject]:
    """What the attempts of a step showed and when: pieces with `at`, `attempt` and `output`, the oldest text dropped.

    From it and the attempts' times the panel shows the log of any moment.
    """
    pieces: list[JsonObject] = []
    for event in events:
        if isinstance(event, StepOutput) and event.step == step:
            pieces += [{"at": event.at, "attempt": event.attempt, "output": output_view(item)} for item in event.items]
    left = LOG_CHARS
    for number in range(len(pieces) - 1, -1, -1):
        left -= len(pieces[number]["output"].get("text", ""))
        if left < 0:
            return pieces[number + 1 :]
    return pieces


def timeline_view(graph: FlowGraph, snapshot: RunSnapshot | None) -> list[list[Any]]:
    """Every attempt as [step's index, number, state, started, ended or None], by its start."""
    if snapshot is None:
        return []
    found: list[list[Any]] = [
        [number, attempt.number, attempt.state, attempt.started_at, attempt.ended_at]
        for number, node in enumerate(graph.nodes)
        if (step := snapshot.steps.get(node.step.name)) is not None
        for attempt in step.attempts
    ]
    return sorted(found, key=lambda attempt: (attempt[3], attempt[0]))


def outputs_of(events: Iterable[Event]) -> Mapping[str, list[Output]]:
    """What the newest attempt of each step showed."""
    outputs: dict[str, list[Output]] = {}
    for event in events:
        if isinstance(event, StepStarted):
            outputs[event.step] = []
        elif isinstance(event, StepOutput):
            outputs.setdefault(event.step, []).extend(event.items)
    return outputs
