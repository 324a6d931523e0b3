"""Steps, flows and durations are checked when they are made."""

from __future__ import annotations

import math
import pickle

import pytest

from szal_nb import errors
from szal_nb.errors import InvalidFlow, InvalidStep
from szal_nb.model.duration import parse_duration
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import Backoff, RetryPolicy, Step


@pytest.mark.parametrize("text", ["", "soon", "-1", "1h30", "nan", "inf", "5 weeks", -1.0, math.inf])
def test_what_is_not_a_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="not a length of time|number without a unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "not a name"),
        ({"name": "2nd"}, "not a name"),
        ({"name": "a b"}, "not a name"),
        ({"name": "<script>"}, "not a name"),
        ({"name": "a", "retry": RetryPolicy(retries=-1)}, "--retries"),
        ({"name": "a", "retry": RetryPolicy(delay_s=-1)}, "--delay"),
        ({"name": "a", "retry": RetryPolicy(jitter=2)}, "--jitter"),
        ({"name": "a", "timeout_s": 0.0}, "--timeout"),
        ({"name": "a", "timeout_s": math.nan}, "--timeout"),
        ({"name": "a", "max_parallel": 0}, "--max-parallel"),
    ],
)
def test_a_step_that_cannot_be_is_refused_by_name(fields, named):
    with pytest.raises(InvalidStep, match=named):
        Step(**fields)


def test_names_of_steps_may_be_in_any_script_and_have_dashes():
    assert [Step(name=name).name for name in ("żółw", "load-data", "数据")] == ["żółw", "load-data", "数据"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "needs a name"),
        ({"name": "f", "version": 0}, "--version"),
        ({"name": "f", "max_parallel": 0}, "--max-parallel"),
        ({"name": "f", "timeout_s": 0.0}, "--timeout"),
        ({"name": "f", "timeout_s": math.nan}, "--timeout"),
        ({"name": "f", "steps": (Step(name="a"), Step(name="a"))}, "Two steps are named 'a'"),
    ],
)
def test_a_flow_that_cannot_be_is_refused(fields, named):
    with pytest.raises(InvalidFlow, match=named):
        FlowDefinition(**fields)


def test_jitter_stays_in_its_bounds_and_is_the_same_for_the_same_seed():
    policy = RetryPolicy(delay_s=10, backoff=Backoff.FIXED, jitter=0.2)
    waits = [policy.wait_s(1, seed=str(seed)) for seed in range(200)]

    assert all(8 <= wait <= 12 for wait in waits)
    assert max(waits) - min(waits) > 2
    assert waits == [policy.wait_s(1, seed=str(seed)) for seed in range(200)]


def test_no_wait_is_longer_than_its_cap_with_jitter_nor_than_a_year():
    capped = RetryPolicy(delay_s=100, max_delay_s=60, jitter=0.5)
    waits = [capped.wait_s(1, seed=str(seed)) for seed in range(100)]

    assert (max(waits), min(waits) < 40) == (60, True)
    assert RetryPolicy(delay_s=1e300, max_delay_s=1e300).wait_s(1) == 365 * 86400


@pytest.mark.parametrize(("seconds", "wait_s"), [(3, 3.0), (2.5, 2.5), (-1, 0.0), (1e300, 365 * 86400.0), (True, 1.0)])
def test_a_body_asks_for_a_wait_that_can_be(seconds, wait_s):
    assert errors.RetryAfter(seconds).seconds == wait_s


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, "1s", None])
def test_a_wait_that_cannot_be_is_refused_where_it_is_asked_for(seconds):
    with pytest.raises((ValueError, TypeError)):
        errors.RetryAfter(seconds)


@pytest.mark.parametrize(
    "error",
    [
        errors.FlowCycle(("a", "b", "a")),
        errors.InvalidStep("a", "is wrong.", "Do this."),
        errors.RunFailed("r", "failed", (("a", "ValueError: x"),), "hint"),
        errors.RunOwned("r", "pid 3"),
        errors.UnknownRun("r", "runs.db", ("rr",)),
        errors.StepTimeout("a", 3.0),
        errors.RetryAfter(3.0, "later"),
        errors.ValueUnavailable("x", "it was live"),
    ],
)
def test_errors_pickle_and_keep_their_text(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
