"""Early ends, deadlines, errors of conditions, progress, and steps of an ended run that are run again."""

from __future__ import annotations

import asyncio

import pytest

from szal_nb.engine.context import progress, stop
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.signal import AttemptCompleted, Begin, Overdue, Reopen, Wake
from szal_nb.model.event import StepProgress, StepStarted, kind_of
from szal_nb.model.state import fold
from szal_nb.model.step import Compensation, OnConditionError, RetryPolicy, Trigger
from tests.engine.simulation import BOOM, Simulation, begun, flow_of, simulate
from tests.engine.test_runner import finished, states


def test_a_step_may_end_the_run_early_with_success():
    def look():
        stop("nothing new")

    runner = finished(flow_of("look", "work <- look", "mail <- work"), {"look": look, "work": int, "mail": int})

    assert states(runner) == {"look": "completed", "work": "skipped", "mail": "skipped"}
    assert (runner.snapshot.state, runner.snapshot.reason) == ("completed", "stopped: nothing new")
    assert runner.snapshot.steps["mail"].reason == "the run was stopped: nothing new"


def test_what_runs_when_the_run_is_stopped_goes_on_to_its_end():
    run = begun(flow_of("look", "slow", "later <- slow", "again", steps={"again": {"retry": RetryPolicy(retries=3)}}))
    run.fail("again")
    step, attempt = run._take("look")
    run.tell(lambda at: AttemptCompleted(at, step, attempt, stop=""))

    assert run.states == {"look": "completed", "slow": "running", "later": "skipped", "again": "skipped"}
    run.complete("slow")
    assert (run.snapshot.state, run.snapshot.reason) == ("completed", "stopped")


def test_of_two_steps_that_stop_the_run_the_first_says_why():
    run = begun(flow_of("a", "b", "c <- a, b"))
    for name in "ab":
        step, attempt = run._take(name)
        run.tell(lambda at, step=step, attempt=attempt, name=name: AttemptCompleted(at, step, attempt, stop=name))

    assert (run.snapshot.state, run.snapshot.reason) == ("completed", "stopped: a")
    assert run.reasons["c"] == "the run was stopped: a"


def test_all_attempts_together_may_take_no_longer_than_the_total_timeout():
    tries = []

    async def flaky():
        tries.append(asyncio.get_running_loop().time())
        await asyncio.sleep(40)
        raise OSError

    step = {"timeout_total_s": 100, "retry": RetryPolicy(retries=9, delay_s=0)}
    runner = finished(flow_of("flaky", steps={"flaky": step}), {"flaky": flaky})

    assert [round(at - tries[0]) for at in tries] == [0, 40, 80]
    assert runner.snapshot.steps["flaky"].error.message == "Step 'flaky' took longer than its timeout of 100 s."


def test_a_step_that_waits_for_its_retry_fails_when_its_time_is_over():
    run = begun(flow_of("a", steps={"a": {"retry": RetryPolicy(retries=3, delay_s=1e6), "timeout_total_s": 5}}))
    run.fail("a")
    run.tell(lambda at: Overdue(at, 0, BOOM))

    assert run.states == {"a": "failed"}


@pytest.mark.parametrize(
    ("policy", "state", "later"),
    [("fail", "failed", "skipped"), ("skip", "skipped", "skipped"), ("run", "running", "pending")],
)
def test_an_error_in_a_condition_does_to_the_step_what_it_says(policy, state, later):
    # The seed only warned, and ran the step.
    run = begun(flow_of("a", "b <- a", steps={"a": {"when": "x > 1", "on_condition_error": OnConditionError(policy)}}))
    run.answer_condition("a", holds=False, error=BOOM)

    assert run.states == {"a": state, "b": later}


def test_progress_of_a_body_is_an_event_with_done_and_total():
    async def work():
        for i in range(1, 1001):
            progress(i, 1000, "rows")
            if i % 100 == 0:
                await asyncio.sleep(10)
        progress(1000, 1000, "done")

    seen = []
    finished(
        flow_of("work"),
        {"work": work},
        sinks=[lambda events: seen.extend(e for e in events if isinstance(e, StepProgress))],
    )

    assert (seen[0].done, seen[0].total, seen[0].note) == (100, 1000, "rows")
    assert (seen[-1].done, seen[-1].note) == (1000, "done")
    assert len(seen) == 11


def test_the_total_timeout_of_a_step_that_is_tried_again_by_hand_begins_anew():
    # The one of its first life was over in the middle of the second.
    async def work():
        if runs.append(1) or len(runs) == 1:
            raise OSError
        await asyncio.sleep(80)

    async def again(runner):
        await asyncio.sleep(50)
        await runner.run_again(0, None, 2)

    runs = []
    runner = finished(flow_of("work", steps={"work": {"timeout_total_s": 100}}), {"work": work}, again)

    assert (len(runs), states(runner), runner.snapshot.state) == (2, {"work": "completed"}, "completed")


def reopen(run, name):
    run.is_ended = False
    index = run.machine.index[name]
    run.tell(lambda at: Reopen(at, index, 2))


def finish(run, *, fails=()):
    while not run.is_ended:
        name = run.machine.names[run.running[0][0]]
        (run.fail if name in fails else run.complete)(name)


