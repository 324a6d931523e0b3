"""The machine's decisions, as transcripts, and what holds for every run."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from szal_nb.engine.machine import RunMachine
from szal_nb.engine.replay import plan_resume, put_where_record_ends
from szal_nb.engine.signal import AttemptCancelled, AttemptCompleted, AttemptFailed, Given
from szal_nb.model.event import StepSkipped, StepStarted, kind_of
from szal_nb.model.state import fold
from szal_nb.model.step import Backoff, OnError, RetryPolicy, Trigger
from szal_nb.model.value import ErrorInfo
from tests.engine.simulation import BOOM, Simulation, begun, flow_of, simulate

DIAMOND = ("load", "left <- load", "right <- load", "join <- left, right")


def test_a_step_starts_the_moment_its_last_dependency_ends():
    run = begun(flow_of("slow", "quick", "after_quick <- quick", "after_both <- slow, after_quick"))

    assert run.under_way == {"slow", "quick"}
    run.complete("quick")
    assert run.under_way == {"slow", "after_quick"}
    run.complete("after_quick")
    assert run.under_way == {"slow"}
    run.complete("slow")
    assert run.under_way == {"after_both"}


def test_one_turn_records_the_end_of_a_step_and_the_start_of_the_next():
    run = begun(flow_of("load", "clean <- load"))
    run.events.clear()
    run.complete("load")

    assert [kind_of(event) for event in run.events] == ["step.completed", "step.started"]


def test_a_run_without_steps_completes():
    run = begun(flow_of())

    assert [kind_of(event) for event in run.events] == ["run.created", "run.started", "run.completed"]
    assert (run.is_ended, run.snapshot.reason) == (True, "")


def test_a_failed_step_skips_all_that_depends_on_it_and_independent_branches_finish():
    run = simulate(flow_of("load", "clean <- load", "plot <- clean", "other"), fails={"load"})

    assert run.states == {"load": "failed", "clean": "skipped", "plot": "skipped", "other": "completed"}
    assert run.reasons == {"clean": "load failed", "plot": "clean was skipped"}
    assert run.snapshot.state == "failed"
    assert run.snapshot.reason == "load failed"


def test_an_order_that_does_not_block_lets_the_later_step_run_after_a_failure():
    run = simulate(flow_of("plot", "histogram <~ plot"), fails={"plot"})

    assert run.states == {"plot": "failed", "histogram": "completed"}


def test_a_step_that_may_fail_does_not_fail_the_run_and_stops_only_those_that_need_its_value():
    graph = flow_of("extra", "needs <- extra", "later <~ extra", steps={"extra": {"on_error": OnError.CONTINUE}})
    run = simulate(graph, fails={"extra"})

    assert run.states == {"extra": "failed", "needs": "skipped", "later": "completed"}
    assert run.snapshot.state == "completed"


def test_a_retry_waits_for_its_timer_and_then_is_a_new_attempt():
    retry = RetryPolicy(retries=2, delay_s=10, backoff=Backoff.LINEAR)
    run = begun(flow_of("load", steps={"load": {"retry": retry}}))
    run.fail("load")

    assert run.states == {"load": "retrying"}
    assert [due for due, _ in run.timers] == [run.at + 10]
    run.fire_timer()
    run.fail("load")
    assert [due for due, _ in run.timers] == [run.at + 20]
    run.fire_timer()
    run.complete("load")
    assert [a.state for a in run.snapshot.steps["load"].attempts] == ["failed", "failed", "completed"]
    assert run.snapshot.state == "completed"


def test_when_retries_are_used_up_the_last_error_is_the_step_s_error():
    run = begun(flow_of("load", steps={"load": {"retry": RetryPolicy(retries=1, delay_s=0)}}))
    run.fail("load")
    run.fire_timer()
    run.fail("load", ErrorInfo(type="OSError", message="the last"))

    assert run.snapshot.steps["load"].error == ErrorInfo(type="OSError", message="the last")


@pytest.mark.parametrize(
    ("retry_on", "no_retry_on", "tried_again"),
    [
        ((), (), True),
        (("ValueError",), (), True),
        (("Exception",), (), True),
        (("OSError",), (), False),
        ((), ("ValueError",), False),
        (("ValueError",), ("Exception",), False),
    ],
)
def test_retries_can_be_limited_to_kinds_of_errors(retry_on, no_retry_on, tried_again):
    retry = RetryPolicy(retries=1, retry_on=retry_on, no_retry_on=no_retry_on)
    run = begun(flow_of("load", steps={"load": {"retry": retry}}))
    run.fail("load")

    assert bool(run.timers) is tried_again


def test_a_body_may_ask_for_its_own_wait():
    run = begun(flow_of("load", steps={"load": {"retry": RetryPolicy(retries=1, delay_s=1)}}))
    run.fail("load", retry_after_s=77.0)

    assert [due for due, _ in run.timers] == [run.at + 77]


def test_max_parallel_is_obeyed_and_the_longest_remaining_path_goes_first():
    graph = flow_of("short", "a", "b <- a", "c <- b", max_parallel=1)
    run = simulate(graph)

    started = [event.step for event in run.events if isinstance(event, StepStarted)]
    assert started == ["a", "b", "c", "short"] or started[0] == "a"
    assert run.most_at_once == 1


def test_a_step_that_waits_for_room_in_one_limit_does_not_hold_back_another():
    graph = flow_of("api1", "api2", "free1", "free2")
    run = begun(graph, limits=[(1, [0, 1]), (2, [0, 1, 2, 3])])

    assert run.under_way == {"api1", "free1"}
    run.complete("api1")
    assert run.under_way in ({"api2", "free1"}, {"free1", "free2"})


def test_cancel_ends_what_has_not_begun_at_once_and_waits_for_what_runs():
    run = begun(flow_of("load", "clean <- load"))
    run.cancel("enough")

    assert run.states == {"load": "running", "clean": "cancelled"}
    assert run.told_to_end == {0}
    assert not run.is_ended
    run.end_cancelled("load")
    assert run.states == {"load": "cancelled", "clean": "cancelled"}
    assert (run.snapshot.state, run.snapshot.reason) == ("cancelled", "enough")


def test_what_completes_after_a_cancel_is_recorded_as_completed():
    run = begun(flow_of("load", "clean <- load"))
    run.cancel()
    run.complete("load")

    assert run.states == {"load": "completed", "clean": "cancelled"}
    assert run.snapshot.state == "cancelled"


def test_a_run_that_was_told_to_end_is_cancelled_also_if_its_last_step_completes():
    run = begun(flow_of("load"))
    run.cancel("enough")
    run.complete("load")

    assert (run.states, run.snapshot.state, run.snapshot.reason) == ({"load": "completed"}, "cancelled", "enough")


def test_a_cancel_after_the_last_step_changes_nothing():
    run = simulate(flow_of("load"))
    run.cancel()

    assert run.snapshot.state == "completed"


def test_a_step_that_waits_to_be_retried_is_cancelled_without_its_timer():
    run = begun(flow_of("load", steps={"load": {"retry": RetryPolicy(retries=1)}}))
    run.fail("load")
    run.cancel()

    assert run.snapshot.state == "cancelled"
    run.fire_timer()
    assert run.running == []


def test_while_paused_nothing_starts_and_what_runs_goes_on():
    run = begun(flow_of("load", "clean <- load"))
    run.pause()
    run.complete("load")

    assert run.states == {"load": "completed", "clean": "pending"}
    assert run.snapshot.state == "paused"
    run.unpause()
    assert run.under_way == {"clean"}


def test_a_false_condition_skips_the_step_and_those_that_need_its_value():
    graph = flow_of("load", "report <- load", "mail <- report", "later <~ report", steps={"report": {"when": "x"}})
    run = begun(graph)
    run.complete("load")
    run.answer_condition("report", holds=False)
    run.complete("later")

    assert run.states == {"load": "completed", "report": "skipped", "mail": "skipped", "later": "completed"}
    assert run.reasons == {
        "report": "condition not met: x",
        "mail": "it needs what report gives, which was skipped",
    }
    assert run.snapshot.state == "completed"


def test_an_error_in_a_condition_fails_the_step():
    run = begun(flow_of("report", steps={"report": {"when": "x +"}}))
    run.answer_condition("report", error=BOOM)

    assert run.states == {"report": "failed"}
    assert run.snapshot.state == "failed"


def test_a_step_to_be_approved_waits_and_runs_when_approved():
    run = begun(flow_of("deploy", steps={"deploy": {"approve": "Really?"}}))

    assert run.states == {"deploy": "waiting"}
    assert run.reasons == {"deploy": "Really?"}
    run.answer("deploy")
    run.complete("deploy")
    assert run.snapshot.state == "completed"


def test_a_refused_step_fails():
    run = begun(flow_of("deploy", steps={"deploy": {"approve": "Really?"}}))
    run.answer("deploy", approved=False)

    assert run.states == {"deploy": "failed"}


def test_a_step_is_skipped_by_hand_and_what_needs_no_value_of_it_goes_on():
    run = begun(
        flow_of("load", "slow", "clean <- load", "other <- load", "join <- slow", steps={"slow": {"approve": "?"}})
    )
    run.skip("clean")
    run.skip("slow")
    run.skip("load")
    run.complete("load")
    run.complete("other")

    assert run.snapshot.state == "completed"
    assert run.states == {
        "load": "completed", "slow": "skipped", "clean": "skipped", "other": "completed", "join": "skipped",
    }  # fmt: skip
    assert (run.reasons["clean"], run.reasons["join"]) == ("not today", "it needs what slow gives, which was skipped")


def test_a_step_that_waits_to_be_retried_is_skipped_without_its_timer_and_a_run_that_ends_skips_nothing():
    run = begun(flow_of("a", "b", steps={"a": {"retry": RetryPolicy(retries=1)}}))
    run.fail("a")
    run.skip("a")
    run.cancel()
    run.skip("b")
    run.fire_timer()
    run.end_cancelled("b")

    assert run.states == {"a": "skipped", "b": "cancelled"}


def test_a_step_that_was_skipped_while_it_waited_for_room_takes_none():
    run = begun(flow_of("a", "b", "c", max_parallel=1))
    run.skip("b")
    run.complete("a")

    assert run.under_way == {"c"}


def test_trigger_any_starts_at_the_first_that_completes_and_only_once():
    graph = flow_of("a", "b", "first <- a, b", steps={"first": {"trigger": Trigger.ANY}})
    run = begun(graph)
    run.fail("a")
    assert run.states["first"] == "pending"
    run.complete("b")
    run.complete("first")

    assert run.states == {"a": "failed", "b": "completed", "first": "completed"}


def test_trigger_any_is_skipped_when_none_can_complete_any_more():
    graph = flow_of("a", "b", "first <- a, b", steps={"first": {"trigger": Trigger.ANY}})
    run = simulate(graph, fails={"a", "b"})

    assert run.states["first"] == "skipped"


def test_trigger_all_done_runs_after_failures():
    graph = flow_of("a", "b <- a", "tidy <- b", steps={"tidy": {"trigger": Trigger.ALL_DONE}})
    run = simulate(graph, fails={"a"})

    assert run.states == {"a": "failed", "b": "skipped", "tidy": "completed"}


@pytest.mark.parametrize("trigger", [Trigger.ALL, Trigger.ALL_DONE])
def test_a_step_behind_one_that_failed_waits_for_the_others_too(trigger):
    run = begun(flow_of("a", "b", "tidy <~ a, b", steps={"tidy": {"trigger": trigger}}))

    run.fail("a")
    assert run.under_way == {"b"}
    run.complete("b")
    assert run.under_way == {"tidy"}


def test_steps_not_selected_are_skipped_with_the_reason_and_given_ones_complete_without_running():
    run = begun(flow_of(*DIAMOND), given={"load": Given("cached")}, skipped={"right": "not selected"})

    assert run.under_way == {"left"}
    run.complete("left")
    assert run.states == {"load": "completed", "left": "completed", "right": "skipped", "join": "skipped"}
    assert run.snapshot.steps["load"].origin == "cached"


def test_of_steps_that_are_not_selected_each_is_skipped_once():
    run = begun(flow_of("load", "clean <- load"), skipped={"load": "not selected", "clean": "not selected"})

    assert [event.step for event in run.events if isinstance(event, StepSkipped)] == ["load", "clean"]
    assert run.snapshot.state == "completed"


@pytest.mark.parametrize("flags", [{"approve": "sure?"}, {"when": "load > 1"}])
def test_a_step_that_is_given_behind_another_one_is_neither_asked_about_nor_judged(flags):
    run = begun(flow_of(*DIAMOND, steps={"left": flags}), given={"load": Given("given"), "left": Given("given")})

    assert (run.under_way, run.conditions) == ({"right"}, [])
    run.complete("right")
    run.complete("join")
    assert run.snapshot.state == "completed"
    assert run.snapshot.steps["left"].reason == ""


def test_an_attempt_ends_once():
    run = begun(flow_of("load", "plot <- load"))
    step, attempt = run.running[0]
    run.complete("load")
    events = list(run.events)

    run.tell(lambda at: AttemptCompleted(at, step, attempt))
    run.tell(lambda at: AttemptFailed(at, step, attempt, BOOM))
    run.tell(lambda at: AttemptCancelled(at, step, attempt))
    assert run.events == events


def test_a_step_that_failed_gives_back_its_room():
    run = begun(flow_of("a", "b", max_parallel=1))
    run.fail("a")

    assert run.under_way == {"b"}


def test_signals_of_an_attempt_that_is_no_longer_current_are_ignored():
    run = begun(flow_of("load", steps={"load": {"retry": RetryPolicy(retries=1, delay_s=0)}}))
    late = run.running[0]
    run.fail("load")
    run.fire_timer()
    run.running.append(late)
    run.running.reverse()
    run.complete("load")

    assert run.states == {"load": "running"}


def test_a_chain_of_ten_thousand_is_skipped_without_recursion():
    lines = ["s0", *(f"s{i} <- s{i - 1}" for i in range(1, 10_000))]
    run = simulate(flow_of(*lines), fails={"s0"})

    assert run.states["s9999"] == "skipped"


# What holds for every run


@st.composite
def flows(draw):
    count = draw(st.integers(1, 9))
    lines, steps = [], {}
    for i in range(count):
        sources = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        arrow = draw(st.sampled_from(["<-", "<-", "<~"]))
        lines.append(f"s{i} {arrow} {', '.join(f's{j}' for j in sorted(sources))}" if sources else f"s{i}")
        steps[f"s{i}"] = {
            "retry": RetryPolicy(retries=draw(st.integers(0, 2)), delay_s=draw(st.sampled_from([0, 5]))),
            "trigger": draw(st.sampled_from([Trigger.ALL, Trigger.ALL, *Trigger])),
            "on_error": draw(st.sampled_from([OnError.FAIL, OnError.FAIL, OnError.CONTINUE])),
            "when": draw(st.sampled_from([None, None, "cond"])),
            "approve": draw(st.sampled_from([None, None, None, "ok?"])),
        }
    limit = draw(st.sampled_from([None, None, 1, 2]))
    return flow_of(*lines, steps=steps, max_parallel=limit)


def play(run: Simulation, chance: random.Random, *, moves: int = 10_000) -> None:
    """Random outcomes, cancels and pauses, until the run ends or `moves` are made."""
    while not run.is_ended and moves:
        moves -= 1
        waiting = [name for name, state in run.states.items() if state == "waiting"]
        options = []
        if run.conditions:
            options.append("condition")
        if run.running:
            options += ["end", "end", "end"]
        if run.timers:
            options.append("timer")
        if waiting:
            options.append("answer")
        if chance.random() < 0.04:
            options.append("cancel")
        if run.snapshot.state == "paused" or chance.random() < 0.05:
            options.append("pause")
        assert options, f"stuck: {run.states}"
        if chance.random() < 0.05:
            options.append("skip")
        match chance.choice(options):
            case "condition":
                name = run.machine.names[run.conditions[0]]
                run.answer_condition(name, holds=chance.random() < 0.6, error=chance.choice([None, None, BOOM]))
            case "end":
                name = run.machine.names[chance.choice(run.running)[0]]
                chance.choice([run.complete, run.complete, run.fail, run.end_cancelled])(name)
            case "timer":
                run.fire_timer()
            case "answer":
                run.answer(chance.choice(waiting), approved=chance.random() < 0.7)
            case "cancel":
                run.cancel()
            case "skip":
                run.skip(chance.choice(run.machine.names))
            case "pause":
                (run.unpause if run.snapshot.state == "paused" else run.pause)()


def assert_sound(run: Simulation) -> None:
    graph, ended_at = run.machine.graph, {}
    for position, event in enumerate(run.events):
        kind = kind_of(event)
        if kind == "step.started":
            trigger = graph.node(event.step).step.trigger
            sources = graph.dependencies[event.step]
            waited = [source in ended_at for source in sources]
            assert (any(waited) or not sources) if trigger is Trigger.ANY else all(waited), event
        elif kind in {"step.completed", "step.failed", "step.skipped", "step.cancelled"}:
            assert event.step not in ended_at, f"{event.step} ended twice"
            ended_at[event.step] = position
    snapshot = run.snapshot
    assert {name: state.value for name, state in zip(run.machine.names, run.machine.state, strict=True)} == run.states
    assert snapshot.state == run.machine.run_state
    limit = graph.flow.max_parallel
    assert limit is None or run.most_at_once <= limit


@given(flows(), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_every_run_ends_with_one_final_state_a_step_and_the_fold_agrees(graph, seed):
    run = begun(graph)
    play(run, random.Random(seed))

    assert_sound(run)
    assert run.snapshot.state.is_final
    assert all(step.state.is_final for step in run.snapshot.steps.values())


@given(flows(), st.integers(0, 2**32), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_any_prefix_can_be_resumed_and_runs_no_completed_step_again(graph, seed, moves):
    chance = random.Random(seed)
    run = begun(graph)
    play(run, chance, moves=moves)
    before = run.snapshot
    if before.state == "completed":
        return
    plan = plan_resume(graph, before)
    machine = RunMachine(graph)
    put_where_record_ends(machine, before, plan)
    again = Simulation(machine, at=run.at, events=list(run.events))
    again.begin()
    play(again, chance)

    after = again.events[len(run.events) :]
    completed = {name for name, step in before.steps.items() if step.state == "completed"}
    assert not completed & {event.step for event in after if isinstance(event, StepStarted)}
    assert again.snapshot.state.is_final
    assert fold(again.events) == again.snapshot
    assert {n: s.value for n, s in zip(machine.names, machine.state, strict=True)} == again.states
