"""What the systems before this one do, as our own behaviours: each test is named after one.

Where we deviate on purpose, the test says why. Here stand flows, runs and their engine, retry and concurrency, and what
the fourth system does. The other groups have files of their own: conditions `analysis/test_condition`, the table of
states `model/test_state`, steps `model/test_step`, rollback `engine/test_rollback`, limits `engine/test_limit`, devices
and requirements `engine/test_requirement`, the bus and metrics `api/test_observe`, frames of a stream
`app/test_server`, the store `store/test_runs`, migrations `api/test_migration`.
"""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

import szal_nb as szal
from szal_nb.engine.context import current_context
from szal_nb.errors import FlowCycle, InvalidFlow, InvalidStep, RunFailed
from szal_nb.model.event import RunPaused, StepCompleted, StepFailed, StepRetrying, StepStarted, kind_of
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.state import RunState, StepState
from szal_nb.model.step import Backoff, RetryPolicy, Step
from tests.engine.virtual import run_virtually


def flow_with(names, *, after=None, bodies=None, options=None, **flow):
    """A flow of steps that only order each other; a step without a body gives its name."""
    made = szal.Flow("test", **flow)
    for name in names.split():
        body = (bodies or {}).get(name) or body_of(name)
        made.step(name=name, after=(after or {}).get(name, ()), **(options or {}).get(name, {}))(body)
    return made


def body_of(name):
    async def body():
        return name

    return body


def failing(error=ValueError, times=None):
    calls = []

    async def body():
        calls.append(1)
        if times is None or len(calls) <= times:
            raise error(f"failure {len(calls)}")
        return len(calls)

    body.calls = calls
    return body


def sleeping(seconds, log=None, name=""):
    async def body():
        await asyncio.sleep(seconds)
        if log is not None:
            log.append(name)

    return body


class Played:
    """A run on virtual time, with its events."""

    def __init__(self, flow, during=None, inputs=None):
        self.events = []

        async def main():
            loop = asyncio.get_running_loop()
            self.began = loop.time()
            run = flow.start(inputs, store=None)
            run.subscribe(self.events.extend)
            if during is not None:
                asyncio.ensure_future(during(run)).add_done_callback(lambda task: task.exception())
            await run.wait()
            self.length = loop.time() - self.began
            return run

        self.run = run_virtually(main())
        self.states = {name: step.state for name, step in self.run.steps.items()}
        self.kinds = [kind_of(event) for event in self.events]
        self.state = self.run.state

    def order(self, kind=StepCompleted):
        return [event.step for event in self.events if isinstance(event, kind)]


DIAMOND = {"left": "load", "right": "load", "join": ("left", "right")}


def test_a_sequential_flow_completes_its_steps_in_order():
    assert Played(flow_with("a b c", mode="sequential")).order() == ["a", "b", "c"]


def test_a_parallel_flow_completes_all_its_steps():
    assert Played(flow_with("a b c", mode="parallel")).states == dict.fromkeys("abc", "completed")


def test_a_dag_completes_each_step_after_its_dependencies():
    order = Played(flow_with("join right left load", after=DIAMOND)).order()

    assert order[0] == "load"
    assert order[-1] == "join"


def test_a_hierarchical_flow_completes_parents_before_their_sub_steps():
    options = {"child": {"parent": "top"}, "grandchild": {"parent": "child"}, "other": {"parent": "top"}}
    order = Played(flow_with("top child grandchild other", mode="hierarchical", options=options)).order()

    assert order[0] == "top"
    assert order.index("child") < order.index("grandchild")


def test_sub_steps_run_at_any_depth_and_record_their_own_events():
    names = [f"s{i}" for i in range(50)]
    options = {name: {"parent": before} for before, name in pairwise(names)}
    played = Played(flow_with(" ".join(names), mode="hierarchical", options=options))

    assert played.order(StepStarted) == played.order() == names


def test_a_parent_without_sub_steps_is_a_plain_step():
    assert Played(flow_with("alone", mode="hierarchical")).states == {"alone": "completed"}


def test_a_failed_parent_skips_its_whole_subtree():
    options = {"child": {"parent": "top"}, "grandchild": {"parent": "child"}}
    played = Played(
        flow_with("top child grandchild other", mode="hierarchical", bodies={"top": failing()}, options=options)
    )

    assert played.states == {"top": "failed", "child": "skipped", "grandchild": "skipped", "other": "completed"}


def test_a_flow_without_steps_completes_at_once():
    assert Played(szal.Flow("empty")).kinds == ["run.created", "run.started", "run.completed"]


