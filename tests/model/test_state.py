"""States, what may follow what, and the fold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.errors import IllegalTransition
from szal_nb.model import event as events
from szal_nb.model.event import (
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
    StepSkipped,
    StepStarted,
    from_json,
    kind_of,
    to_json,
)
from szal_nb.model.state import RunState, StepState, fold
from szal_nb.model.transition import RUN_TRANSITIONS, STEP_TRANSITIONS
from szal_nb.model.value import ErrorInfo, ValueRef

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
