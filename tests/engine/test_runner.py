"""The runner: write, act, show; bodies on the loop and on threads; timeouts, cancels and what bodies may throw."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time

import numpy as np
import pytest

from szal_nb.engine.context import current_context
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.runner import Runner
from szal_nb.engine.signal import Cancel
from szal_nb.errors import RetryAfter, StoreError
from szal_nb.model.event import StepCompleted, kind_of
from szal_nb.model.state import fold
from szal_nb.model.step import Executor, RetryPolicy
from tests.engine.simulation import flow_of
from tests.engine.virtual import run_virtually


class AsyncBody:
    """A body made of a coroutine function of the inputs; gives its result under the step's name."""

    is_async = True

    def __init__(self, name, function):
        self.name, self.function = name, function

    async def call(self, inputs):
        return {self.name: await self.function(**inputs)}


class SyncBody(AsyncBody):
    is_async = False

    def call(self, inputs):
        return {self.name: self.function(**inputs)}


class FakeJournal:
    """Commits when told to; `log` is shared with the bodies, to see what came first."""

    def __init__(self, log, fail_at=None):
        self.log, self.fail_at, self.committed = log, fail_at, []

    async def append(self, events):
        await asyncio.sleep(0)
        if self.fail_at is not None and len(self.committed) >= self.fail_at:
            raise StoreError("the disk is full")
        self.committed.append(list(events))
        self.log += [f"committed {kind_of(event)} {getattr(event, 'step', '')}".strip() for event in events]

    def keep(self, step, attempt, values, needed):
        return ()

    def load(self, ref):
        raise AssertionError("nothing was kept")

    load_fresh = load


def runner_of(graph, functions, **more):
    loop = asyncio.get_running_loop()
    bodies = [
        (AsyncBody if asyncio.iscoroutinefunction(functions[node.step.name]) else SyncBody)(
            node.step.name, functions[node.step.name]
        )
        for node in graph.nodes
    ]
    more.setdefault("clock", loop.time)
    return Runner(RunMachine(graph), bodies, run_id="r", inputs={}, **more)


def finished(graph, functions, during=None, **more):
    """The runner after its run, on virtual time; `during(runner)` is a coroutine that runs beside it."""

    async def main():
        runner = runner_of(graph, functions, **more)
        if during is None:
            await runner.run()
        else:
            await asyncio.gather(runner.run(), during(runner))
        return runner

    return run_virtually(main())


def states(runner):
    return {name: step.state.value for name, step in runner.snapshot.steps.items()}


def test_values_flow_along_the_edges_to_bodies_on_the_loop_and_on_threads():
    async def load():
        return 20

    runner = finished(
        flow_of("load", "double <- load", "both <- load, double"),
        {"load": load, "double": lambda load: 2 * load, "both": lambda load, double: load + double},
    )

    assert runner.values == {(0, "load"): 20, (1, "double"): 40, (2, "both"): 60}
    assert runner.snapshot.state == "completed"


def test_an_event_is_committed_before_anything_that_depends_on_it_happens():
    log = []

    async def load():
        log.append("body of load")

    async def clean(load):
        log.append("body of clean")

    async def main():
        runner = runner_of(
            flow_of("load", "clean <- load"),
            {"load": load, "clean": clean},
            journal=FakeJournal(log),
            sinks=[lambda events: log.append(f"shown {kind_of(events[-1])}")],
        )
        await runner.run()

    asyncio.run(main())
    assert log == [
        "committed run.created",
        "committed run.started",
        "committed step.started load",
        "shown step.started",
        "body of load",
        "committed step.completed load",
        "committed step.started clean",
        "shown step.started",
        "body of clean",
        "committed step.completed clean",
        "committed run.completed",
        "shown run.completed",
    ]


def test_ends_that_come_while_the_journal_writes_are_joined_into_one_turn():
    names = [f"s{i}" for i in range(20)]

    async def body():
        return None

    class Writing(FakeJournal):
        """Is at the first of the ends until all others have come."""

        has_waited = False

        async def append(self, events):
            ended = sum(isinstance(event, StepCompleted) for event in events)
            while ended and not self.has_waited:
                self.has_waited = ended + len(runner.turns._inbox) == len(names)
                await asyncio.sleep(0)
            await super().append(events)

    async def main():
        nonlocal runner
        journal = Writing([])
        runner = runner_of(flow_of(*names), dict.fromkeys(names, body), journal=journal)
        await runner.run()
        return [sum(isinstance(event, StepCompleted) for event in events) for events in journal.committed]

    runner = None
    begun, *ends = asyncio.run(main())
    assert (begun, sum(ends)) == (0, len(names))
    assert len(ends) <= 2


