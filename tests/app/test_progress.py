"""What a person sees of a run as it goes: a line for each end, a bar where there is a terminal."""

from __future__ import annotations

import io

import pytest

import szal_nb as szal
from szal_nb.app.progress import Follower, Progress
from szal_nb.model.event import (
    RunCompleted,
    RunCreated,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.value import ErrorInfo

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


def half(x):
    return x / 2
