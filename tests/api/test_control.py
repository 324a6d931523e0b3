"""Control from Python: rollback, limits, retry of an ended run, early stop."""

from __future__ import annotations

import asyncio
import os

import pytest

import szal_nb as szal
from szal_nb.errors import AnswerInDoubt, InvalidFlow, InvalidStep, RunError, RunGoneOn


@pytest.mark.parametrize("store", [None, "file"])
def test_a_failed_step_is_retried_in_the_run_it_failed_in(store, tmp_path):
    flow, calls = szal.Flow("f"), []

    @flow.step
    def load():
        calls.append("load")
        return 1

    @flow.step
    def risky(load):
        calls.append("risky")
        if calls.count("risky") == 1:
            raise OSError("not yet")
        return load + 1

    @flow.step
    def last(risky):
        return risky + 1

    async def main():
        run = flow.start(store=None if store is None else tmp_path / "runs.db")
        await run.wait()
        assert (run.state, run["last"].state) == ("failed", "skipped")
        run.retry("risky")
        await run
        return run

    run = asyncio.run(main())
    assert calls == ["load", "risky", "risky"]
    assert (run.state, run.values.last, len(run["risky"].attempts)) == ("completed", 3, 2)
    if store:
        recorded = szal.open_store(tmp_path / "runs.db").snapshot(run.id)
        assert (recorded.state, recorded.epoch) == ("completed", 2)


def test_only_what_can_be_retried_is_retried():
    flow = szal.Flow("f")
    flow.step(name="fine")(lambda: 1)
    run = szal.run(flow, store=None)

    with pytest.raises(RunError, match="only a run that failed"):
        run.retry("fine")
    with pytest.raises(RunError, match="no step 'other'"):
        run.retry("other")


def test_a_run_whose_answer_is_in_doubt_is_not_tried_again(tmp_path):
    flow = szal.Flow("f")
    flow.step(name="xs")(lambda: [1])

    @flow.step(pure=["xs"])
    def change(xs):
        xs.append(2)

    with szal.open_store(tmp_path / "runs.db") as store:
        run = szal.run(flow, store=store)

        assert (run.state, run["change"].error.type) == ("failed", "ValueChanged")
        with pytest.raises(AnswerInDoubt, match="cannot go on: step 'change' failed by"):
            run.retry("change")


@pytest.mark.parametrize("ends", ["failed", "completed"])
def test_a_step_is_not_tried_again_by_who_does_not_know_what_a_resume_has_done(ends, tmp_path):
    flow, calls, broken = szal.Flow("f"), [], {"first", "second"}

    @flow.step
    def first():
        calls.append("first")
        if "first" in broken:
            raise OSError("not yet")
        return 1

    @flow.step
    def second(first):
        calls.append("second")
        if "second" in broken:
            raise OSError("not yet")
        return first + 1

    async def main(store):
        run = flow.start(store=store)
        await run.wait()
        broken.difference_update({"first"} if ends == "failed" else {"first", "second"})
        resumed = await flow.resume(run.id, store=store).wait()
        with pytest.raises(RunGoneOn, match=f"resumed since it ended here, and is {ends} now"):
            run.retry("first")
        broken.clear()
        if ends == "failed":
            resumed.retry("second")
            await resumed
        return resumed

    with szal.open_store(tmp_path / "runs.db") as store:
        run = asyncio.run(main(store))

        assert calls.count("first") == 2
        assert store.snapshot(run.id).state == "completed"


def test_a_failure_undoes_what_completed():
    flow, log = szal.Flow("order"), []

    @flow.step
    def reserve(item):
        return f"reserved {item}"

    @flow.rollback("reserve", retries=1, timeout="10s")
    def release(item, reserve):
        log.append((item, reserve))

    def refund(pay):
        log.append(pay)

    @flow.step(rollback=refund)
    def pay(reserve):
        return "paid"

    @flow.step
    def ship(pay):
        raise ValueError("no truck")

    run = szal.run(flow, {"item": "book"}, store=":memory:")

    assert log == ["paid", ("book", "reserved book")]
    assert (run.state, run["pay"].state, run["reserve"].state) == ("rolled_back", "rolled_back", "rolled_back")
    with pytest.raises(InvalidStep, match="no such step to undo"):
        flow.rollback("nothing")
    with pytest.raises(InvalidStep, match="'speed' is not an option"):
        flow.rollback("pay", speed=3)(refund)