@pytest.mark.parametrize(
    ("value", "is_on_loop"),
    [
        (5, True),
        (None, True),
        (2.5, True),
        ("EU", True),
        (2**63, False),
        ("x" * 1_001, False),
        ([1, 2], False),
        (np.float64(2.5), False),
    ],
    ids=repr,
)
def test_what_a_coroutine_gave_is_written_down_on_the_loop_only_where_that_takes_no_time(value, is_on_loop):
    kept_by = []

    class Journal(FakeJournal):
        def keep(self, step, attempt, values, needed):
            kept_by.append(threading.current_thread() is threading.main_thread())
            return ()

    async def load():
        return value

    async def main():
        await runner_of(flow_of("load", "clean <- load"), {"load": load, "clean": read}, journal=Journal([])).run()

    async def read(load):
        assert load is value

    asyncio.run(main())
    assert kept_by[0] is is_on_loop


def test_when_the_record_cannot_be_written_nothing_goes_on_and_the_error_is_raised():
    begun = []

    async def load():
        begun.append("load")

    async def clean(load):
        begun.append("clean")

    async def main():
        journal = FakeJournal([], fail_at=1)
        runner = runner_of(flow_of("load", "clean <- load"), {"load": load, "clean": clean}, journal=journal)
        with pytest.raises(StoreError, match="disk is full"):
            await runner.run()
        return fold([event for turn in journal.committed for event in turn])

    recorded = asyncio.run(main())
    assert begun == ["load"]
    assert {name: step.state for name, step in recorded.steps.items()} == {"load": "running", "clean": "pending"}


def test_a_timeout_ends_a_coroutine_and_counts_as_a_failed_attempt():
    ended = []

    async def hang():
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(True)

    runner = finished(flow_of("hang", steps={"hang": {"timeout_s": 60.0}}), {"hang": hang})

    error = runner.snapshot.steps["hang"].error
    assert (error.type, error.message) == (
        "StepTimeout",
        "Step 'hang' took longer than its timeout of 60 s.",
    )
    assert ended == [True]


def test_a_timed_out_thread_is_abandoned_and_tried_again():
    release, tries = threading.Event(), []

    def hang():
        tries.append(len(tries))
        if len(tries) == 1:
            release.wait(30)
            print("from the abandoned attempt")
        return len(tries)

    async def main():
        policy = RetryPolicy(retries=1, delay_s=0)
        graph = flow_of("hang", steps={"hang": {"timeout_s": 0.05, "retry": policy}})
        runner = runner_of(graph, {"hang": hang})
        await runner.run()
        return runner

    runner = asyncio.run(main())
    release.set()
    assert [attempt.state for attempt in runner.snapshot.steps["hang"].attempts] == ["failed", "completed"]
    assert runner.values == {(0, "hang"): 2}


def test_a_retry_begins_after_its_delay():
    times = []

    async def flaky():
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            raise OSError("not yet")
        return "there"

    retry = RetryPolicy(retries=2, delay_s=3600)
    runner = finished(flow_of("flaky", steps={"flaky": {"retry": retry}}), {"flaky": flaky})

    assert [round(b - a) for a, b in itertools.pairwise(times)] == [3600, 3600]
    assert runner.snapshot.state == "completed"


def test_a_body_says_itself_when_to_try_again():
    times = []

    async def polite():
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            raise RetryAfter(7200)

    retry = RetryPolicy(retries=1, delay_s=1)
    finished(flow_of("polite", steps={"polite": {"retry": retry}}), {"polite": polite})

    assert round(times[1] - times[0]) == 7200


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_sys_exit_keyboard_interrupt_and_stray_cancellation_are_the_attempts_outcome(kind, error):
    def sync_body():
        raise error

    async def async_body():
        raise error

    runner = finished(flow_of("bad", "good"), {"bad": async_body if kind == "async" else sync_body, "good": int})

    assert states(runner) == {"bad": "failed", "good": "completed"}
    assert runner.snapshot.steps["bad"].error.type == type(error).__name__


def test_cancel_ends_coroutines_and_abandons_threads_after_their_grace():
    release = threading.Event()
    told = []

    async def patient():
        await asyncio.sleep(1e9)

    def stubborn():
        told.append(current_context())
        release.wait(30)

    async def main():
        runner = runner_of(flow_of("patient", "stubborn", "later <- stubborn"), {
            "patient": patient, "stubborn": stubborn, "later": int,
        })  # fmt: skip
        task = asyncio.ensure_future(runner.run())
        while not told:  # noqa: ASYNC110  another thread tells
            await asyncio.sleep(0)
        runner.post(Cancel(runner._clock(), "by hand"))
        await task
        return runner

    runner = asyncio.run(main())
    assert states(runner) == {"patient": "cancelled", "stubborn": "cancelled", "later": "cancelled"}
    assert told[0].cancelled
    release.set()


