"""Mapped steps: results in order, tries for each element, policies, bounds."""

from __future__ import annotations

import asyncio
import threading

import pytest

import szal_nb as szal
from szal_nb.engine.signal import Cancel, Pause, Unpause
from szal_nb.errors import RetryAfter
from szal_nb.model.event import kind_of
from szal_nb.model.flow import Guard
from szal_nb.model.step import MapMode, RetryPolicy
from szal_nb.model.value import ElementEnd
from tests.engine.simulation import flow_of
from tests.engine.test_runner import finished, runner_of, states


def mapped(body, items=range(5), during=None, sinks=(), **step):
    async def xs():
        return items

    graph = flow_of("xs", "ys <- xs", "total <- ys", steps={"ys": {"map": ("xs",), **step}})
    return finished(graph, {"xs": xs, "ys": body, "total": lambda ys: ys}, during=during, sinks=sinks)


def test_results_of_a_map_are_in_input_order():
    async def slow_first(xs):
        await asyncio.sleep(100 - xs)
        return xs * 10

    assert mapped(slow_first).values[2, "total"] == [0, 10, 20, 30, 40]


def test_elements_run_on_threads_too():
    assert mapped(lambda xs: xs + 1).values[2, "total"] == [1, 2, 3, 4, 5]


def test_a_map_over_nothing_gives_empty_lists():
    assert mapped(lambda xs: xs, items=[]).values[2, "total"] == []


def test_each_element_has_its_own_tries():
    tries = {}

    async def flaky(xs):
        tries[xs] = tries.get(xs, 0) + 1
        if tries[xs] <= xs % 3:
            raise OSError(xs)
        return tries[xs]

    runner = mapped(flaky, retry=RetryPolicy(retries=2, delay_s=60))
    assert runner.values[2, "total"] == [1, 2, 3, 1, 2]
    assert len(runner.snapshot.steps["ys"].attempts) == 1


def test_a_body_sees_which_try_of_its_element_it_is():
    async def flaky(xs):
        if szal.context().attempt <= xs % 3:
            raise OSError(xs)
        return szal.context().attempt

    assert mapped(flaky, retry=RetryPolicy(retries=2, delay_s=60)).values[2, "total"] == [1, 2, 3, 1, 2]


def test_an_element_may_say_itself_when_to_try_again():
    times = []

    async def polite(xs):
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            raise RetryAfter(7200)
        return 1

    mapped(polite, items=[1], retry=RetryPolicy(retries=1, delay_s=1))
    assert round(times[1] - times[0]) == 7200


def odd_fails(xs):
    if xs % 2:
        raise ValueError(f"odd {xs}")
    return xs


def test_a_failed_element_fails_the_step_and_names_itself():
    runner = mapped(odd_fails, max_parallel=1, retry=RetryPolicy(retries=0))

    assert states(runner) == {"xs": "completed", "ys": "failed", "total": "skipped"}
    assert runner.snapshot.steps["ys"].error.message == "odd 1 (element 1 of 5)"


def test_tries_of_elements_are_not_multiplied_by_tries_of_the_step():
    calls = []

    def bad(xs):
        calls.append(xs)
        raise ValueError

    mapped(bad, items=[1], retry=RetryPolicy(retries=2, delay_s=0))
    assert calls == [1, 1, 1]


@pytest.mark.parametrize(
    ("policy", "state"), [("collect", "completed"), ("3", "completed"), ("4", "failed"), ("fail", "failed")]
)
def test_a_policy_says_how_many_elements_may_fail(policy, state):
    runner = mapped(odd_fails, map_errors=policy)

    assert runner.snapshot.steps["ys"].state == state
    if state == "completed":
        assert runner.values[2, "total"] == [0, None, 2, None, 4]
        assert runner.snapshot.steps["ys"].note == "2 failed"


def test_when_the_map_has_failed_the_other_elements_are_told_and_none_is_begun():
    begun = []

    async def body(xs):
        begun.append(xs)
        if xs == 1:
            await asyncio.sleep(1)
            raise ValueError
        await asyncio.sleep(1e9)

    runner = mapped(body, items=range(100), max_parallel=3)
    assert begun == [0, 1, 2]
    assert runner.snapshot.steps["ys"].state == "failed"


def test_several_names_go_side_by_side_or_each_with_each():
    graph = flow_of("a", "b", "side <- a, b", "cross <- a, b", steps={
        "side": {"map": ("a", "b")}, "cross": {"map": ("a", "b"), "map_mode": MapMode.PRODUCT},
    })  # fmt: skip
    pair = lambda a, b: f"{a}{b}"  # noqa: E731 a body of one line
    runner = finished(graph, {"a": lambda: "xy", "b": lambda: "12", "side": pair, "cross": pair})

    assert runner.values[2, "side"] == ["x1", "y2"]
    assert runner.values[3, "cross"] == ["x1", "x2", "y1", "y2"]


