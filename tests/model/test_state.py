"""States, what may follow what, and the fold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.errors import IllegalTransition
from szal_nb.model import event as events
from szal_nb.model.event import (
    CancelRequested,
    RollbackStarted,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepProgress,
    StepRetrying,
    StepRollbackFailed,
    StepSkipped,
    StepStarted,
    from_json,
    kind_of,
    to_json,
)
from szal_nb.model.state import AttemptSnapshot, RunState, StepSnapshot, StepState, fold
from szal_nb.model.transition import RUN_TRANSITIONS, STEP_TRANSITIONS
from szal_nb.model.value import ElementEnd, ErrorInfo, ValueRef

BEGUN = (RunCreated(at=1, flow="f", steps=("a", "b")), RunStarted(at=2))


def test_the_states_are_those_of_the_contract():
    assert " ".join(RunState) == ("created running paused completed failed cancelled rolling_back rolled_back")
    assert " ".join(StepState) == ("pending running retrying waiting completed failed skipped cancelled rolled_back")


def test_no_state_of_a_run_leads_out_of_completed_or_rolled_back():
    assert {state for state, _ in RUN_TRANSITIONS} & {RunState.COMPLETED, RunState.ROLLED_BACK} == set()


def test_no_final_state_of_a_step_is_left_but_by_a_resume_or_by_being_undone():
    left = {(state, kind, after) for (state, kind), after in STEP_TRANSITIONS.items() if state.is_final}

    assert {(state, after) for state, _, after in left if state is not after} == {("completed", "rolled_back")}
    assert {kind.__name__ for _, kind, _ in left} == {"StepRolledBack", "StepRollbackFailed", "StepOutput"}


def test_an_event_for_an_unknown_step_is_refused_and_changes_nothing():
    snapshot = fold(BEGUN)

    with pytest.raises(IllegalTransition, match="'zzz' is unknown"):
        snapshot.apply(StepStarted(at=3, step="zzz", attempt=1))
    assert snapshot == fold(BEGUN)


@pytest.mark.parametrize(
    "event",
    [
        RunCreated(at=3, flow="f"),
        StepCompleted(at=3, step="b", attempt=1),
        StepStarted(at=3, step="b", attempt=2),
        RunStarted(at=3),
    ],
)
def test_an_event_that_does_not_fit_is_refused(event):
    log = [*BEGUN, StepStarted(at=3, step="a", attempt=1), StepStarted(at=3, step="b", attempt=1)]
    if isinstance(event, StepCompleted):
        log.append(StepFailed(at=3, step="b", attempt=1, error=ErrorInfo(type="E")))
    snapshot = fold(log)
    before = snapshot.events

    with pytest.raises(IllegalTransition, match="The record is damaged"):
        snapshot.apply(event)
    assert snapshot.events == before


def test_nothing_happens_to_the_steps_of_a_run_that_has_ended():
    snapshot = fold([*BEGUN, RunCancelled(at=3)])

    with pytest.raises(IllegalTransition):
        snapshot.apply(StepStarted(at=4, step="a", attempt=1))


def test_a_resume_sets_steps_back_and_marks_the_attempt_that_died_as_lost():
    snapshot = fold(
        [
            *BEGUN,
            StepStarted(at=3, step="a", attempt=1),
            StepCompleted(at=4, step="a", attempt=1, values=(ValueRef(name="x", hash="h"),)),
            StepStarted(at=5, step="b", attempt=1),
            RunInterrupted(at=6, reason="the kernel was shut down"),
            RunResumed(at=9, epoch=2, reset=("b",)),
        ]
    )

    a, b = snapshot.steps["a"], snapshot.steps["b"]
    assert (a.state, a.origin, [ref.name for ref in a.values]) == ("completed", "resumed", ["x"])
    assert (b.state, [attempt.state for attempt in b.attempts]) == ("pending", ["lost"])
    assert (snapshot.state, snapshot.epoch, snapshot.is_interrupted) == ("running", 2, False)


def test_a_failed_run_that_goes_on_loses_the_error_of_its_failed_step():
    error = ErrorInfo(type="ValueError", message="x")
    log = [
        *BEGUN,
        StepStarted(at=3, step="a", attempt=1),
        StepFailed(at=4, step="a", attempt=1, error=error),
        StepSkipped(at=4, step="b", reason="a failed"),
        RunFailed(at=4, reason="a failed"),
    ]
    assert fold(log).ended_at == 4
    snapshot = fold([*log, RunResumed(at=5, epoch=2, reset=("a", "b"))])

    assert (snapshot.state, snapshot.ended_at) == ("running", None)
    assert snapshot.steps["a"].error is None
    assert snapshot.steps["a"].attempts[0].error == error


ERROR = ErrorInfo(type="ValueError", message="x")
V0, V1 = ValueRef(name="a[0]", hash="0"), ValueRef(name="a[2]", hash="2")


def test_a_step_that_runs_again_has_nothing_of_the_last_time_but_its_attempts():
    log = [
        *BEGUN,
        StepStarted(at=3, step="a", attempt=1),
        StepProgress(at=3, step="a", attempt=1, done=1, total=2, note="half"),
        StepCompleted(at=4, step="a", attempt=1, values=(V0,), fingerprint="f", taken_from="r", stopped="enough"),
        RollbackStarted(at=5, steps=("a",), reason="b failed"),
        StepRollbackFailed(at=6, step="a", attempt=1, error=ERROR),
        RunFailed(at=7, reason="b failed"),
    ]
    snapshot = fold([*log, RunResumed(at=8, epoch=2, reset=("a",))])

    ran = AttemptSnapshot(number=1, state="completed", started_at=3, ended_at=4)
    assert snapshot.steps == {"a": StepSnapshot(name="a", attempts=(ran,)), "b": StepSnapshot(name="b")}
    assert (snapshot.started_at, snapshot.undone_on) == (2, "")


def test_a_run_that_is_being_undone_goes_on_being_undone():
    snapshot = fold(
        [
            *BEGUN,
            CancelRequested(at=3, reason="too long", is_timeout=True),
            RollbackStarted(at=4, reason="too long", end="timeout"),
            RunInterrupted(at=5),
            RunResumed(at=6, epoch=2),
        ]
    )

    assert (snapshot.state, snapshot.undone_on, snapshot.is_timed_out) == ("rolling_back", "timeout", True)


def test_what_a_step_gave_before_it_is_rebuilt_is_known_until_it_has_completed_again():
    """Also if the process died again meanwhile: what others read is compared with it."""
    resumed = RunResumed(at=5, epoch=2, reset=("a",), rebuilt=("a",))
    log = [
        *BEGUN,
        StepStarted(at=3, step="a", attempt=1),
        StepCompleted(at=4, step="a", attempt=1, values=(V0,)),
        *[resumed, StepStarted(at=6, step="a", attempt=2)] * 2,
    ]
    assert fold(log).steps["a"].former == (V0,)
    assert fold([*log, StepCompleted(at=7, step="a", attempt=3, values=(V1,))]).steps["a"].former == ()


@pytest.mark.parametrize("resumed", [{"reset": ("zzz",)}, {"rebuilt": ("zzz",)}])
def test_a_resume_of_an_unknown_step_is_refused_and_changes_nothing(resumed):
    snapshot = fold(BEGUN)

    with pytest.raises(IllegalTransition, match="'zzz' is unknown"):
        snapshot.apply(RunResumed(at=3, epoch=2, **resumed))
    assert snapshot == fold(BEGUN)


def test_elements_that_are_kept_outlive_attempts_and_resumes_until_they_begin_anew():
    zero, one, two = (ElementEnd(position=n, kept=n != 1, error="no" if n == 1 else "") for n in range(3))
    log = [
        *BEGUN,
        StepStarted(at=3, step="a", attempt=1),
        StepProgress(at=4, step="a", attempt=1, done=2, total=3, key="k", values=(V0,), elements=(zero, one)),
        StepProgress(at=5, step="a", attempt=1, done=3, total=3, values=(V1,), elements=(two,)),
    ]
    step = fold(log).steps["a"]
    assert (step.element_values, step.elements_key) == ((V0, V1), "k")
    assert (dict(step.elements), step.failed_elements) == ({0: zero, 1: one, 2: two}, [one])

    log += [StepRetrying(at=6, step="a", attempt=1, error=ERROR, delay_s=9), StepStarted(at=7, step="a", attempt=2)]
    step = fold(log).steps["a"]
    assert (dict(step.elements), step.element_values) == ({0: zero, 2: two}, (V0, V1))
    assert (step.retry_at, step.done, step.total) == (None, None, None)

    log += [
        StepProgress(at=8, step="a", attempt=2, done=2, total=3, elements=(one,)),
        RunResumed(at=9, epoch=2, reset=("a",)),
    ]
    step = fold(log).steps["a"]
    assert (dict(step.elements), step.element_values) == ({0: zero, 2: two}, (V0, V1))

    log += [StepStarted(at=10, step="a", attempt=3)]
    anew = StepProgress(at=11, step="a", attempt=3, done=1, total=3, key="other", elements=(one,))
    step = fold([*log, anew]).steps["a"]
    assert (dict(step.elements), step.element_values, step.elements_key) == ({1: one}, (), "other")
    whole = StepProgress(at=11, step="a", attempt=3, done=1, total=3, whole="it draws", elements=(zero,))
    step = fold([*log, whole]).steps["a"]
    assert (step.kept_elements, step.element_values, step.elements_whole) == ({}, (), "it draws")
    assert fold([*log, StepCompleted(at=12, step="a", attempt=3)]).steps["a"].element_values == ()


def test_a_step_that_is_cancelled_waits_for_no_retry():
    retrying = StepRetrying(at=4, step="a", attempt=1, error=ERROR, delay_s=9)
    log = [*BEGUN, StepStarted(at=3, step="a", attempt=1), retrying]
    assert fold(log).steps["a"].retry_at == 13
    step = fold([*log, StepCancelled(at=5, step="a", reason="asked")]).steps["a"]

    assert (step.state, step.retry_at, step.reason) == ("cancelled", None, "asked")


def test_a_completed_run_cannot_go_on():
    with pytest.raises(IllegalTransition):
        fold([*BEGUN, RunCompleted(at=3), RunResumed(at=4, epoch=2)])


def test_durations_are_those_of_the_newest_attempt():
    snapshot = fold([*BEGUN, StepStarted(at=3, step="a", attempt=1), StepCompleted(at=4.5, step="a", attempt=1)])

    assert (snapshot.steps["a"].duration_s, snapshot.steps["b"].duration_s) == (1.5, None)


@pytest.mark.parametrize(
    "event",
    [
        RunCreated(at=1.5, flow="f", steps=("a",), inputs=(ValueRef(name="x", shape=(3, 2), hash="00"),)),
        RunPaused(at=1, reason="ünïcode \U0001f600"),
        StepFailed(at=2, step="a", attempt=3, error=ErrorInfo(type="E", message="\x00", names=("E",))),
        StepCancelled(at=2, step="a"),
    ],
)
def test_events_survive_their_json_form(event):
    assert from_json(to_json(event)) == event


def test_every_kind_of_event_has_a_name_of_its_own():
    kinds = [kind_of(kind) for kind in (*events.RunEvent.__args__, *events.StepEvent.__args__)]

    assert len(kinds) == len(set(kinds)) == 24


@given(st.text())
def test_no_text_makes_the_decoder_raise_anything_but_its_own_error(text):
    import msgspec

    with pytest.raises(msgspec.DecodeError):
        from_json(text)