def test_a_failed_step_of_an_ended_run_is_run_again_with_what_was_skipped_because_of_it():
    run = simulate(flow_of("load", "bad <- load", "plot <- bad", "other"), fails={"bad"})
    before = len(run.events)
    reopen(run, "bad")
    finish(run)

    assert [event.step for event in run.events[before:] if isinstance(event, StepStarted)] == ["bad", "plot"]
    assert [(e.step, e.attempt) for e in run.events if isinstance(e, StepStarted)][-2:] == [("bad", 2), ("plot", 1)]
    assert set(run.states.values()) == {"completed"}
    assert run.snapshot.state == "completed"
    assert fold(run.events) == run.snapshot


def test_a_step_that_failed_beside_the_one_that_is_run_again_still_counts():
    graph = flow_of("a", "b", "join <- a, b", "tidy <~ a, b", steps={"tidy": {"trigger": Trigger.ALL_DONE}})
    run = simulate(graph, fails={"a", "b"})
    reopen(run, "a")
    finish(run)

    assert run.states == {"a": "completed", "b": "failed", "join": "skipped", "tidy": "completed"}
    assert (run.snapshot.state, run.snapshot.reason) == ("failed", "b failed")
    # What has completed behind it does not run again.
    assert [event.step for event in run.events if isinstance(event, StepStarted)].count("tidy") == 1


def test_what_goes_on_completed_or_is_undone_is_not_opened_again():
    undoable = {name: {"rollback": Compensation()} for name in "ab"}
    undone = begun(flow_of("a", "b <- a", "c <- b", steps=undoable))
    for name in "ab":
        undone.complete(name)
    undone.fail("c")
    undone.undo()
    undone.undo(fails=True)
    assert list(undone.states.values()) == ["completed", "rolled_back", "failed"]

    failed = simulate(flow_of("a", "b"), fails={"b"})
    for run, step in ((simulate(flow_of("a")), 0), (begun(flow_of("a")), 0), (failed, 0), (undone, 2)):
        events = list(run.events)
        run.tell(lambda at, step=step: Reopen(at, step, 2))
        assert run.events == events


def test_a_cancelled_run_can_go_on_with_one_of_its_steps():
    run = begun(flow_of("a", "b <- a", "c <- b"))
    run.complete("a")
    run.cancel()
    run.end_cancelled("b")
    reopen(run, "b")
    finish(run)

    assert [kind_of(event) for event in run.events][-6:-5] == ["run.resumed"]
    assert run.snapshot.state == "completed"


@pytest.mark.parametrize(("again", "states"), [("a", ["completed", "cancelled"]), ("b", ["cancelled", "skipped"])])
def test_a_cancelled_run_in_which_a_step_stays_cancelled_has_not_completed(again, states):
    # No resume would have run the other one any more.
    run = begun(flow_of("a", "b <- a" if again == "b" else "b"))
    run.cancel("enough")
    for name in sorted(run.under_way):
        run.end_cancelled(name)
    reopen(run, again)
    finish(run)

    assert list(run.states.values()) == states
    assert (run.snapshot.state, run.snapshot.reason) == ("cancelled", "enough")


def test_a_step_that_failed_in_a_run_that_was_stopped_runs_again_by_itself():
    # What the stop had skipped ran then, and a second stop was not heard.
    run = begun(flow_of("a", "b", "c <- b"))
    step, attempt = run._take("a")
    run.tell(lambda at: AttemptCompleted(at, step, attempt, stop="enough"))
    run.fail("b")
    reopen(run, "b")
    finish(run)

    assert run.states == {"a": "completed", "b": "completed", "c": "skipped"}
    assert (run.reasons["c"], run.snapshot.reason) == ("the run was stopped: enough", "stopped: enough")


def test_a_step_that_was_rejected_while_nobody_ran_the_run_is_asked_about_when_it_is_tried_again():
    # It failed at once, as often as it was tried.
    run = Simulation(RunMachine(flow_of("ship", steps={"ship": {"approve": "Ship it?"}})))
    run.machine.resume_from({}, {}, reset=["ship"], rebuilt=[], rejected=["ship"])
    assert [kind_of(event) for event in run.tell(Begin)] == ["run.resumed", "step.failed", "run.failed"]
    run.is_ended = False

    assert [kind_of(event) for event in run.tell(lambda at: Reopen(at, 0, 3))] == ["run.resumed", "step.waiting"]
    run.answer("ship")
    assert run.under_way == {"ship"}


def test_a_step_that_waited_for_room_when_its_run_was_cancelled_waits_for_nothing_any_more():
    # It stood in the queue of the limit still, and in its second life that let it begin a second attempt at once.
    api = {"tags": ("api",)}
    steps = {"a": api, "b": {**api, "retry": RetryPolicy(retries=1, delay_s=100)}}
    run = begun(flow_of("a", "b", steps=steps, limits=(("api", "1/10s"),)))
    assert run.under_way == {"a"}
    run.cancel()
    run.end_cancelled("a")
    reopen(run, "b")
    run.wake()
    run.fail("b")
    run.at += 20
    run.tell(Wake)

    assert (run.states["b"], run.under_way) == ("retrying", set())
    run.fire_timer()
    assert run.under_way == {"b"}


def test_a_step_that_failed_while_it_waited_for_room_asks_its_condition_again_in_its_second_life():
    steps = {"a": {"when": "true", "timeout_total_s": 60, "retry": RetryPolicy(retries=1, delay_s=5)}}
    run = begun(flow_of("a", steps=steps))
    run.answer_condition("a")
    run.fail("a")
    run.pause()
    run.fire_timer()
    run.tell(lambda at: Overdue(at, 0, BOOM))
    assert run.snapshot.state == "failed"

    reopen(run, "a")
    assert run.under_way == set()
    run.answer_condition("a", holds=False)
    assert run.states == {"a": "skipped"}