@pytest.mark.parametrize("mode", ["parallel", "dag"])
def test_no_more_steps_run_at_once_than_the_flow_allows(mode):
    inside, most = 0, 0

    async def body():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(1)
        inside -= 1

    names = " ".join(f"s{i}" for i in range(20))
    played = Played(flow_with(names, mode=mode, max_parallel=3, bodies=dict.fromkeys(names.split(), body)))
    assert (most, round(played.length)) == (3, 7)


def test_a_diamond_runs_its_join_once_after_both_sides():
    assert Played(flow_with("load left right join", after=DIAMOND)).order(StepStarted).count("join") == 1


def test_a_failed_step_skips_all_that_depends_on_it_and_a_failure_leaves_unrelated_branches_running():
    played = Played(flow_with("a b c other", after={"b": "a", "c": "b"}, bodies={"a": failing()}))

    assert played.states == {"a": "failed", "b": "skipped", "c": "skipped", "other": "completed"}
    assert played.run["c"].reason == "b was skipped"
    assert played.run["b"].attempts == []


def test_a_failing_diamond_ends_once_with_a_state_for_every_step():
    # The seed of the fourth system hung, or ended early.
    played = Played(flow_with("load left right join", after=DIAMOND, bodies={"left": failing()}))

    assert played.states == {"load": "completed", "left": "failed", "right": "completed", "join": "skipped"}
    assert played.kinds.count("run.failed") == 1


def test_a_failure_in_a_large_dag_skips_exactly_its_descendants():
    names = [f"s{i}" for i in range(300)]
    after = {f"s{i}": f"s{(i - 1) // 2}" for i in range(1, 300)}
    played = Played(flow_with(" ".join(names), after=after, bodies={"s5": failing()}))

    below = {"s5"}
    for name in names:
        if after.get(name) in below:
            below.add(name)
    assert {name for name, state in played.states.items() if state != "completed"} == below


def test_a_step_that_fails_twice_completes_at_its_third_attempt():
    played = Played(flow_with("a", bodies={"a": failing(times=2)}, options={"a": {"retries": 5}}))

    assert (played.states, len(played.run["a"].attempts)) == ({"a": "completed"}, 3)


def test_an_exhausted_step_fails_with_its_last_error_as_cause():
    # The seed said only that retries were exhausted.
    played = Played(flow_with("a", bodies={"a": failing()}, options={"a": {"retries": 2}}))

    assert str(played.run["a"].error) == "ValueError: failure 3"


def test_no_retries_means_one_attempt_and_is_the_default():
    # One seed sent 0 as 5.
    body = failing()
    Played(flow_with("a", bodies={"a": body}, options={"a": {"retries": 0}}))

    assert len(body.calls) == 1
    assert Step(name="a").retry == RetryPolicy(retries=0)


