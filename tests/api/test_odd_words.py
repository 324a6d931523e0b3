"""What bodies and people say of a run is on record and can be read again, whatever they say it with."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

import szal_nb as szal
from szal_nb.errors import RunError
from szal_nb.model.event import StepProgress, StepWaiting, from_json, to_json
from szal_nb.store.runs import RunStore


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


def one_step(body, **options):
    flow = szal.Flow("odd")
    flow.step(name="one", **options)(body)
    return flow


@pytest.mark.parametrize("executor", ["thread", "main", "process"])
@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        ((np.int64(3), np.float32(4), "np"), (3, 4, "np")),
        ((True, True), (1, 1, "")),
        ((1, math.inf, 5), (1, None, "5")),
        ((1, 10**400, None), (1, None, "")),
        ((math.nan, 2), None),
        ((10**400,), None),
        ((-1, -5, "\ud800"), (-1, -5, "\\ud800")),
        ((1, 2, "x" * 5000), (1, 2, "x" * 1000 + "…")),
    ],
    ids=str,
)
def test_progress_is_told_in_numbers_of_any_kind(store, said, recorded, executor):
    def body():
        szal.progress(*said)

    run = szal.run(one_step(body, executor=executor), store=store)

    told = [(e.done, e.total, e.note) for e in store.events(run.id) if isinstance(e, StepProgress)]
    assert (run.state, told) == ("completed", [] if recorded is None else [recorded])
    assert store.snapshot(run.id).state == "completed"


@pytest.mark.parametrize("done", ["a", None, [1]])
def test_progress_in_no_number_is_an_error_of_the_step(store, done):
    run = szal.run(one_step(lambda: szal.progress(done)), store=store)

    assert f"szal.progress takes numbers, not {done!r}" in str(run["one"].error)
    assert store.snapshot(run.id).state == "failed"


@pytest.mark.parametrize("reason", [5, None, TimeoutError("no answer"), "x" * 5000, "\ud800"], ids=str)
@pytest.mark.parametrize("how", ["stop", "cancel", "pause", "skip"])
def test_a_reason_may_be_anything(store, reason, how):
    async def wait():
        await asyncio.sleep(1e9 if how == "cancel" else 0)
        if how == "stop":
            szal.stop(reason)

    flow = one_step(wait)
    flow.step(name="two", after="one")(lambda: None)

    async def main():
        run = flow.start(store=store)
        match how:
            case "cancel":
                run.cancel(reason)
            case "pause":
                run.pause(reason)
                run.resume()
            case "skip":
                run.skip("two", reason)
        await run.wait()
        return run

    run = asyncio.run(main())
    events = store.events(run.id)
    assert [from_json(to_json(event)) for event in events] == events
    assert store.snapshot(run.id).state == ("cancelled" if how == "cancel" else "completed")
    assert max(len(str(event)) for event in events) < 4000


@pytest.mark.parametrize("answer", [math.nan, object(), {1, 2}], ids=["no number", "no data", "a set"])
def test_an_answer_that_is_no_plain_data_is_refused_and_the_step_waits_on(store, answer):
    flow = one_step(lambda: 1, approve="sure?")

    async def main():
        run, waits = flow.start(store=store), asyncio.Event()
        run.subscribe(lambda events: waits.set() if any(isinstance(e, StepWaiting) for e in events) else None)
        await waits.wait()
        with pytest.raises(RunError, match="The answer to step 'one' must be plain data"):
            run.approve("one", answer)
        assert run["one"].state == "waiting"
        run.approve("one", {"by": "me"})
        await run
        for answer_late in (run.approve, run.reject):
            with pytest.raises(RunError, match="Step 'one' of run .* waits for nobody: it is completed"):
                answer_late("one")
        return run

    assert asyncio.run(main()).state == "completed"


class Unsayable(Exception):
    def __str__(self):
        raise SystemExit(3)


class Untouchable(Exception):
    def __getattribute__(self, name):
        raise KeyboardInterrupt


class _Meta(type):
    def __getattribute__(cls, name):
        if name in ("__name__", "__mro__"):
            raise RuntimeError("no")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=_Meta):
    pass


@pytest.mark.parametrize("executor", ["thread", "main", "process"])
@pytest.mark.parametrize("kind", ["unsayable", "untouchable", "nameless"])
def test_an_exception_that_throws_when_it_is_looked_at_fails_its_step_only(store, kind, executor):
    def body():
        raise {"unsayable": Unsayable, "untouchable": Untouchable, "nameless": Nameless}[kind]

    flow = one_step(body, executor=executor, on_error="continue")
    flow.step(name="two", after="one", trigger="all_done")(lambda: 2)
    run = szal.run(flow, store=store)

    assert (run["one"].state, run["two"].state, run.state) == ("failed", "completed", "completed")
    assert run["one"].error is not None


@pytest.mark.parametrize("options", [{}, {"executor": "process"}, {"map": "xs"}], ids=str)
def test_the_body_finds_what_the_person_said_who_approved_it(store, options):
    def ask(xs):
        return xs, szal.context().answer

    flow = one_step(ask, approve="how many?", **options)

    async def main():
        run, waits = flow.start({"xs": [1]}, store=store), asyncio.Event()
        run.subscribe(lambda events: waits.set() if any(isinstance(e, StepWaiting) for e in events) else None)
        await waits.wait()
        run.approve("one", {"rows": 5, "by": "żółw"})
        return await run.wait()

    asyncio.run(main())
    run = store.run(store.runs()[0].id)
    said = {"rows": 5, "by": "żółw"}
    expected = [(1, said)] if "map" in options else ([1], said)
    assert store.value(run.id, "one", "one") == expected
    assert szal.replay(run.id, store=store)["one"].answer == said
