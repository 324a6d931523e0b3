"""Random runs of machine and runner on virtual time; `invariants` says what must hold for every one of them.

A seed decides everything: the flow, what bodies do and how long they take, when people meddle. `check(seed)` raises
AssertionError that names the seed; calling it again plays the same run.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from szal_nb.engine.context import current_context
from szal_nb.engine.device import device_slots
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.requirement import WHOLE, share_of
from szal_nb.engine.runner import Runner
from szal_nb.engine.signal import Answer, Cancel, Pause, Unpause
from szal_nb.errors import RetryAfter, StopRun
from szal_nb.model.event import kind_of
from szal_nb.model.flow import Guard, RollbackOn
from szal_nb.model.limit import parse_limit
from szal_nb.model.step import Backoff, Compensation, Executor, OnConditionError, OnError, RetryPolicy, Trigger
from tests.engine.invariants import ENDS, assert_sound
from tests.engine.simulation import flow_of
from tests.engine.virtual import run_virtually


class Body:
    """A coroutine that takes some virtual time and then does what chance says."""

    is_async = True

    def __init__(self, world, name, undoes=None):
        self.world, self.name, self.undoes = world, name, undoes

    async def call(self, inputs):
        world, chance = self.world, self.world.chance
        entry = world.enter(self)
        try:
            if chance.random() < 0.7:
                await asyncio.sleep(chance.choice([0, 1, 5, 5, 60]))
            return self.end()
        except asyncio.CancelledError:
            if chance.random() < 0.2:
                await asyncio.sleep(chance.choice([0.01, 1000]))
            raise
        finally:
            world.leave(entry)

    def end(self):
        chance = self.world.chance
        fate = chance.random()
        if fate < 0.18:
            raise ValueError(self.name)
        if fate < 0.22:
            raise RetryAfter(chance.choice([0, 100]))
        if fate < 0.23 and self.undoes is None:
            raise StopRun("chance")
        return {self.name: 1} if self.undoes is None else {}


class Function(Body):
    """A body that does not wait, on the main thread or on one of its own."""

    is_async = False

    def call(self, inputs):
        entry = self.world.enter(self)
        try:
            return self.end()
        finally:
            self.world.leave(entry)


class Mapped(Body):
    async def call(self, inputs):
        inside, room = self.world.elements, self.world.room_of_map(self.name)
        inside[self.name] += 1
        self.world.must(inside[self.name] <= room, f"{inside[self.name]} elements of {self.name} at once")
        try:
            await asyncio.sleep(self.world.chance.choice([0, 1, 5]))
        finally:
            inside[self.name] -= 1
        if self.world.chance.random() < 0.1:
            raise ValueError(self.name)
        return {self.name: 1}


class MappedFunction(Mapped):
    is_async = False

    def call(self, inputs):
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


@dataclass(frozen=True)
class Entry:
    """A body at work."""

    name: str
    devices: tuple[str, ...]


class World:
    """One run and all that happens to it."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        # Where all bodies are on the loop, without a record and without maps, completions share a turn.
        self.is_joining = self.chance.random() < 0.35
        self.devices = self.chance.choice([(), (), ("4", "7"), ("0", "1", "2")])
        self.graph = self.random_flow()
        self.inside, self.elements = {}, Counter()
        self.faults = []
        self.tags = {step.name: step.tags for step in self.graph.flow.steps}
        self.limits = {tag: parse_limit(text) for tag, text in self.graph.flow.limits}
        self.events = []
        self.undoing, self.rollbacks = [], 0

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
                "map": () if self.is_joining else chance.choice([(), (), (), (), ("xs",)]),
                "max_parallel": chance.choice([None, None, 2]),
                "executor": Executor.MAIN if self.is_joining else chance.choice([Executor.MAIN, Executor.THREAD]),
                "requires": chance.choice([(), ("gpu",), ("gpu:2",), ("gpu:0.5",), ("gpu:.3",)])
                if self.devices
                else (),
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

    def must(self, holds, what):
        """Notes what a body sees: what it raised would be its attempt's failure."""
        if not holds:
            self.faults.append(what)

    def enter(self, body):
        entry = Entry(body.name, current_context().devices)
        if body.undoes is not None:
            self.undoing.append(body.undoes)
            self.must(self.undoing.count(body.undoes) <= 2 * self.rollbacks, f"{body.undoes} undone too often")
            return entry
        started = [event for event in self.events if kind_of(event) == "step.started" and event.step == body.name]
        self.must(started, f"{body.name} ran before its start was recorded")
        self.must(body.name not in self.inside, f"{body.name} ran twice at once")
        asked = self.share_of(body.name)
        self.must(len(entry.devices) == -(-asked // WHOLE), f"{body.name} holds {entry.devices}")
        self.inside[body.name] = entry
        for device in entry.devices:
            held = [(name, self.share_of(name)) for name, one in self.inside.items() if device in one.devices]
            self.must(sum(min(share, WHOLE) for _, share in held) <= WHOLE, f"{held} share {device}")
        return entry

    def share_of(self, name):
        return share_of(name, self.graph.node(name).step.requires)

    def leave(self, entry):
        if self.inside.get(entry.name) is entry:
            del self.inside[entry.name]

    def room_of_map(self, name):
        return self.graph.node(name).step.max_parallel or self.graph.flow.max_parallel or 100

    def take_in(self, events):
        """What is recorded; a body that was abandoned may still be at work, but it counts no more."""
        self.events += events
        for event in events:
            if kind_of(event) in {*ENDS, "step.retrying"}:
                self.inside.pop(event.step, None)
            self.rollbacks += kind_of(event) == "run.rollback_started"

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

    def judge(self, text, names, inputs, snapshot, output_of):
        if self.chance.random() < 0.2:
            raise ValueError("condition")
        return self.chance.random() < 0.6

    async def play(self):
        loop, chance = asyncio.get_running_loop(), self.chance
        steps = self.graph.flow.steps
        kinds, mapped = [Body, Body, Function], [Mapped, MappedFunction]
        journal = None if self.is_joining or chance.random() < 0.5 else Record(self)
        devices = device_slots(self.graph, self.devices)
        runner = Runner(
            RunMachine(self.graph, limits=devices.limits),
            [chance.choice(mapped if step.map else kinds)(self, step.name) for step in steps],
            run_id="chaos",
            inputs={"xs": range(chance.randint(0, 6))},
            rollbacks={i: Body(self, step.name, undoes=step.name) for i, step in enumerate(steps) if step.rollback},
            evaluate=self.judge,
            journal=journal,
            devices=devices,
            sinks=[self.take_in],
            clock=loop.time,
            pool=Inline(loop),
        )
        # Values are handed over by the test's own table: what is tried here is order, not data.
        runner._table.gather = lambda _: {"xs": list(runner._table.inputs["xs"])}
        meddler = asyncio.ensure_future(self.meddle(runner))
        try:
            await asyncio.wait_for(runner.run(), 1e7)
            while chance.random() < 0.4 and (broken := self.can_be_tried_again(runner)):
                step = runner.machine.index[chance.choice(broken)]
                await asyncio.wait_for(runner.run_again(step, journal, runner.epoch + 1), 1e7)
        finally:
            meddler.cancel()
        return runner

    def can_be_tried_again(self, runner):
        steps = runner.snapshot.steps
        if runner.snapshot.state not in ("failed", "cancelled") or any(
            s.state == "rolled_back" for s in steps.values()
        ):
            return []
        return [name for name, step in steps.items() if step.state != "completed"]


class Inline:
    """Worker threads without threads: the order of things must hang on the seed alone."""

    def __init__(self, loop):
        self.loop = loop

    def submit(self, job):
        self.loop.call_soon(job)


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