def test_what_undoes_a_step_sees_values_as_they_were_recorded(tmp_path):
    # In the run they are one object, which one compensation changes and the next one reads.
    flow, seen = szal.Flow("order"), []

    @flow.step
    def items(basket):
        return ["book"]

    @flow.rollback("items")
    def forget(items, basket):
        seen.append(("forget", items, basket))

    @flow.step
    def pay(items, basket):
        return {"items": items}

    @flow.rollback("pay")
    def refund(pay, items, basket):
        seen.append(("refund", list(items), pay["items"] == items, dict(basket)))
        items.clear()
        pay.clear()
        basket.clear()

    @flow.step
    def ship(pay):
        raise ValueError("no truck")

    run = szal.run(flow, {"basket": {"of": "me"}}, store=tmp_path / "runs.db")

    assert run.state == "rolled_back"
    assert seen == [("refund", ["book"], True, {"of": "me"}), ("forget", ["book"], {"of": "me"})]


def test_a_step_is_not_tried_again_by_itself_when_what_it_needs_is_undone(tmp_path):
    flow, ran = szal.Flow("order"), []

    @flow.step
    def reserve():
        ran.append("reserve")
        return 1

    @flow.rollback("reserve")
    def release(reserve):
        ran.append("release")

    @flow.step
    def pay(reserve):
        return 2

    @flow.rollback("pay")
    def refund(pay):
        raise OSError("the bank is closed")

    @flow.step
    def ship(pay):
        raise ValueError("no truck")

    async def main():
        run = flow.start(store=tmp_path / "runs.db")
        await run.wait()
        with pytest.raises(RunError, match="reserve was undone, so step 'ship' cannot be tried again by itself"):
            run.retry("ship")
        return run

    run = asyncio.run(main())
    assert (run.state, run["reserve"].state, run["pay"].state) == ("failed", "rolled_back", "completed")
    szal.resume(flow, run.id, store=tmp_path / "runs.db")
    assert ran == ["reserve", "release", "reserve", "release"]


def test_what_undoes_a_step_of_several_names_takes_those_it_asks_for_and_gives_none():
    flow, log = szal.Flow("order"), []

    def refund(fee, item, *, speed="slow"):
        log.append((fee, item, speed))

    @flow.step(out=("receipt", "fee"), rollback=refund)
    def pay(item):
        return "paid", 3

    @flow.step
    def ship(receipt):
        raise ValueError("no truck")

    run = szal.run(flow, {"item": "book"}, store=None)

    assert (run.state, log) == ("rolled_back", [(3, "book", "slow")])


def test_what_undoes_a_step_works_in_its_own_module(monkeypatch):
    monkeypatch.setitem(globals(), "_refunded", None)
    flow = szal.Flow("order")

    def refund(item):
        global _refunded  # noqa: PLW0603 that this works is the point
        _refunded = item

    @flow.step(rollback=refund)
    def pay(item):
        return 1

    @flow.step
    def ship(pay):
        raise ValueError("no truck")

    szal.run(flow, {"item": "book"}, store=None)

    assert globals()["_refunded"] == "book"


def test_what_undoes_a_step_cannot_take_what_the_step_does_not_have():
    flow = szal.Flow("order")

    @flow.step(rollback=lambda other: None)  # noqa: ARG005 the name is what matters
    def pay(item):
        return item

    with pytest.raises(InvalidStep, match="its rollback function takes 'other', which the step neither reads nor"):
        flow.graph()