def test_what_a_body_prints_is_recorded_with_its_attempt_and_reaches_no_stream(capsys):
    def sync_body():
        print("from a thread")
        print("and an error", file=sys.stderr)

    async def async_body():
        print("from the loop")

    shown = {}

    def sink(events):
        for event in events:
            if kind_of(event) == "step.output":
                for item in event.items:
                    shown[event.step, item.name] = shown.get((event.step, item.name), "") + item.text

    finished(flow_of("a", "b"), {"a": sync_body, "b": async_body}, sinks=[sink])

    assert shown == {
        ("a", "stdout"): "from a thread\n",
        ("a", "stderr"): "and an error\n",
        ("b", "stdout"): "from the loop\n",
    }
    assert capsys.readouterr() == ("", "")


def test_a_long_body_s_output_is_recorded_while_it_runs():
    async def talk():
        for i in range(3):
            print(i)
            await asyncio.sleep(10)

    turns = []
    finished(
        flow_of("talk"),
        {"talk": talk},
        sinks=[lambda events: turns.append([kind_of(event) for event in events])],
    )

    assert [turn for turn in turns if "step.output" in turn] == [["step.output"]] * 3


def test_a_broken_sink_does_not_break_the_run(caplog):
    def sink(events):
        raise RuntimeError("no picture")

    runner = finished(flow_of("a"), {"a": int}, sinks=[sink])

    assert runner.snapshot.state == "completed"
    assert "the run itself goes on" in caplog.text


def test_a_flow_that_takes_too_long_fails():
    async def hang():
        await asyncio.sleep(1e9)

    runner = finished(flow_of("hang", "next <- hang", timeout_s=100.0), {"hang": hang, "next": int})

    assert runner.snapshot.state == "failed"
    assert "timeout of 100 s" in runner.snapshot.reason


def test_thousands_of_bodies_on_threads_share_few_threads():
    names = [f"s{i}" for i in range(2000)]
    at_once, most, lock = 0, 0, threading.Lock()

    def body():
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        with lock:
            at_once -= 1

    async def main():
        graph = flow_of(*names, max_parallel=8)
        before = threading.active_count()
        runner = runner_of(graph, dict.fromkeys(names, body))
        await runner.run()
        return runner, threading.active_count() - before

    runner, threads = asyncio.run(main())
    assert runner.snapshot.state == "completed"
    assert most <= 8
    # A thread that has just handed its result over is not idle yet when the next attempt begins.
    assert threads <= 2 * 8


class AtOnce:
    """A pool whose threads are quicker than any loop: a job has run when it was submitted."""

    def submit(self, job):
        job()


@pytest.mark.parametrize("has_record", [False, True])
def test_a_condition_knows_what_has_become_of_the_steps_that_it_waited_for(has_record):
    async def load():
        return 7

    seen = []

    def evaluate(text, names, inputs, snapshot, output_of):
        assert inputs == {}
        seen.append((text, names["load"], snapshot.steps["load"].state, output_of("load")))
        return True

    graph = flow_of("load", "report <- load", steps={"report": {"when": "steps.load.status == 'completed'"}})
    journal = FakeJournal([]) if has_record else None
    finished(graph, {"load": load, "report": load}, evaluate=evaluate, pool=AtOnce(), journal=journal)

    assert seen == [("steps.load.status == 'completed'", 7, "completed", 7)]


def test_coroutines_that_are_ready_together_and_do_not_wait_share_a_turn():
    shown = []
    flow = flow_of("a", "b", "c", "d <- a, b, c")

    async def at_once(**_):
        return 1

    runner = finished(
        flow, dict.fromkeys("abcd", at_once), sinks=[lambda events: shown.append(list(map(kind_of, events)))]
    )

    assert runner.snapshot.state == "completed"
    assert shown == [
        ["run.created", "run.started", *["step.started"] * 3],
        [*["step.completed"] * 3, "step.started"],
        ["step.completed", "run.completed"],
    ]


def test_what_a_body_completed_lets_start_does_not_wait_for_one_that_waits():
    log = []

    async def at_once(**_):
        log.append("quick")
        return 1

    async def slow():
        log.append("slow begins")
        await asyncio.sleep(10)
        log.append("slow ends")
        return 1

    async def after(**_):
        log.append("after quick")
        return 1

    finished(flow_of("a", "b", "c <- a"), {"a": at_once, "b": slow, "c": after})

    assert log == ["quick", "slow begins", "after quick", "slow ends"]


