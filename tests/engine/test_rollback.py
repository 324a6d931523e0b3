"""Undoing a run: which steps, in which order, with which tries, and how it is recorded."""

from __future__ import annotations

import asyncio

import pytest

from szal_nb.engine.body import FunctionBody
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.replay import completion_order, plan_resume, put_where_record_ends
from szal_nb.engine.signal import AttemptCompleted, Cancel, Given, TimedOut
from szal_nb.engine.values import ValueTable
from szal_nb.errors import RetryAfter
from szal_nb.model.event import kind_of
from szal_nb.model.flow import RollbackOn
from szal_nb.model.step import Compensation, OnError, RetryPolicy
from tests.engine.simulation import Simulation, begun, flow_of, simulate
from tests.engine.test_runner import finished, states

UNDO = {"rollback": Compensation()}


def undone(run):
    return [event.step for event in run.events if kind_of(event) == "step.rolled_back"]


def test_rollback_undoes_completed_steps_in_reverse_order_of_completion():
    # The seed undid them in the reverse order of their definition, whatever had happened.
    run = begun(flow_of("a", "b", "bad <- a, b", steps={"a": UNDO, "b": UNDO}))
    run.complete("b")
    run.complete("a")
    run.fail("bad")

    assert run.snapshot.state == "rolling_back"
    assert run.undoing == [(0, 1)]
    run.undo()
    run.undo()
    assert undone(run) == ["a", "b"]
    assert run.states == {"a": "rolled_back", "b": "rolled_back", "bad": "failed"}
    assert (run.snapshot.state, run.snapshot.reason) == ("rolled_back", "bad failed")


def test_a_rolled_back_run_records_these_events():
    run = begun(flow_of("a", "bad <- a", steps={"a": UNDO}))
    run.complete("a")
    run.fail("bad")
    run.undo()

    assert [kind_of(event) for event in run.events][-4:] == [
        "step.failed",
        "run.rollback_started",
        "step.rolled_back",
        "run.rolled_back",
    ]


def test_rollback_leaves_steps_that_did_not_complete_and_those_without_a_compensation():
    graph = flow_of("a", "plain", "bad <- a, plain", "later <- bad", steps={"a": UNDO, "bad": UNDO, "later": UNDO})
    run = simulate(graph, fails={"bad"})

    assert undone(run) == ["a"]
    assert run.states == {"a": "rolled_back", "plain": "completed", "bad": "failed", "later": "skipped"}


def test_a_failure_without_rollback_steps_ends_as_failed():
    assert simulate(flow_of("a", "bad <- a"), fails={"bad"}).snapshot.state == "failed"


def test_rollback_of_nothing_ends_as_rolled_back():
    run = simulate(flow_of("bad", "later <- bad", steps={"later": UNDO}), fails={"bad"})

    assert (run.snapshot.state, undone(run)) == ("rolled_back", [])


def test_a_failed_rollback_is_recorded_and_the_others_still_run():
    run = begun(flow_of("a", "b <- a", "bad <- b", steps={"a": UNDO, "b": UNDO}))
    run.complete("a")
    run.complete("b")
    run.fail("bad")
    run.undo(fails=True)
    run.undo()

    assert run.states == {"a": "rolled_back", "b": "completed", "bad": "failed"}
    assert run.snapshot.steps["b"].rollback_error.message == "boom"
    assert (run.snapshot.state, run.snapshot.reason) == ("failed", "bad failed; b could not be undone")


def test_a_compensation_is_tried_again_as_its_own_policy_says():
    twice = {"rollback": Compensation(retry=RetryPolicy(retries=1, delay_s=30))}
    run = begun(flow_of("a", "bad <- a", steps={"a": twice}))
    run.complete("a")
    run.fail("bad")
    run.undo(fails=True)

    assert [due for due, _ in run.timers] == [run.at + 30]
    run.fire_timer()
    assert run.undoing == [(0, 2)]
    run.undo()
    assert run.snapshot.state == "rolled_back"
    assert run.snapshot.steps["a"].rollback_attempts == 2


def test_rollback_undoes_sub_steps_before_their_parent():
    # Sub-steps complete after their parent; the seed never undid them.
    run = simulate(
        flow_of("parent", "child <- parent", "bad <- child", steps={"parent": UNDO, "child": UNDO}), fails={"bad"}
    )

    assert undone(run) == ["child", "parent"]