def test_retries_without_end_do_not_overflow_and_backoff_grows_as_documented():
    # The seed added 1 to the largest number.
    policy = RetryPolicy(retries=2**63, delay_s=1, backoff=Backoff.EXPONENTIAL)
    assert [policy.wait_s(n) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert policy.wait_s(10**9) == 365 * 86400
    assert [RetryPolicy(delay_s=3, backoff=Backoff.LINEAR).wait_s(n) for n in (1, 2, 3)] == [3, 6, 9]
    jittered = [RetryPolicy(delay_s=10, jitter=0.5).wait_s(1, seed=str(i)) for i in range(100)]
    assert min(jittered) >= 5
    assert max(jittered) <= 15
    assert len(set(jittered)) > 90


def test_the_fourth_wait_still_follows_the_curve_and_an_attempt_never_starts_before_its_wait_is_over():
    # One seed jumped to its cap at the second retry.
    played = Played(
        flow_with(
            "a",
            bodies={"a": failing()},
            options={"a": {"retries": 4, "delay": 10, "backoff": "exponential", "max_delay": 60}},
        )
    )
    starts = [event.at for event in played.events if isinstance(event, StepStarted)]
    assert [event.delay_s for event in played.events if isinstance(event, StepRetrying)] == [10, 20, 40, 60]
    assert round(played.length) == 130
    assert len(starts) == 5


def test_a_timed_out_step_gives_one_failure_event_and_each_attempt_has_the_whole_timeout():
    # The seed sent two failures and no word of the timeout.
    played = Played(
        flow_with("a", bodies={"a": sleeping(1e9)}, options={"a": {"timeout": 30, "retries": 1, "delay": 5}})
    )

    assert played.kinds.count("step.failed") == 1
    assert played.run["a"].error.type == "StepTimeout"
    assert round(played.length) == 65


def test_a_step_without_timeout_may_run_as_long_as_it_likes():
    assert Played(flow_with("a", bodies={"a": sleeping(86400 * 30)})).states == {"a": "completed"}


def test_a_run_over_its_timeout_ends_failed_also_inside_of_a_step():
    # The seed looked only between steps, and called the run completed.
    played = Played(flow_with("a b", after={"b": "a"}, bodies={"a": sleeping(1e9)}, timeout=100))

    assert (played.state, played.states) == ("failed", {"a": "cancelled", "b": "cancelled"})
    assert 100 <= played.length < 110


def test_a_sequential_flow_skips_what_follows_a_failure():
    played = Played(flow_with("a b c", mode="sequential", bodies={"b": failing()}))

    assert played.states == {"a": "completed", "b": "failed", "c": "skipped"}


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: flow_with("a b", after={"a": "b", "b": "a"}).graph(), FlowCycle, "a -> b -> a|b -> a -> b"),
        (lambda: flow_with("a", after={"a": "missing"}).graph(), InvalidStep, "missing"),
        (lambda: flow_with("a", after={"a": "a"}).graph(), FlowCycle, "a -> a"),
        (lambda: flow_with("a a"), InvalidStep, "'a'"),
        (lambda: FlowDefinition(name="f", steps=(Step(name="a"), Step(name="a"))), InvalidFlow, "named 'a'"),
    ],
    ids=["cycle", "unknown", "self", "twice", "twice in a definition"],
)
def test_an_invalid_flow_runs_nothing_and_names_the_step(make, error, text):
    # The seed did not look for two steps of one name.
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("mode", ["sequential", "parallel", "dag", "hierarchical"])
def test_a_run_cancelled_before_its_start_runs_nothing(mode):
    ran = []

    async def body():
        ran.append(1)

    async def main():
        run = flow_with("a b", mode=mode, bodies={"a": body, "b": body}).start(store=None)
        run.cancel()
        await run.wait()
        return run

    run = run_virtually(main())
    assert run.state == "cancelled"
    assert {step.state for step in run.steps.values()} == {"cancelled"}
    assert ran == []


def at_once(command, store, *, ends="cancelled"):
    """A run that is commanded before its inputs are on record: they are written down on a thread."""
    ran = []

    def body():
        ran.append(1)

    async def main():
        run = flow_with("a b", bodies={"a": body, "b": body}).start(store=store)
        command(run)
        if ends == "paused":
            async for event in run.events():
                if isinstance(event, RunPaused):
                    break
            kept = list(ran)
            run.resume()
            await run.wait()
            return run, kept
        await run.wait()
        return run, ran

    return asyncio.run(main())


@pytest.mark.parametrize("store", [":memory:", None])
def test_a_run_of_functions_that_is_cancelled_at_once_runs_nothing(store):
    run, ran = at_once(lambda run: run.cancel("too late"), store)

    assert (run.state, run.snapshot.reason, ran) == ("cancelled", "too late", [])
    assert {step.state for step in run.steps.values()} == {"cancelled"}


@pytest.mark.parametrize("store", [":memory:", None])
def test_a_run_that_is_paused_at_once_begins_nothing_until_it_goes_on(store):
    run, ran = at_once(lambda run: run.pause(), store, ends="paused")

    assert (run.state, ran) == ("completed", [])


def test_a_step_that_is_skipped_before_the_run_begins_is_skipped():
    run, ran = at_once(lambda run: run.skip("a"), ":memory:")

    assert (run["a"].state, run["b"].state, ran) == ("skipped", "completed", [1])


def test_a_retry_that_is_cancelled_at_once_is_cancelled():
    broken = failing()

    async def main():
        run = flow_with("a", bodies={"a": broken}).start(store=":memory:")
        await run.wait()
        run.retry("a")
        run.cancel()
        await run.wait()
        return run

    assert asyncio.run(main()).state == "cancelled"
    assert len(broken.calls) == 1


@pytest.mark.parametrize("mode", ["sequential", "parallel", "dag", "hierarchical"])
def test_a_run_cancelled_in_the_middle_ends_cancelled_with_a_state_for_every_step(mode):
    # In the seed steps that had not come up had no result at all.
    async def cancel(run):
        await asyncio.sleep(10)
        run.cancel("enough")
        run.cancel("again")

    options = {"b": {"parent": "a"}} if mode == "hierarchical" else {}
    played = Played(
        flow_with("a b", mode=mode, bodies={"a": sleeping(1e6), "b": sleeping(1e6)}, options=options), cancel
    )

    assert (played.state, played.run.snapshot.reason) == ("cancelled", "enough")
    assert set(played.states.values()) == {"cancelled"}
    assert played.kinds.count("run.cancel_requested") == 1


