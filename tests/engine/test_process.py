"""Bodies in processes of their own: values, output, errors, kills."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import pytest

from szal_nb.engine.body import CellBody, FunctionBody, compile_cell
from szal_nb.engine.context import current_context, progress, stop
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.runner import Runner
from szal_nb.engine.signal import Cancel
from szal_nb.errors import RetryAfter
from szal_nb.model.event import StepProgress
from szal_nb.model.graph import StepNode
from szal_nb.model.step import Executor, RetryPolicy, Step
from tests.engine.simulation import flow_of


def run(functions, *lines, cancel_after=None, sinks=(), **step):
    steps = {name: {"executor": Executor.PROCESS, **step} for name in functions}
    graph = flow_of(*lines, steps=steps)

    async def main():
        bodies = [FunctionBody(graph.node(name), functions[name]) for name in functions]
        runner = Runner(RunMachine(graph), bodies, run_id="r", inputs={}, sinks=sinks)
        task = asyncio.ensure_future(runner.run())
        if cancel_after is not None:
            await cancel_after(runner)
            runner.post(Cancel(runner.now()))
        await asyncio.wait_for(task, 60)
        return runner

    return asyncio.run(main())


def where():
    return os.getpid()


def report(where):
    context = current_context()
    print("in the process of", where)
    print("an error", file=sys.stderr)
    progress(1, 2, "half")
    return (os.getpid() != where, context.run_id, context.step, context.attempt)


def test_values_go_to_a_warm_process_and_come_back_with_what_it_showed():
    seen = []
    runner = run({"where": where, "report": report}, "where", "report <- where", sinks=[seen.extend])

    pid = runner.values[0, "where"]
    assert pid != os.getpid()
    # The second body found the process of the first.
    assert runner.values[1, "report"] == (False, "r", "report", 1)
    text = "".join(item.text for event in seen if hasattr(event, "items") for item in event.items)
    assert sorted(text.splitlines()) == ["an error", f"in the process of {pid}"]
    assert [event.done for event in seen if isinstance(event, StepProgress)] == [1]


def fail():
    raise ValueError("in there")


def test_an_error_comes_back_with_its_class_its_bases_and_its_traceback():
    error = run({"fail": fail}, "fail").snapshot.steps["fail"].error

    assert (error.type, error.message) == ("ValueError", "in there")
    assert "builtins.Exception" in error.names
    assert 'raise ValueError("in there")' in error.traceback


def hang():
    print("hanging")
    time.sleep(600)


def test_a_timeout_kills_the_process():
    begun = time.monotonic()
    runner = run({"hang": hang}, "hang", timeout_s=0.5)

    assert runner.snapshot.steps["hang"].error.type == "StepTimeout"
    assert time.monotonic() - begun < 30


def test_a_cancel_kills_the_process():
    async def until_it_hangs(runner):
        printed = asyncio.Event()
        runner.turns.sinks.append(lambda events: printed.set() if any(hasattr(e, "items") for e in events) else None)
        await printed.wait()

    runner = run({"hang": hang}, "hang", cancel_after=until_it_hangs)
    assert runner.snapshot.steps["hang"].state == "cancelled"


def die():
    os._exit(9)


def test_a_process_that_dies_is_a_failed_attempt_that_says_so():
    error = run({"die": die}, "die").snapshot.steps["die"].error

    assert error.message == "The process of step 'die' ended with exit code 9 before its body did."


def unpicklable():
    return lambda: iter([]), (i for i in range(3))


def test_what_cannot_travel_is_the_attempt_s_failure():
    error = run({"unpicklable": unpicklable}, "unpicklable").snapshot.steps["unpicklable"].error

    assert error.type == "CannotTravel"
    assert error.message == (
        "Step 'unpicklable' runs in another process, and what it gives as 'unpicklable' cannot be sent: "
        "cannot pickle 'generator' object. Take `--executor process` away, or let the step make what it needs of this "
        "itself."
    )


def lock():
    return threading.Lock()


def takes(lock):
    return lock


def test_neither_can_what_a_step_reads_and_it_is_named():
    graph = flow_of("lock", "takes <- lock", steps={"takes": {"executor": Executor.PROCESS}})
    bodies = [FunctionBody(graph.node("lock"), lock), FunctionBody(graph.node("takes"), takes)]

    async def main():
        runner = Runner(RunMachine(graph), bodies, run_id="r", inputs={})
        await asyncio.wait_for(runner.run(), 60)
        return runner

    runner = asyncio.run(main())
    error = runner.snapshot.steps["takes"].error
    assert error.message.startswith(
        "Step 'takes' runs in another process, and what it reads as 'lock' cannot be sent: cannot pickle"
    )


def again():
    if current_context().attempt == 1:
        raise RetryAfter(0.01)
    stop("that is all")


def test_a_body_in_a_process_can_ask_for_a_retry_and_for_the_end():
    runner = run({"again": again}, "again", retry=RetryPolicy(retries=1, delay_s=1e6))

    assert (runner.snapshot.state, runner.snapshot.reason) == ("completed", "stopped: that is all")
    assert len(runner.snapshot.steps["again"].attempts) == 2


@pytest.mark.parametrize("source", ["import os\nrate = 2\npid = os.getpid()\ntotal = gross(price)\ntotal"])
def test_a_cell_runs_in_a_process_with_the_notebook_s_functions(source):
    notebook = {"__name__": "__main__"}
    exec("def gross(x): return x * rate", notebook)
    step = Step(name="s", executor=Executor.PROCESS)
    node = StepNode(step=step, gives=("total", "pid"), definitions=("gross",))
    body = CellBody(node, compile_cell(source, "<cell>"), {"gross": notebook["gross"]}, {"display": open})
    graph = flow_of("s", steps={"s": {"executor": Executor.PROCESS}})

    async def main():
        runner = Runner(RunMachine(graph), [body], run_id="r", inputs={})
        runner._table.gather = lambda _: {"price": 21}
        await runner.run()
        return runner

    runner = asyncio.run(main())
    assert runner.values[0, "total"] == 42
    assert runner.values[0, "pid"] != os.getpid()


@pytest.mark.parametrize("slots", ["__slots__ = ('__x',)", "__slots__ = ('_C__x',)"])
def test_a_class_of_the_notebook_has_its_slots_there_too(slots):
    notebook = {"__name__": "__main__"}
    exec(
        f"class C:\n    {slots}\n    def __init__(self):\n        self.__x = 5\n    def go(self):\n        return self.__x",
        notebook,
    )
    node = StepNode(step=Step(name="s", executor=Executor.PROCESS), gives=("told",), definitions=("C",))
    source = "c = C()\ntry:\n    c.typo = c.go()\nexcept AttributeError as error:\n    told = str(error)"
    body = CellBody(node, compile_cell(source, "<cell>"), {"C": notebook["C"]}, {})
    graph = flow_of("s", steps={"s": {"executor": Executor.PROCESS}})

    async def main():
        runner = Runner(RunMachine(graph), [body], run_id="r", inputs={})
        await runner.run()
        return runner

    assert asyncio.run(main()).values[0, "told"] == "'C' object has no attribute 'typo'"


class Refused(Exception):
    def __init__(self, who, why):
        super().__init__(f"{who}: {why}")
        self.who = who


def refuse():
    return Refused("bank", "no cover")


def test_an_exception_comes_back_as_a_value():
    error = run({"refuse": refuse}, "refuse").values[0, "refuse"]

    assert (type(error), str(error), error.who) == (Refused, "bank: no cover", "bank")
