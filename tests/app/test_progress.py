"""What a person sees of a run as it goes: a line for each end, a bar where there is a terminal."""

from __future__ import annotations

import io

import pytest

import szal_nb as szal
from szal_nb.app.describing import run_json, run_text
from szal_nb.app.progress import Follower, Progress, line_of
from szal_nb.model.event import (
    RunCompleted,
    RunCreated,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepProgress,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.state import fold
from szal_nb.model.value import NOT_STORED, ErrorInfo, ValueRef
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run

STEPS = ("load", "clean", "plot", "ask", "left", "late")
ERROR = ErrorInfo(type="ValueError", message="no rows\nat all")
EVENTS = (
    (RunCreated(at=0, flow="sales", steps=STEPS), "Run r1 of sales: 6 steps"),
    (RunStarted(at=0), None),
    (StepStarted(at=0, step="load", attempt=1), None),
    (StepRetrying(at=1, step="load", attempt=1, error=ERROR, delay_s=2.0), "  retrying   load  attempt 1: ValueError: no rows"),
    (StepStarted(at=3, step="load", attempt=2), "  running    load  attempt 2"),
    (StepCompleted(at=3.25, step="load", attempt=2), "  completed  load  250 ms"),
    (StepCompleted(at=3.25, step="clean", attempt=0, origin="cached"), "  completed  clean  cached"),
    (StepStarted(at=4, step="plot", attempt=1), None),
    (StepFailed(at=79, step="plot", attempt=1, error=ERROR), "  failed     plot  1m 15s  ValueError: no rows"),
    (StepWaiting(at=80, step="ask", message="deploy?"), "  waiting    ask  deploy?"),
    (StepSkipped(at=81, step="left", reason="plot failed"), "  skipped    left  plot failed"),
    (StepCancelled(at=82, step="late", reason="enough"), "  cancelled  late  enough"),
    (
        RunResumed(at=90, epoch=2, reset=("plot", "left", "late"), rebuilt=("load",)),
        "Run r1 goes on: 3 of 6 steps to run, again: load",
    ),
    (RunCompleted(at=91), None),
)  # fmt: skip


def test_each_event_that_a_person_cares_about_is_one_line():
    shown = io.StringIO()
    progress = Progress("r1", stream=shown)

    progress.take([event for event, _ in EVENTS])

    assert shown.getvalue().splitlines() == [line for _, line in EVENTS if line is not None]


def test_a_value_for_which_there_was_no_room_is_told():
    full = ValueRef(name="orders", live=f"{NOT_STORED}No space left on device", needed=True)
    snapshot = fold([event for event, _ in EVENTS[:3]])
    event = StepCompleted(at=1, step="load", attempt=1, values=(full, ValueRef(name="file", live="an open file")))
    snapshot.apply(event)

    line = line_of(event, snapshot, "r1")

    assert line == "  completed  load  1.0 s  orders: it could not be stored: No space left on device"


def test_what_was_there_before_is_not_shown_again():
    shown = io.StringIO()
    progress = Progress("r1", stream=shown)

    progress.skip([event for event, _ in EVENTS[:6]])
    progress.take([EVENTS[6][0]])

    assert shown.getvalue() == "  completed  clean  cached\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_stands_below_the_lines():
    shown = Terminal()
    progress = Progress("r1", stream=shown)

    progress.take([event for event, _ in EVENTS[:3]])
    progress.take([event for event, _ in EVENTS[3:6]])
    bar = shown.getvalue()
    progress.close()

    assert "0/6 steps" in bar
    assert "load" in bar.partition("\n")[2]
    assert "1/6 steps" in bar
    assert "  completed  load  250 ms" in bar
    assert shown.getvalue().endswith("\r"), "the bar is gone in the end"


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_follower_shows_the_wanted_runs_of_a_store_to_their_end(tmp_path, is_wanted):
    path, shown = tmp_path / "runs.db", io.StringIO()
    flow = szal.Flow("sums")
    flow.step(half)
    follower = Follower(path, lambda run: is_wanted and run.flow == "sums", stream=shown)

    with follower.following():
        run = szal.run(flow, {"x": 1}, store=path)

    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert [line[: line.index("half") + 4] if "half" in line else line for line in lines] == (
        [f"Run {run.id} of sums: 1 step", "  completed  half"] if is_wanted else []
    )


def test_a_run_is_followed_that_begins_when_the_clock_was_set_back(tmp_path):
    with RunStore.open(tmp_path / "runs.db") as store:
        for number in range(30):
            store.begin(new_run(f"{number:012x}")).append_sync(begun(9e9))
        follower = Follower(store.path, lambda run: run.id == "a" * 12, stream=io.StringIO())
        store.begin(new_run("a" * 12)).append_sync(begun(1.0))
        follower.look(store)

    assert list(follower.shown) == ["a" * 12]


def half(x):
    return x / 2


PROGRESS = (
    RunCreated(at=0, flow="sales", steps=("load", "plot")),
    RunStarted(at=0),
    StepStarted(at=0, step="load", attempt=1),
    StepProgress(at=1, step="load", attempt=1, done=120, total=2000, note="reading\nquickly"),
    StepProgress(at=10.5, step="load", attempt=1, done=0.25, total=1),
    StepProgress(at=11, step="load", attempt=1, done=0.5, total=1),
    StepProgress(at=30, step="load", attempt=1, done=0.75, total=1, note="nearly"),
)


def test_how_far_a_body_is_stands_beside_the_bar_and_elsewhere_in_a_line_now_and_then():
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        progress = Progress("r1", stream=stream)
        for event in PROGRESS:
            progress.take([event])
        progress.close()

    assert "load 120 of 2,000 reading quickly" in terminal.getvalue()
    assert "load 75% nearly" in terminal.getvalue()
    assert "  running  " not in terminal.getvalue()
    assert log.getvalue().splitlines()[1:] == ["  running    load 25%", "  running    load 75% nearly"]


def test_elements_that_failed_are_told_also_where_they_may(tmp_path):
    flow = szal.Flow("some")
    flow.step(name="xs")(lambda: [1, 0, 2, 0])
    flow.step(name="inverse", map="xs", map_errors="collect")(lambda xs: 1 / xs)
    shown = io.StringIO()
    follower = Follower(tmp_path / "runs.db", lambda run: True, stream=shown)  # noqa: ARG005 all runs are wanted
    with follower.following():
        run = szal.run(flow, store=tmp_path / "runs.db")

    assert (run.state, run.values.inverse) == ("completed", [1.0, None, 0.5, None])
    assert "2 elements failed" in shown.getvalue()
    assert [(end.position, end.attempts, end.error) for end in run["inverse"].elements] == [
        (0, 1, ""),
        (1, 1, "ZeroDivisionError: division by zero"),
        (2, 1, ""),
        (3, 1, "ZeroDivisionError: division by zero"),
    ]
    with RunStore.open(tmp_path / "runs.db", read_only=True) as store:
        stored, snapshot = store.run(run.id), store.snapshot(run.id)
    assert "inverse: 2 elements failed, the first was number 1: ZeroDivisionError: division by zero" in run_text(
        stored, snapshot
    )
    failed = run_json(stored, snapshot)["steps"][1]["failed_elements"]
    assert [(each["position"], each["attempts"], each["error"]) for each in failed] == [
        (number, 1, "ZeroDivisionError: division by zero") for number in (1, 3)
    ]
