from __future__ import annotations

from szal_nb.model.event import RunResumed, StepOutput
from szal_nb.model.state import fold
from szal_nb.model.value import Output
from szal_nb.widget.history import Frames, history_view, log_view, outputs_of, timeline_view
from tests.widget.flows import OUTPUTS, SALES_EVENTS, T0, sales, sales_run

SAID = StepOutput(at=T0 + 3, step="load", attempt=2, items=OUTPUTS)


def test_a_frame_tells_what_one_event_changed():
    frames = history_view(sales(), SALES_EVENTS)["frames"]

    assert len(frames) == len(SALES_EVENTS)
    assert frames[0] == {"at": T0, "kind": "run.created", "run": {"state": "created", "created": T0, "epoch": 1}}
    assert frames[1] == {"at": T0 + 0.1, "kind": "run.started", "run": {"state": "running", "started": T0 + 0.1}}
    assert frames[2] == {
        "at": T0 + 0.1,
        "kind": "step.started",
        "step": 0,
        "state": "r",
        "facts": {"started": T0 + 0.1},
    }
    assert frames[-1]["run"] == {"state": "failed", "ended": T0 + 6.5}


def test_what_a_step_printed_is_no_frame():
    events = (*SALES_EVENTS[:5], SAID, *SALES_EVENTS[5:])

    assert history_view(sales(), events) == history_view(sales(), SALES_EVENTS)


def test_a_resume_makes_steps_pending_again_and_takes_back_what_ended_the_run():
    resumed = RunResumed(at=T0 + 60, epoch=2, reset=("by_region", "summary"))

    frame = history_view(sales(), (*SALES_EVENTS, resumed))["frames"][-1]

    assert frame == {
        "at": T0 + 60,
        "kind": "run.resumed",
        "run": {"state": "running", "ended": None, "epoch": 2},
        "reset": {"2": {"started": T0 + 3.7, "ended": T0 + 4.1}, "5": {}},
    }


def test_the_timeline_has_every_attempt_by_its_start():
    assert timeline_view(sales(), sales_run(10)) == [
        [0, 1, "failed", T0 + 0.1, T0 + 1.2],
        [0, 2, "completed", T0 + 2.2, T0 + 3.4],
        [1, 1, "completed", T0 + 3.4, T0 + 3.65],
        [2, 1, "running", T0 + 3.7, None],
        [3, 1, "running", T0 + 3.7, None],
    ]
    assert timeline_view(sales(), None) == []


def test_the_output_of_a_step_is_that_of_its_newest_attempt():
    first = StepOutput(at=T0 + 1, step="load", attempt=1, items=(Output(type="stream", name="stdout", text="old"),))
    events = (*SALES_EVENTS[:3], first, *SALES_EVENTS[3:5], SAID, SAID, *SALES_EVENTS[5:])

    outputs = outputs_of(events)

    assert outputs["load"] == [*OUTPUTS, *OUTPUTS]
    assert outputs["clean"] == []
    assert fold(events).state == fold(SALES_EVENTS).state


def test_frames_grow_with_the_run_and_are_those_of_the_whole():
    frames = Frames(sales())
    for end in (3, 3, 9, len(SALES_EVENTS)):
        frames.take(SALES_EVENTS[:end])

    assert frames.frames == history_view(sales(), SALES_EVENTS)["frames"]


def test_a_log_tells_when_each_attempt_showed_what():
    first = StepOutput(at=T0 + 1, step="load", attempt=1, items=(Output(type="stream", name="stdout", text="old"),))
    other = StepOutput(at=T0 + 2, step="clean", attempt=1, items=OUTPUTS)

    pieces = log_view((first, other, SAID), "load")

    assert [(piece["at"], piece["attempt"]) for piece in pieces] == [(T0 + 1, 1)] + [(T0 + 3, 2)] * 4
    assert pieces[0]["output"] == {"type": "stream", "name": "stdout", "text": "old"}


def test_of_a_log_that_is_too_long_the_newest_is_kept():
    said = [
        StepOutput(at=T0 + n, step="load", attempt=1, items=(Output(type="stream", name="stdout", text="x" * 90_000),))
        for n in range(5)
    ]

    assert [piece["at"] for piece in log_view(said, "load")] == [T0 + 3, T0 + 4]