def test_a_cancel_after_the_last_step_changes_nothing():
    async def main():
        run = flow_with("a").start(store=None)
        await run.wait()
        run.cancel()
        await asyncio.sleep(1)
        return run.state

    assert run_virtually(main()) == "completed"


def test_a_step_waiting_for_its_retry_is_cancelled_at_once():
    async def cancel(run):
        await asyncio.sleep(10)
        run.cancel()

    played = Played(flow_with("a", bodies={"a": failing()}, options={"a": {"retries": 1, "delay": 1e6}}), cancel)
    assert played.state == "cancelled"
    assert played.length < 11


def test_a_running_coroutine_gets_the_cancellation_and_one_that_catches_everything_is_still_cancelled():
    # In one seed a cancel was only noted; in another, code that catches all swallowed it.
    told = []

    async def stubborn():
        for _ in range(3):
            try:
                await asyncio.sleep(1e6)
            except BaseException as error:  # noqa: BLE001 this is what it is about
                told.append(type(error).__name__)

    async def cancel(run):
        await asyncio.sleep(10)
        run.cancel()

    played = Played(flow_with("a", bodies={"a": stubborn}), cancel)
    assert told[0] == "CancelledError"
    assert played.states == {"a": "cancelled"}
    assert played.length < 20


@pytest.mark.parametrize(
    ("after", "bodies", "options", "kinds"),
    [
        ({}, {}, {}, ["step.started", "step.completed", "step.started", "step.completed", "run.completed"]),
        ({}, {"a": failing()}, {}, ["step.started", "step.failed", "step.skipped", "run.failed"]),
        (
            {},
            {"b": failing(times=1)},
            {"b": {"retries": 1}},
            [
                *["step.started", "step.completed"],
                *["step.started", "step.retrying", "step.started", "step.completed", "run.completed"],
            ],
        ),
    ],
    ids=["completed", "failed", "retried"],
)
def test_a_run_records_these_events(after, bodies, options, kinds):
    played = Played(flow_with("a b", after={"b": "a"}, bodies=bodies, options=options))

    assert played.kinds == ["run.created", "run.started", *kinds]


def test_a_body_sees_its_own_step_in_the_context():
    async def look():
        context = current_context()
        return context.run_id, context.step, context.attempt

    played = Played(flow_with("look", bodies={"look": look}))
    assert played.run.values.look == (played.run.id, "look", 1)


def test_any_starts_at_the_first_dependency_that_completes():
    # The seed waited for the whole batch.
    played = Played(
        flow_with(
            "slow quick first",
            after={"first": ("slow", "quick")},
            bodies={"slow": sleeping(100), "quick": sleeping(1)},
            options={"first": {"trigger": "any"}},
        )
    )
    assert played.order() == ["quick", "first", "slow"]


@pytest.mark.parametrize(("bad", "state"), [(("one",), "completed"), (("one", "two"), "skipped")])
def test_any_is_skipped_only_when_none_can_complete_any_more(bad, state):
    # The seed skipped it as soon as one had failed.
    played = Played(
        flow_with(
            "one two first",
            after={"first": ("one", "two")},
            bodies={name: failing() for name in bad},
            options={"first": {"trigger": "any"}},
        )
    )
    assert played.states["first"] == state


def test_a_step_starts_the_moment_its_last_dependency_ends():
    # The seeds ran in waves: a slow neighbour held back what did not depend on it.
    log = []
    bodies = {"slow": sleeping(100, log, "slow"), "quick": sleeping(1, log, "quick"), "next": sleeping(1, log, "next")}
    Played(flow_with("slow quick next", after={"next": "quick"}, bodies=bodies))

    assert log == ["quick", "next", "slow"]


def test_independent_steps_overlap():
    bodies = {name: sleeping(10) for name in "abcde"}

    assert round(Played(flow_with("a b c d e", bodies=bodies)).length) == 10


def test_a_chain_of_10000_steps_completes_without_recursion():
    names = [f"s{i}" for i in range(10_000)]
    graph = flow_with(" ".join(names), after={b: a for a, b in pairwise(names)}, bodies={})
    played = Played(graph)

    assert played.order() == names


