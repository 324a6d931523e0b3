"""Random runs of machine and runner on virtual time, and what must hold for every one of them.

A seed decides everything: the flow, what bodies do and how long they take, when people meddle. `check(seed)` raises
AssertionError that names the seed; calling it again plays the same run.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise

from szal_nb.engine.machine import RunMachine
from szal_nb.engine.runner import Runner
from szal_nb.engine.signal import Answer, Cancel, Pause, Unpause
from szal_nb.errors import RetryAfter, StopRun
from szal_nb.model.event import kind_of
from szal_nb.model.flow import Guard, RollbackOn
from szal_nb.model.limit import parse_limit
from szal_nb.model.state import fold
from szal_nb.model.step import Backoff, Compensation, OnConditionError, OnError, RetryPolicy, Trigger
from tests.engine.simulation import flow_of
from tests.engine.virtual import run_virtually

ENDS = {"step.completed", "step.failed", "step.skipped", "step.cancelled"}


class Body:
    """A coroutine that takes some virtual time and then does what chance says."""

    is_async = True

    def __init__(self, world, name, undoes=None):
        self.world, self.name, self.undoes = world, name, undoes

    async def call(self, inputs):
        world, chance = self.world, self.world.chance
        world.enter(self)
        try:
            if chance.random() < 0.7:
                await asyncio.sleep(chance.choice([0, 1, 5, 5, 60]))
            fate = chance.random()
            if fate < 0.18:
                raise ValueError(self.name)
            if fate < 0.22:
                raise RetryAfter(chance.choice([0, 100]))
            if fate < 0.23 and self.undoes is None:
                raise StopRun("chance")
            return {self.name: 1} if self.undoes is None else {}  # noqa: TRY300  a body ends like this
        except asyncio.CancelledError:
            if chance.random() < 0.2:
                await asyncio.sleep(chance.choice([0.01, 1000]))
            raise
        finally:
            world.leave(self)


class Mapped(Body):
    async def call(self, inputs):
        await asyncio.sleep(self.world.chance.choice([0, 1, 5]))
        if self.world.chance.random() < 0.1:
            raise ValueError(self.name)
        return {self.name: 1}


class Record:
    """A journal that takes virtual time."""

    def __init__(self, world):
        self.world, self.events = world, []

    async def append(self, events):
        await asyncio.sleep(self.world.chance.choice([0, 0, 0.001, 0.5]))
        self.events += events

    def keep(self, step, attempt, values, needed):
        return ()

    def load(self, ref):
        raise AssertionError("nothing was kept")

    load_fresh = load


class World:
    """One run and all that happens to it."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.graph = self.random_flow()
        self.inside = Counter()
        self.tags = {step.name: step.tags for step in self.graph.flow.steps}
        self.limits = {tag: parse_limit(text) for tag, text in self.graph.flow.limits}
        self.events = []
        self.undoing = []

    def random_flow(self):
        chance, steps, lines = self.chance, {}, []
        for i in range(chance.randint(0, 12)):
            sources = chance.sample(range(i), min(i, chance.choice([0, 1, 1, 2, 3])))
            arrow = chance.choice(["<-", "<-", "<~"])
            lines.append(f"s{i} {arrow} {', '.join(f's{j}' for j in sorted(sources))}" if sources else f"s{i}")
            steps[f"s{i}"] = {
                "retry": RetryPolicy(
                    retries=chance.choice([0, 0, 1, 3]),
                    delay_s=chance.choice([0, 1, 50]),
                    backoff=chance.choice(list(Backoff)),
                    jitter=chance.choice([0, 0.5]),
                ),
                "timeout_s": chance.choice([None, None, 3, 30]),
                "timeout_total_s": chance.choice([None, None, None, 70]),
                "trigger": chance.choice([Trigger.ALL, Trigger.ALL, *Trigger]) if sources else Trigger.ALL,
                "on_error": chance.choice([OnError.FAIL, OnError.FAIL, OnError.CONTINUE]),
                "when": chance.choice([None, None, None, "cond"]),
                "on_condition_error": chance.choice(list(OnConditionError)),
                "approve": chance.choice([None, None, None, None, "ok?"]),
                "priority": chance.choice([0, 0, 5]),
                "tags": chance.choice([(), ("api",), ("api", "web")]),
                "rollback": chance.choice([None, None, Compensation(retry=RetryPolicy(retries=1, delay_s=10))]),
                "map": chance.choice([(), (), (), (), ("xs",)]),
            }
        limits = chance.choice([(), (), (("api", "2"),), (("api", "1"), ("web", "2/50s"))])
        return flow_of(
            *lines,
            # What the guard looks at, it looks at on threads, and those know no virtual time.
            guard=Guard.OFF,
            steps=steps,
            max_parallel=chance.choice([None, None, 1, 3]),
            timeout_s=chance.choice([None, None, None, 200.0]),
            limits=limits,
            rollback_on=tuple(chance.sample(list(RollbackOn), chance.randint(0, 3))),
        )

    def enter(self, body):
        if body.undoes is not None:
            self.undoing.append(body.undoes)
            assert self.undoing[:-1].count(body.undoes) < 2, f"{body.undoes} undone too often"
            return
        started = [event for event in self.events if kind_of(event) == "step.started" and event.step == body.name]
        assert started, f"{body.name} ran before its start was recorded"
        self.inside[body.name] += 1
        assert self.inside[body.name] == 1, f"{body.name} ran twice at once"

    def leave(self, body):
        if body.undoes is None:
            self.inside[body.name] -= 1

    async def meddle(self, runner):
        """People, at random moments."""
        chance = self.chance
        names = runner.machine.names
        while True:
            await asyncio.sleep(chance.choice([0.3, 4, 40]))
            waiting = [i for i, name in enumerate(names) if runner.snapshot.steps[name].state == "waiting"]
            if runner.snapshot.state == "paused":
                runner.post(Unpause(runner.now()))
            elif waiting:
                runner.post(Answer(runner.now(), chance.choice(waiting), chance.random() < 0.8))
            elif chance.random() < 0.1:
                runner.post(Cancel(runner.now(), "chance"))
            elif chance.random() < 0.2:
                runner.post(Pause(runner.now()))

    def judge(self, text, names, snapshot):
        if self.chance.random() < 0.2:
            raise ValueError("condition")
        return self.chance.random() < 0.6

    async def play(self):
        loop, chance = asyncio.get_running_loop(), self.chance
        steps = self.graph.flow.steps
        runner = Runner(
            RunMachine(self.graph),
            [(Mapped if step.map else Body)(self, step.name) for step in steps],
            run_id="chaos",
            inputs={"xs": range(chance.randint(0, 6))},
            rollbacks={i: Body(self, step.name, undoes=step.name) for i, step in enumerate(steps) if step.rollback},
            evaluate=self.judge,
            journal=Record(self) if chance.random() < 0.5 else None,
            sinks=[self.events.extend],
            clock=loop.time,
            pool=Inline(loop),
        )
        # Values are handed over by the test's own table: what is tried here is order, not data.
        runner._table.gather = lambda _: {"xs": list(runner._table.inputs["xs"])}
        meddler = asyncio.ensure_future(self.meddle(runner))
        try:
            await asyncio.wait_for(runner.run(), 1e7)
        finally:
            meddler.cancel()
        return runner