def test_names_of_different_length_are_refused_with_advice():
    graph = flow_of("a", "b", "both <- a, b", steps={"both": {"map": ("a", "b")}})
    runner = finished(graph, {"a": lambda: "xyz", "b": lambda: "12", "both": lambda a, b: a + b})

    assert "a has 3, b has 2" in runner.snapshot.steps["both"].error.message
    assert "--map-mode product" in runner.snapshot.steps["both"].error.message


def test_what_has_no_elements_is_refused():
    assert "type int has no elements" in mapped(lambda xs: xs, items=3).snapshot.steps["ys"].error.message


def test_a_map_of_10000_elements_has_no_more_tasks_than_its_limit_and_few_events():
    most = 0
    events = []

    async def body(xs):
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0.001)
        return xs

    runner = mapped(body, items=range(10_000), max_parallel=20, sinks=[events.extend])
    assert runner.values[2, "total"] == list(range(10_000))
    assert most < 30
    assert sum(kind_of(event) == "step.progress" for event in events) < 40


def test_elements_on_threads_stay_within_the_limit():
    at_once, most, lock = 0, 0, threading.Lock()

    def body(xs):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        with lock:
            at_once -= 1
        return xs

    assert mapped(body, items=range(500), max_parallel=3).values[2, "total"] == list(range(500))
    assert most <= 3


def test_an_attempt_of_an_element_over_its_timeout_is_tried_again():
    tries = []

    async def slow(xs):
        tries.append(xs)
        if len(tries) == 1:
            await asyncio.sleep(1e9)
        return xs

    runner = mapped(slow, items=[7], timeout_s=60, retry=RetryPolicy(retries=1))
    assert runner.values[2, "total"] == [7]


def test_a_cancel_reaches_the_elements_and_those_that_wait():
    async def body(xs):
        if xs == 0:
            raise OSError
        await asyncio.sleep(1e9)

    async def cancel(runner):
        await asyncio.sleep(10)
        runner.post(Cancel(runner.now(), "enough"))

    runner = mapped(body, during=cancel, retry=RetryPolicy(retries=1, delay_s=1e8))
    assert states(runner) == {"xs": "completed", "ys": "cancelled", "total": "cancelled"}


def test_what_elements_print_is_recorded_with_the_step():
    shown = []

    def body(xs):
        print("element", xs)

    mapped(
        body,
        max_parallel=1,
        sinks=[lambda events: shown.extend(i.text for e in events if kind_of(e) == "step.output" for i in e.items)],
    )
    assert "".join(shown) == "".join(f"element {i}\n" for i in range(5))


def test_a_cancel_while_all_elements_wait_ends_the_map():
    async def main():
        async def body(xs):
            raise OSError

        graph = flow_of("xs", "ys <- xs", steps={"ys": {"map": ("xs",), "retry": RetryPolicy(retries=1, delay_s=1e8)}})
        runner = runner_of(graph, {"xs": lambda: [1, 2], "ys": body})
        task = asyncio.ensure_future(runner.run())
        while runner.snapshot.steps["ys"].state != "running":  # noqa: ASYNC110  a run has no event for it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        runner.post(Cancel(runner.now()))
        await asyncio.wait_for(task, 10)
        return runner

    assert asyncio.run(main()).snapshot.state == "cancelled"


def test_a_coroutine_follows_elements_on_threads():
    async def after(double):
        return sum(double)

    graph = flow_of("xs", "double <- xs", "after <- double", steps={"double": {"map": ("xs",)}}, guard=Guard.OFF)
    runner = finished(graph, {"xs": lambda: [1, 2, 3], "double": lambda xs: 2 * xs, "after": after})

    assert runner.values[2, "after"] == 12


def test_it_is_recorded_how_each_element_ended_and_after_how_many_tries():
    tries = {}

    async def flaky(xs):
        tries[xs] = tries.get(xs, 0) + 1
        if xs == 1 or (xs == 2 and tries[xs] == 1):
            raise OSError(f"no {xs}\nmore")
        return xs / 2

    runner = mapped(flaky, range(4), map_errors="collect", retry=RetryPolicy(retries=1, delay_s=1))

    assert dict(sorted(runner.snapshot.steps["ys"].elements.items())) == {
        0: ElementEnd(0, gave="float"),
        1: ElementEnd(1, attempts=2, error="OSError: no 1"),
        2: ElementEnd(2, attempts=2, gave="float"),
        3: ElementEnd(3, gave="float"),
    }


@pytest.mark.parametrize("is_resumed", [True, False])
def test_no_element_begins_in_a_run_that_is_paused(is_resumed):
    begun = []

    async def body(xs):
        begun.append(xs)
        await asyncio.sleep(10)
        return xs

    async def during(runner):
        await asyncio.sleep(15)
        runner.post(Pause(15.0))
        await asyncio.sleep(1000)
        assert begun == [0, 1, 2, 3]
        runner.post(Unpause(1015.0) if is_resumed else Cancel(1015.0))

    runner = mapped(body, items=range(6), max_parallel=2, during=during)
    if is_resumed:
        assert runner.values[2, "total"] == [0, 1, 2, 3, 4, 5]
    else:
        assert (begun, runner.snapshot.state) == ([0, 1, 2, 3], "cancelled")
