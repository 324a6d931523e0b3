"""Limits by tag and by rate, and who goes first."""

from __future__ import annotations

import pytest

from szal_nb.engine.limit import Limit
from szal_nb.errors import InvalidFlow
from szal_nb.model.event import StepStarted
from szal_nb.model.flow import FlowDefinition
from tests.engine.simulation import begun, flow_of, simulate


def starts(run):
    return [(event.step, event.at) for event in run.events if isinstance(event, StepStarted)]


def test_a_tag_limit_holds_beside_the_flow_limit():
    graph = flow_of(
        "a1", "a2", "a3", "free", steps={name: {"tags": ("api",)} for name in ("a1", "a2", "a3")},
        max_parallel=3, limits=(("api", "2"),),
    )  # fmt: skip
    run = begun(graph)

    assert run.under_way == {"a1", "a2", "free"}
    run.complete("free")
    assert run.under_way == {"a1", "a2"}
    run.complete("a1")
    assert run.under_way == {"a2", "a3"}


def test_a_burst_of_ready_steps_stays_within_the_limit_and_each_runs_exactly_once():
    names = [f"s{i}" for i in range(200)]
    run = simulate(flow_of("go", *(f"{name} <- go" for name in names), max_parallel=7), seed=3)

    assert run.most_at_once == 7
    assert sorted(step for step, _ in starts(run)) == sorted(["go", *names])


@pytest.mark.parametrize("flow", [{}, {"max_parallel": 2}], ids=["alone", "beside another limit"])
def test_no_more_steps_start_in_a_length_of_time_than_a_rate_allows(flow):
    names = [f"s{i}" for i in range(10)]
    graph = flow_of(*names, steps={name: {"tags": ("web",)} for name in names}, limits=(("web", "3/100s"),), **flow)
    run = simulate(graph)

    times = sorted(at for _, at in starts(run))
    assert len(times) == 10
    assert all(later - first >= 100 for first, later in zip(times, times[3:], strict=False))
    assert times[-1] - times[0] < 400


def test_room_that_a_step_cannot_use_yet_is_for_the_next_who_waits_for_it():
    tags = {"y": ("b",), "z": ("a", "b"), "v": ("a",), "w": ("b",)}
    steps = {name: {"tags": found} for name, found in tags.items()}
    run = begun(flow_of(*tags, steps=steps, limits=(("a", "1"), ("b", "1"))))
    assert run.under_way == {"y", "v"}

    run.complete("y")
    assert run.under_way == {"v", "w"}
    run.complete("v")
    assert run.under_way == {"w"}
    run.complete("w")
    assert run.under_way == {"z"}


def test_a_rate_keeps_no_room_when_the_clock_is_set_back():
    limit = Limit(1, per_s=60)

    assert limit.take_if_room(0, at=1_000)
    assert not limit.take_if_room(1, at=1_001)
    assert limit.take_if_room(1, at=10)


def test_among_ready_steps_the_highest_priority_goes_first():
    graph = flow_of("a", "b <- a", "c <- b", "urgent", max_parallel=1, steps={"urgent": {"priority": 1}})

    assert [step for step, _ in starts(simulate(graph))] == ["urgent", "a", "b", "c"]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "3/", "3/0s", "3/year"])
def test_a_limit_that_is_none_is_refused(limit):
    # The seed took a limit of 0 for 1.
    with pytest.raises(InvalidFlow, match="--limit api"):
        FlowDefinition(name="f", limits=(("api", limit),))


def test_a_limit_below_one_is_refused():
    with pytest.raises(InvalidFlow, match="use 1 or more"):
        FlowDefinition(name="f", max_parallel=0)