@pytest.mark.parametrize(
    ("ends", "state"), [((RollbackOn.FAILURE,), "cancelled"), ((RollbackOn.CANCEL,), "rolled_back"), ((), "cancelled")]
)
def test_a_cancelled_run_rolls_back_only_if_asked(ends, state):
    run = begun(flow_of("a", "b <- a", steps={"a": UNDO}, rollback_on=ends))
    run.complete("a")
    run.cancel()
    run.end_cancelled("b")
    while run.undoing:
        run.undo()

    assert run.snapshot.state == state


def test_a_step_that_may_fail_starts_no_rollback():
    run = simulate(
        flow_of("a", "extra <- a", steps={"a": UNDO, "extra": {"on_error": OnError.CONTINUE}}), fails={"extra"}
    )

    assert run.snapshot.state == "completed"


def test_values_that_another_run_gave_are_not_undone():
    run = begun(flow_of("a", "bad <- a", steps={"a": UNDO}), given={"a": Given("cached")})
    run.fail("bad")

    assert (run.snapshot.state, undone(run)) == ("rolled_back", [])


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_value_that_was_found_in_another_run_is_not_undone_here_nor_after_a_resume(is_cut):
    graph = flow_of("a", "b <- a", "bad <- b", steps={"a": UNDO, "b": UNDO})
    run = begun(graph)
    run.tell(lambda at: AttemptCompleted(at, 0, 1, origin="cached", taken_from="an earlier run"))
    run.complete("b")
    run.fail("bad")
    if is_cut:
        machine = RunMachine(graph)
        put_where_record_ends(machine, run.snapshot, plan_resume(graph, run.snapshot))
        run = Simulation(machine, at=run.at, events=list(run.events)).begin()
    run.undo()

    assert run.states == {"a": "completed", "b": "rolled_back", "bad": "failed"}
    reason = "its rollback was cut short" if is_cut else "bad failed"
    assert (run.snapshot.state, run.snapshot.reason) == ("rolled_back", reason)


def test_a_clock_that_was_set_back_does_not_turn_the_order_round():
    graph = flow_of("z", "a", "bad <- z, a", steps={"z": UNDO, "a": UNDO})
    run = begun(graph)
    run.complete("z")
    run.at -= 3600
    run.complete("a")
    run.fail("bad")
    machine = RunMachine(graph)
    put_where_record_ends(machine, run.snapshot, plan_resume(graph, run.snapshot), order=completion_order(run.events))
    again = Simulation(machine, at=run.at, events=list(run.events)).begin()
    again.undo()
    again.undo()

    assert (undone(again), again.snapshot.steps["a"].duration_s) == (["a", "z"], 0.0)


@pytest.mark.parametrize(
    ("signal", "end"),
    [
        (lambda at: Cancel(at, "enough"), RollbackOn.CANCEL),
        (lambda at: TimedOut(at, 5.0), RollbackOn.TIMEOUT),
    ],
)
def test_the_record_tells_which_end_began_the_rollback_also_after_a_resume(signal, end):
    graph = flow_of("a", "b <- a", steps={"a": UNDO}, rollback_on=tuple(RollbackOn))
    run = begun(graph)
    run.complete("a")
    run.tell(signal)
    run.end_cancelled("b")
    machine = RunMachine(graph)
    put_where_record_ends(machine, run.snapshot, plan_resume(graph, run.snapshot))
    again = Simulation(machine, at=run.at, events=list(run.events)).begin()
    again.undo()

    assert (again.snapshot.state, again.snapshot.undone_on) == ("rolled_back", end)
    assert again.snapshot.is_timed_out is (end is RollbackOn.TIMEOUT)


def test_a_cancel_does_not_stop_a_rollback():
    run = begun(flow_of("a", "bad <- a", steps={"a": UNDO}))
    run.complete("a")
    run.fail("bad")
    run.cancel()
    run.undo()

    assert run.snapshot.state == "rolled_back"


def test_a_rollback_that_was_cut_short_goes_on_after_a_resume():
    graph = flow_of("a", "b <- a", "bad <- b", steps={"a": UNDO, "b": UNDO})
    run = begun(graph)
    run.complete("a")
    run.complete("b")
    run.fail("bad")
    run.undo()
    machine = RunMachine(graph)
    put_where_record_ends(machine, run.snapshot, plan_resume(graph, run.snapshot))
    again = Simulation(machine, at=run.at, events=list(run.events)).begin()

    assert again.undoing == [(0, 1)]
    again.undo()
    assert again.states == {"a": "rolled_back", "b": "rolled_back", "bad": "failed"}
    assert again.snapshot.state == "rolled_back"