def test_a_run_that_was_rolled_back_does_not_go_on(tmp_path):
    flow = szal.Flow("order")

    @flow.step(rollback=lambda pay: None)  # noqa: ARG005 the name is what matters
    def pay():
        return 1

    @flow.step
    def ship(pay):
        raise ValueError("no truck")

    run = szal.run(flow, store=tmp_path / "runs.db")

    with pytest.raises(RunError, match=f"Run {run.id} was rolled back: what it completed is undone. Start a new run."):
        szal.resume(flow, run.id, store=tmp_path / "runs.db")


def test_a_body_ends_the_run_early_and_says_how_far_it_is():
    flow = szal.Flow("f")

    @flow.step
    def look():
        szal.progress(1, 2, "half")
        szal.stop("enough")

    @flow.step(after="look")
    def later():
        raise AssertionError

    run = szal.run(flow, store=None)
    assert (run.state, run.snapshot.reason, run["later"].state) == ("completed", "stopped: enough", "skipped")
    assert (run.snapshot.steps["look"].done, run.snapshot.steps["look"].total) == (1, 2)


def test_options_of_a_flow_are_checked():
    with pytest.raises(InvalidFlow, match="--limit api=none"):
        szal.Flow("f", limits={"api": "none"})
    with pytest.raises(InvalidFlow, match="write a mapping of tags"):
        szal.Flow("f", limits=[("api", 3)])
    with pytest.raises(InvalidFlow, match="--timeout 0.0 is refused"):
        szal.Flow("f", timeout=0)
    with pytest.raises(InvalidFlow, match="Flow 'f': timeout='soon': 'soon' is not a length of time"):
        szal.Flow("f", timeout="soon")
    with pytest.raises(InvalidFlow, match="not of failure, cancel, timeout"):
        szal.Flow("f", rollback_on="sunday")
    with pytest.raises(InvalidFlow, match="executor 'gpu' is not one of thread, process, main"):
        szal.Flow("f", executor="gpu")
    assert szal.Flow("f", limits={"api": "10/s", "db": 2}).definition().limits == (("api", "10/s"), ("db", "2"))


def test_a_mapped_step_gives_its_results_in_order():
    flow = szal.Flow("f")

    @flow.step
    def numbers(count):
        return list(range(count))

    @flow.step(map="numbers", max_parallel=4, retries=1, delay=0)
    def square(numbers, offset):
        return numbers * numbers + offset

    @flow.step
    def total(square):
        return sum(square)

    run = szal.run(flow, {"count": 5, "offset": 1}, store=":memory:")
    assert (run.values.square, run.values.total) == ([1, 2, 5, 10, 17], 35)
    assert (run["square"].progress.done, run["square"].progress.total) == (5, 5)


FIRST_FAILS = {
    # Three steps, the first of which fails; the third (after both, where a mode takes that) with each trigger.
    ("sequential", "all"): ("failed", "skipped", "skipped"),
    ("sequential", "any"): ("failed", "skipped", "skipped"),
    ("sequential", "all_done"): ("failed", "skipped", "completed"),
    ("sequential", "none_failed"): ("failed", "skipped", "skipped"),
    ("dag", "all"): ("failed", "completed", "skipped"),
    ("dag", "any"): ("failed", "completed", "completed"),
    ("dag", "all_done"): ("failed", "completed", "completed"),
    ("dag", "none_failed"): ("failed", "completed", "skipped"),
    ("hierarchical", "all"): ("failed", "completed", "skipped"),
    ("hierarchical", "any"): ("failed", "completed", "completed"),
    ("hierarchical", "all_done"): ("failed", "completed", "completed"),
    ("hierarchical", "none_failed"): ("failed", "completed", "skipped"),
    ("parallel", "all"): ("failed", "completed", "completed"),
    ("parallel", "all_done"): ("failed", "completed", "completed"),
    ("parallel", "none_failed"): ("failed", "completed", "completed"),
}