@pytest.mark.parametrize("seed", range(10))
def test_a_flow_of_this_shape_completes_in_an_allowed_order(seed):
    chance = random.Random(seed)
    names = [f"s{i}" for i in range(10)]
    after = {f"s{i}": tuple(f"s{j}" for j in chance.sample(range(i), min(i, 2))) for i in range(10)}
    bodies = {name: sleeping(chance.random()) for name in names}
    order = Played(flow_with(" ".join(names), after=after, bodies=bodies)).order()

    assert sorted(order) == sorted(names)
    assert all(order.index(source) < order.index(name) for name, sources in after.items() for source in sources)


def test_every_state_round_trips_as_text():
    for states in (RunState, StepState):
        assert [states(state.value) for state in states] == list(states)
        assert all(str(state) == state.value for state in states)


def test_a_flow_without_version_is_version_1_and_another_comes_back_from_the_store(tmp_path):
    assert szal.Flow("f").definition().version == FlowDefinition(name="f").version == 1

    store = szal.open_store(tmp_path / "runs.db")
    run = szal.run(flow_with("a", version=7), store=store)
    assert (store.graph(run.id).flow.version, store.run(run.id).version) == (7, 7)


def test_steps_come_back_from_the_store_as_they_were_defined(tmp_path):
    flow = flow_with("a b", after={"b": "a"}, options={"b": {"retries": 2, "backoff": "linear", "tags": ("io",)}})
    store = szal.open_store(tmp_path / "runs.db")
    run = szal.run(flow, store=store)

    assert store.graph(run.id).flow == flow.graph().flow


def test_a_sequential_flow_may_name_what_its_order_says_already_and_refuses_the_contrary():
    # The seed refused every dependency in a sequential flow; here names are edges, and only what cannot hold is refused.
    assert Played(flow_with("a b", mode="sequential", after={"b": "a"})).order() == ["a", "b"]
    with pytest.raises(FlowCycle, match="a -> b -> a|b -> a -> b"):
        flow_with("a b", mode="sequential", after={"a": "b"}).graph()


def test_a_parallel_flow_refuses_dependencies():
    with pytest.raises(InvalidFlow, match="Step 'b' depends on step 'a'"):
        flow_with("a b", mode="parallel", after={"b": "a"}).graph()


def test_any_without_dependencies_is_refused():
    with pytest.raises(InvalidStep, match="Step 'a': --trigger any lets it start .* but it waits for none"):
        flow_with("a", options={"a": {"trigger": "any"}}).graph()


def test_a_hierarchical_flow_allows_dependencies_but_not_on_what_runs_later():
    # The seed refused all of them.
    options = {"child": {"parent": "top"}, "other": {"parent": "top"}}
    played = Played(flow_with("top child other", mode="hierarchical", after={"child": "other"}, options=options))

    assert played.order() == ["top", "other", "child"]
    with pytest.raises(InvalidStep, match="Step 'top': it waits for 'child', which is a sub-step of it"):
        flow_with("top child", mode="hierarchical", after={"top": "child"}, options={"child": options["child"]}).graph()


def test_a_handle_that_nobody_uses_changes_nothing():
    async def listen(run):
        async for _ in run.events():
            pass

    assert Played(flow_with("a b"), listen).states == Played(flow_with("a b")).states


def test_what_must_not_be_tried_again_stops_at_once():
    played = Played(
        flow_with("a", bodies={"a": failing(KeyError)}, options={"a": {"retries": 9, "no_retry_on": ("KeyError",)}})
    )

    assert (played.state, len(played.run["a"].attempts)) == ("failed", 1)


def test_a_run_carries_the_failure_of_its_step_and_where_it_happened():
    error = Played(flow_with("a", bodies={"a": failing()})).run["a"].error

    assert (error.type, error.message) == ("ValueError", "failure 1")
    assert "raise error(" in error.traceback


def test_each_attempt_is_kept_with_its_outcome(tmp_path):
    store = szal.open_store(tmp_path / "runs.db")
    flow = flow_with("a", bodies={"a": failing(times=2)}, options={"a": {"retries": 2, "delay": 0}})
    run = szal.run(flow, store=store)

    attempts = store.snapshot(run.id).steps["a"].attempts
    assert [(one.number, one.state) for one in attempts] == [(1, "failed"), (2, "failed"), (3, "completed")]


