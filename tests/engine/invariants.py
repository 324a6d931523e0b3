"""What must hold for every random run: its events, one after the other, and how it stands in the end."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from szal_nb.engine.requirement import WHOLE, share_of
from szal_nb.model.event import kind_of
from szal_nb.model.state import fold
from szal_nb.model.step import Trigger

ENDS = {"step.completed", "step.failed", "step.skipped", "step.cancelled"}


class Story:
    """A look at each event, from the first to the last."""

    def __init__(self, world):
        self.world, self.graph = world, world.graph
        self.ended, self.ended_at, self.began, self.base = {}, {}, Counter(), Counter()
        self.running, self.retry_from, self.completed = set(), {}, []
        self.is_paused = self.has_cancel = False
        self.starts = {tag: [] for tag in world.limits}
        self.left_to_undo, self.rollbacks = None, 0

    def see(self, position, event):
        match kind_of(event):
            case "step.started":
                self.start(event)
            case "step.retrying":
                self.running.discard(event.step)
                self.retry_from[event.step] = event.at + event.delay_s
                tries = self.began[event.step] - self.base[event.step]
                assert tries <= self.graph.node(event.step).step.retry.retries, event
            case kind if kind in ENDS:
                assert event.step not in self.ended, f"{event.step} ended twice"
                self.ended[event.step], self.ended_at[event.step] = position, event.at
                self.running.discard(event.step)
                if kind == "step.completed":
                    self.completed.append(event.step)
            case "run.rollback_started":
                self.left_to_undo = [s for s in reversed(self.completed) if self.graph.node(s).step.rollback]
                self.rollbacks += 1
                assert list(event.steps) == self.left_to_undo, event
                assert not self.running, self.running
            case "step.rolled_back":
                # One that could not be undone is passed over.
                while self.left_to_undo[0] != event.step:
                    self.left_to_undo.pop(0)
                self.left_to_undo.pop(0)
            case "run.paused" | "run.unpaused" as kind:
                self.is_paused = kind == "run.paused"
            case "run.cancel_requested":
                self.has_cancel = True
            case "run.resumed":
                self.is_paused = self.has_cancel = False
                self.rollbacks = 0
                for name in event.reset:
                    assert name not in self.completed, f"{name} had completed"
                    self.ended.pop(name, None)
                    self.retry_from.pop(name, None)
                    self.base[name] = self.began[name]

    def start(self, event):
        world, graph = self.world, self.graph
        step, sources = graph.node(event.step).step, graph.dependencies[event.step]
        waited = [source in self.ended for source in sources]
        assert (any(waited) or not sources) if step.trigger is Trigger.ANY else all(waited), event
        assert event.step not in self.ended, event
        assert not self.is_paused, f"{event.step} started in a run that is paused"
        assert not self.has_cancel, f"{event.step} started in a run that is cancelled"
        self.began[event.step] += 1
        assert event.attempt == self.began[event.step], event
        assert event.at >= self.retry_from.get(event.step, 0) - 1e-6, f"{event.step} did not wait"
        self.look_who_waits(step, event.at)
        self.running.add(event.step)
        assert graph.flow.max_parallel is None or len(self.running) <= graph.flow.max_parallel, event
        held = [share_of(name, graph.node(name).step.requires) / WHOLE for name in self.running]
        assert not world.devices or sum(held) <= len(world.devices), f"{sum(held)} devices are held"
        for tag, (size, per_s) in world.limits.items():
            if tag in world.tags[event.step]:
                self.starts[tag].append(event.at)
                inside = [name for name in self.running if tag in world.tags[name]]
                assert per_s is not None or len(inside) <= size, f"{tag}: {inside}"

    def look_who_waits(self, step, at):
        """Nobody is passed over who is more urgent, waits for nothing but the room that this step takes."""
        if self.world.limits or self.world.devices:
            return
        for node in self.graph.nodes:
            other = node.step
            is_plain = other.trigger is Trigger.ALL and other.when is None and other.approve is None
            sources = self.graph.dependencies[other.name]
            if (
                is_plain
                and other.priority > step.priority
                and self.began[other.name] == 0
                and other.name not in self.ended
                and all(source in self.completed and self.ended_at[source] < at for source in sources)
            ):
                raise AssertionError(f"{step.name} started before {other.name}, which is more urgent")

    def finish(self, runner):
        world, snapshot, events = self.world, runner.snapshot, self.world.events
        for tag, (size, per_s) in world.limits.items():
            if per_s is not None:
                late = self.starts[tag][size:]
                pairs = zip(self.starts[tag], late, strict=False)
                assert all(b - a >= per_s - 1e-3 for a, b in pairs), f"{tag}: {self.starts[tag]}"
        assert world.faults == []
        assert set(self.ended) == set(runner.machine.names)
        assert snapshot.state.is_final
        assert all(step.state.is_final for step in snapshot.steps.values())
        assert fold(events) == snapshot
        assert [step.state for step in snapshot.steps.values()] == runner.machine.state
        assert snapshot.state == runner.machine.run_state
        assert all(a.at <= b.at for a, b in pairwise(events))
        if runner.turns.journal is not None:
            assert runner.turns.journal.events == events
        self.finish_undoing(snapshot)

    def finish_undoing(self, snapshot):
        if snapshot.state == "rolled_back":
            assert self.left_to_undo == [], f"{self.left_to_undo} were not undone"
        if self.world.rollbacks == 0:
            assert not self.world.undoing
        flow = self.graph.flow
        end = "timeout" if snapshot.is_timed_out else snapshot.state.replace("cancelled", "cancel")
        if not any(step.rollback for step in flow.steps) or snapshot.state == "completed":
            assert self.rollbacks == 0
        elif end.replace("failed", "failure") in flow.rollback_on:
            assert self.rollbacks, f"a run that {end} was not undone"


def assert_sound(world, runner):
    story = Story(world)
    for position, event in enumerate(world.events):
        story.see(position, event)
    story.finish(runner)