class Inline:
    """Worker threads without threads: the order of things must hang on the seed alone."""

    def __init__(self, loop):
        self.loop = loop

    def submit(self, job):
        self.loop.call_soon(job)


def assert_sound(world, runner):  # noqa: PLR0915  one look at each event, from the first to the last
    graph, events, snapshot = world.graph, world.events, runner.snapshot
    ended, began, running, retry_from = {}, Counter(), set(), {}
    completed, undone = [], []
    starts = {tag: [] for tag in world.limits}
    for position, event in enumerate(events):
        kind = kind_of(event)
        if kind == "step.started":
            step, sources = graph.node(event.step).step, graph.dependencies[event.step]
            waited = [source in ended for source in sources]
            assert (any(waited) or not sources) if step.trigger is Trigger.ANY else all(waited), event
            assert event.step not in ended, event
            began[event.step] += 1
            assert event.attempt == began[event.step], event
            assert event.at >= retry_from.get(event.step, 0) - 1e-6, f"{event.step} did not wait"
            running.add(event.step)
            assert graph.flow.max_parallel is None or len(running) <= graph.flow.max_parallel, event
            for tag, (size, per_s) in world.limits.items():
                if tag in world.tags[event.step]:
                    starts[tag].append(event.at)
                    inside = [name for name in running if tag in world.tags[name]]
                    assert per_s is not None or len(inside) <= size, f"{tag}: {inside}"
        elif kind == "step.retrying":
            running.discard(event.step)
            retry_from[event.step] = event.at + event.delay_s
            assert began[event.step] <= graph.node(event.step).step.retry.retries, event
        elif kind in ENDS:
            assert event.step not in ended, f"{event.step} ended twice"
            ended[event.step] = position
            running.discard(event.step)
            if kind == "step.completed":
                completed.append(event.step)
        elif kind == "step.rolled_back":
            undone.append(event.step)
        elif kind == "run.rollback_started":
            assert list(event.steps) == [s for s in reversed(completed) if graph.node(s).step.rollback], event
    for tag, (size, per_s) in world.limits.items():
        if per_s is not None:
            late = starts[tag][size:]
            assert all(b - a >= per_s - 1e-3 for a, b in zip(starts[tag], late, strict=False)), f"{tag}: {starts[tag]}"
    assert set(ended) == set(runner.machine.names)
    assert snapshot.state.is_final
    assert all(step.state.is_final for step in snapshot.steps.values())
    assert fold(events) == snapshot
    assert [step.state for step in snapshot.steps.values()] == runner.machine.state
    assert snapshot.state == runner.machine.run_state
    assert all(a.at <= b.at for a, b in pairwise(events))
    may_undo = [step for step in completed if graph.node(step).step.rollback]
    if snapshot.state == "rolled_back":
        assert undone == may_undo[::-1]
    elif not any(kind_of(event) == "run.rollback_started" for event in events):
        assert not undone
        assert not world.undoing
    if runner._journal is not None:
        assert runner._journal.events == events


def check(seed):
    """Plays the run of this seed and judges it."""
    world = World(seed)
    try:
        runner = run_virtually(world.play())
        assert_sound(world, runner)
    except BaseException as error:
        error.add_note(f"seed {seed}: tests.engine.chaos.check({seed}) plays it again")
        raise
    return [(kind_of(event), getattr(event, "step", ""), event.at) for event in world.events]