def test_a_completion_is_taken_in_at_once_where_a_function_may_start_on_a_thread():
    shown = []

    async def at_once(**_):
        return 1

    runner = finished(
        flow_of("a", "b", "c <- a, b"),
        {"a": at_once, "b": at_once, "c": lambda **_: 1},
        sinks=[lambda events: shown.append([kind_of(event) for event in events])],
    )

    assert runner.snapshot.state == "completed"
    assert shown[1:3] == [["step.completed"], ["step.completed", "step.started"]]


def on_main(*lines):
    return flow_of(*lines, steps={line.split()[0]: {"executor": Executor.MAIN} for line in lines})


def test_functions_on_the_main_thread_that_are_ready_together_share_a_turn():
    shown = []
    runner = finished(
        on_main("a", "b", "c <- a, b"),
        dict.fromkeys("abc", lambda **_: 1),
        sinks=[lambda events: shown.append([kind_of(event) for event in events])],
    )

    assert runner.snapshot.state == "completed"
    assert shown[1:] == [[*["step.completed"] * 2, "step.started"], ["step.completed", "run.completed"]]


def test_functions_on_the_main_thread_leave_the_loop_its_turn():
    # Each is longer than the slice of time that bodies have together.
    log, names = [], [f"s{i}" for i in range(5)]

    def long(**_):
        log.append("step")
        ends = time.monotonic() + 0.005
        while time.monotonic() < ends:
            pass

    async def main():
        asyncio.get_running_loop().call_soon(beat)
        runner = runner_of(on_main(*names), dict.fromkeys(names, long))
        await runner.run()
        is_beating.clear()

    def beat():
        log.append("loop")
        if is_beating:
            asyncio.get_running_loop().call_soon(beat)

    is_beating = [True]
    asyncio.run(main())
    assert "".join(word[0] for word in log).count("sl") == len(names)


def test_a_function_that_is_cancelled_before_it_began_does_not_begin():
    began = []

    def first():
        began.append("first")
        runners[0].post(Cancel(0.0, "enough"))

    async def main():
        runners.append(runner_of(on_main("a", "b"), {"a": first, "b": lambda: began.append("second")}))
        await runners[0].run()

    runners = []
    asyncio.run(main())
    assert began == ["first"]
    assert {name: step.state.value for name, step in runners[0].snapshot.steps.items()}["b"] == "cancelled"


def test_a_coroutine_that_waits_for_a_function_on_the_main_thread_begins():
    async def after(a):
        return a + 1

    runner = finished(on_main("a", "b <- a"), {"a": lambda: 1, "b": after})

    assert runner.values[1, "b"] == 2


def test_a_body_that_cancels_its_own_task_does_not_reach_the_next_one():
    async def first():
        asyncio.current_task().cancel()
        return 1

    async def second():
        await asyncio.sleep(1)
        return 2

    async def third():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(failing())
        except* ValueError:
            pass
        return 3

    async def failing():
        raise ValueError

    runner = finished(flow_of("a", "b", "c"), {"a": first, "b": second, "c": third})

    assert states(runner) == dict.fromkeys("abc", "completed")


@pytest.mark.parametrize("kind", ["on the main thread", "a coroutine"])
@pytest.mark.parametrize("takes_s", [0.05, 0.0])
def test_a_body_that_holds_the_loop_beyond_its_timeout_fails_when_it_ends(kind, takes_s):
    tries = []
    timeout_s = 0.02 if takes_s else 60.0

    def hold():
        tries.append(1)
        time.sleep(takes_s)
        return 5

    async def hold_in_coroutine():
        return hold()

    step = {"timeout_s": timeout_s, "retry": RetryPolicy(retries=1, delay_s=0), "executor": Executor.MAIN}
    graph = flow_of("a", steps={"a": step})
    body = SyncBody("a", hold) if kind == "on the main thread" else AsyncBody("a", hold_in_coroutine)

    async def main():
        runner = Runner(RunMachine(graph), [body], run_id="r", inputs={})
        await runner.run()
        return runner.snapshot.steps["a"]

    step = asyncio.run(main())
    if takes_s:
        assert (step.state, step.error.type, len(tries)) == ("failed", "StepTimeout", 2)
        assert "longer than its timeout of 0.02 s" in step.error.message
    else:
        assert (step.state, len(tries)) == ("completed", 1)