def test_a_compensation_sees_the_step_s_inputs_and_what_it_gave():
    graph = flow_of("order", "pay <- order", "bad <- pay", steps={"pay": UNDO})
    seen = []

    def undo_pay(order, pay):
        seen.append((order, pay))

    def bad(pay):
        raise ValueError(pay)

    runner = finished(
        graph,
        {"order": lambda: 7, "pay": lambda order: order * 2, "bad": bad},
        rollbacks={1: FunctionBody(graph.node("pay"), undo_pay)},
    )

    assert seen == [(7, 14)]
    assert states(runner) == {"order": "completed", "pay": "rolled_back", "bad": "failed"}


def test_a_compensation_is_given_what_is_left_of_the_names_that_it_asks_for():
    # After a crash a live value is gone: that is nothing to one who does not ask for it.
    table = ValueTable(flow_of("order", "pay <- order"), {}, {}, None)
    assert table.around(1, None) == {}

    table.put(0, {"order": 7}, ())
    table.put(1, {"pay": 14, "dash-ed": 3}, ())
    assert table.around(1, None) == {"order": 7, "pay": 14, "dash_ed": 3}
    assert table.around(1, ("pay", "gone")) == {"pay": 14}

    table.put(1, {"order": 8}, ())
    assert table.around(1, ("order",)) == {"order": 8}


def test_a_compensation_has_a_timeout_of_its_own():
    graph = flow_of("pay", "bad <- pay", steps={"pay": {"rollback": Compensation(timeout_s=60)}})

    async def undo_pay():
        await asyncio.sleep(1e9)

    def bad(pay):
        raise ValueError

    runner = finished(graph, {"pay": int, "bad": bad}, rollbacks={0: FunctionBody(graph.node("pay"), undo_pay)})

    assert runner.snapshot.state == "failed"
    assert runner.snapshot.steps["pay"].rollback_error.type == "StepTimeout"


def test_a_compensation_says_itself_when_to_try_again():
    graph = flow_of("pay", "bad <- pay", steps={"pay": {"rollback": Compensation(retry=RetryPolicy(retries=1))}})
    times = []

    async def undo_pay():
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            raise RetryAfter(7200)

    def bad(pay):
        raise ValueError

    runner = finished(graph, {"pay": int, "bad": bad}, rollbacks={0: FunctionBody(graph.node("pay"), undo_pay)})

    assert (runner.snapshot.state, round(times[1] - times[0])) == ("rolled_back", 7200)


def test_a_rollback_that_this_process_does_not_have_says_so():
    graph = flow_of("pay", "bad <- pay", steps={"pay": UNDO})

    def bad(pay):
        raise ValueError

    runner = finished(graph, {"pay": int, "bad": bad})

    assert "define it again" in runner.snapshot.steps["pay"].rollback_error.message


def test_a_cancel_with_rollback_undoes_what_completed():
    graph = flow_of("pay", "slow <- pay", steps={"pay": UNDO}, rollback_on=(RollbackOn.CANCEL,))
    seen = []

    async def pay():
        # On the loop: virtual time waits for no thread.
        return 5

    async def slow(pay):
        await asyncio.sleep(1e9)

    async def cancel(runner):
        await asyncio.sleep(10)
        runner.post(Cancel(runner.now(), "enough"))

    body = FunctionBody(graph.node("pay"), lambda pay: seen.append(pay))  # noqa: PLW0108 a function with a parameter of this name
    runner = finished(graph, {"pay": pay, "slow": slow}, during=cancel, rollbacks={0: body})

    assert seen == [5]
    assert (runner.snapshot.state, runner.snapshot.reason) == ("rolled_back", "enough")


def test_each_compensation_has_its_own_attempts_and_is_tried_again_only_after_the_errors_that_it_names():
    named = {"rollback": Compensation(retry=RetryPolicy(retries=3, retry_on=("OSError",)))}
    twice = {"rollback": Compensation(retry=RetryPolicy(retries=1, delay_s=0))}
    run = begun(flow_of("a", "b <- a", "c <- b", steps={"a": twice, "b": named}))
    run.complete("a")
    run.complete("b")
    run.fail("c")
    assert run.undoing == [(1, 1)]

    run.undo(fails=True)
    assert run.undoing == [(0, 1)]
    run.undo(fails=True)
    run.fire_timer()
    assert run.undoing == [(0, 2)]
    run.undo()
    assert run.snapshot.reason == "c failed; b could not be undone"