@pytest.mark.parametrize(("mode", "trigger"), FIRST_FAILS)
def test_each_trigger_in_each_mode_ends_every_step_with_a_state_and_a_reason(mode, trigger):
    flow = szal.Flow("modes", mode=mode)
    after = {"after": ["a", "b"]} if mode in ("dag", "hierarchical") else {}

    @flow.step
    def a():
        raise ValueError

    @flow.step
    def b():
        return 1

    @flow.step(trigger=trigger, **after)
    def c():
        return 1

    run = szal.run(flow, store=None)
    assert (run["a"].state, run["b"].state, run["c"].state) == FIRST_FAILS[mode, trigger]
    assert run.state == "failed"
    assert all(step.reason for step in run.steps.values() if step.state == "skipped")
    assert str(run["a"].error) == "ValueError"


def here():
    return os.getpid()


def test_a_flow_says_where_bodies_run_and_a_step_may_say_otherwise():
    flow = szal.Flow("where", executor="process")
    flow.step(name="apart")(here)
    flow.step(name="inside", executor="thread")(here)

    run = szal.run(flow, store=None)

    assert (run.values.apart != os.getpid(), run.values.inside == os.getpid()) == (True, True)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"from_step": "c", "until": "a"}, "Nothing is left to run from c until a: no step fits all of it."),
        ({"only": "b", "from_step": "c"}, "Nothing is left to run only b from c"),
    ],
)
def test_a_choice_of_steps_that_leaves_none_is_refused(wish, text):
    flow = szal.Flow("f")
    flow.step(name="a")(lambda: 1)
    flow.step(name="b", after="a")(lambda: 1)
    flow.step(name="c", after="b")(lambda: 1)

    with pytest.raises(InvalidFlow, match=text):
        szal.run(flow, store=None, **wish)
    assert szal.run(szal.Flow("empty"), store=None).state == "completed"


def failing():
    raise ValueError


DEFAULTS = {
    # How `a` ends, the trigger of `c(a=None, b=None)`, and what becomes of it.
    ("fails", "any"): (None, 2),
    ("fails", "all_done"): (None, 2),
    ("fails", "all"): "b",
    ("is skipped", "any"): (None, 2),
    ("is skipped", "all_done"): (None, 2),
    ("is skipped", "all"): (None, 2),
    ("is skipped", "none_failed"): (None, 2),
}


@pytest.mark.parametrize(("end", "trigger"), DEFAULTS)
@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_parameter_with_a_default_does_without_what_its_step_did_not_give(tmp_path, end, trigger, executor):
    flow = szal.Flow("defaults")
    flow.step(name="a", when="false" if end == "is skipped" else None)(failing)
    flow.step(name="b")(lambda: 2)

    @flow.step(trigger=trigger, executor=executor)
    def c(a=None, b=None):
        return a, b

    run = szal.run(flow, store=tmp_path / "runs.db")

    if DEFAULTS[end, trigger] == "b":
        assert (run["c"].state, run["c"].reason) == ("skipped", "a failed")
    else:
        assert (run["c"].state, run["c"].value) == ("completed", DEFAULTS[end, trigger])


def test_what_was_made_with_a_default_does_not_stand_for_what_is_made_with_a_value(tmp_path):
    def flow(is_on):
        flow = szal.Flow("defaults")
        flow.step(name="a", when="on")(lambda: 1)

        @flow.step(trigger="all_done", cache=True)
        def c(a=None):
            return a

        return szal.run(flow, {"on": is_on}, store=tmp_path / "runs.db", reuse=True)["c"]

    assert [(c.value, c.origin) for c in map(flow, (False, True, False, True))] == [
        (None, "ran"),
        (1, "ran"),
        (None, "cached"),
        (1, "cached"),
    ]


def test_a_step_that_is_retried_keeps_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SZAL_RETRIED", "very-secret-text")
    calls: list[str] = []
    flow = szal.Flow("f")

    @flow.step
    def risky():
        calls.append("risky")
        if len(calls) == 1:
            raise OSError("not yet")
        return [str(szal.secret("SZAL_RETRIED"))]

    async def main():
        run = flow.start(store=tmp_path / "runs.db")
        await run.wait()
        run.retry("risky")
        await run
        return run

    run = asyncio.run(main())

    (ref,) = run.snapshot.steps["risky"].values
    assert ref.live == "it contains a secret"
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"very-secret-text" in file.read_bytes()]