def test_many_runs_at_once_do_not_mix():
    async def main():
        flow = flow_with("a b", after={"b": "a"})
        runs = [flow.start(store=None) for _ in range(1_000)]
        await asyncio.gather(*(run.wait() for run in runs))
        return runs

    runs = run_virtually(main())
    assert {run.state for run in runs} == {"completed"}
    assert len({run.id for run in runs}) == 1_000


def test_a_wide_fan_out_runs_each_step_exactly_once_and_joins():
    names = [f"s{i}" for i in range(500)]
    after = {**dict.fromkeys(names, "load"), "join": tuple(names)}
    order = Played(flow_with(f"load {' '.join(names)} join", after=after, max_parallel=7)).order(StepStarted)

    assert (order[0], order[-1], sorted(order[1:-1])) == ("load", "join", sorted(names))


def test_awaiting_a_failed_run_raises_with_the_step_s_own_error():
    # The seed returned as if all were well.
    async def main():
        await flow_with("a", bodies={"a": failing()}).start(store=None)

    with pytest.raises(RunFailed, match="step a: ValueError: failure 1"):
        run_virtually(main())


def test_each_sink_sees_all_events_in_order_once():
    seen = [[], []]

    async def main():
        run = flow_with("a b c", after={"b": "a", "c": "b"}).start(store=None)
        for events in seen:
            run.subscribe(events.extend)
        await run.wait()

    run_virtually(main())
    assert seen[0] == seen[1]
    assert [event.step for event in seen[0] if isinstance(event, StepStarted)] == ["a", "b", "c"]
    assert len(seen[0]) == 9


def test_two_runs_of_one_flow_keep_their_records_apart(tmp_path):
    # In one seed the flow's id was the run's; in another a step's id was global.
    flow = flow_with("a b", after={"b": "a"})
    store = szal.open_store(tmp_path / "runs.db")
    first, second = szal.run(flow, store=store), szal.run(flow, store=store)

    assert first.id != second.id
    assert [run.state for run in store.runs(flow="test")] == ["completed", "completed"]
    assert len(store.events(first.id)) == len(store.events(second.id)) == 7


def test_the_store_has_the_end_of_a_run_that_failed_and_of_one_that_was_cancelled(tmp_path):
    # The seed never wrote a cancelled run.
    store = szal.open_store(tmp_path / "runs.db")
    failed = szal.run(flow_with("a", bodies={"a": failing()}), store=store)

    async def main():
        run = flow_with("a", bodies={"a": sleeping(1e6)}).start(store=store)
        while run["a"].state != "running":  # noqa: ASYNC110  a run has no event for it
            await asyncio.sleep(0.01)
        run.cancel("enough")
        await run.wait()
        return run

    cancelled = asyncio.run(main())
    assert str(store.snapshot(failed.id).steps["a"].error) == "ValueError: failure 1"
    assert store.run(failed.id).ended_at is not None
    assert (store.run(cancelled.id).state, store.run(cancelled.id).reason) == ("cancelled", "enough")


def test_a_flow_as_a_step_gives_its_outputs():
    parts = szal.Flow("parts")
    parts.step(name="total")(lambda n: n * 2)
    whole = szal.Flow("whole")

    @whole.step
    async def doubled(n):
        return (await parts.call({"n": n}, store=None)).total

    played = Played(whole, inputs={"n": 21})
    assert played.run["doubled"].error is None
    assert played.run.values.doubled == 42


def test_a_failure_of_the_flow_inside_is_the_failure_of_the_step():
    parts = flow_with("a", bodies={"a": failing()})
    whole = szal.Flow("whole")

    @whole.step
    async def outer():
        await parts.call(store=None)

    error = Played(whole).run["outer"].error
    assert error.type == "RunFailed"
    assert "step a: ValueError: failure 1" in error.message


def test_cancel_reaches_the_flow_inside():
    # The seed did not pass it down.
    ended = []

    async def inner():
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            ended.append("inner")
            raise

    parts = flow_with("inner", bodies={"inner": inner})
    whole = szal.Flow("whole")

    @whole.step
    async def outer():
        await parts.call(store=None)

    async def cancel(run):
        await asyncio.sleep(10)
        run.cancel()

    assert (Played(whole, cancel).state, ended) == ("cancelled", ["inner"])


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("mode", ["sequential", "parallel", "dag", "hierarchical"])
def test_a_body_that_raises_anything_is_that_attempts_failure(mode, error):
    played = Played(flow_with("bad", mode=mode, bodies={"bad": failing(error)}))

    assert played.states == {"bad": "failed"}
    assert [event.error.type for event in played.events if isinstance(event, StepFailed)] == [error.__name__]
