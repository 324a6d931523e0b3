from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading

import pytest

from szal_nb.errors import RunError
from szal_nb.model.event import Event, StepCompleted, StepOutput, StepStarted
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.model.value import Output
from szal_nb.widget.command import ACTIONS
from szal_nb.widget.dag import DagWidget
from tests.widget.flows import RUN_ID, SALES_EVENTS, T0, sales, sales_run, warehouse, warehouse_events


class FakeLoop:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, object]] = []
        self.calls: list[tuple] = []

    def time(self):
        return self.now

    def call_later(self, delay, callback):
        self.timers.append((self.now + delay, callback))

    def call_soon_threadsafe(self, callback, *args):
        self.calls.append((callback, *args))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [callback for at, callback in self.timers if at <= self.now]
        self.timers = [(at, callback) for at, callback in self.timers if at > self.now]
        for callback in due:
            callback()

    def run_calls(self) -> None:
        while self.calls:
            callback, *args = self.calls.pop(0)
            callback(*args)


class SpiedWidget(DagWidget):
    """Keeps what would go over the comm, as the front end would see it at that moment."""

    def __init__(self, *args, **kwargs) -> None:
        self.sent: list[dict] = []
        super().__init__(*args, **kwargs)
        self.sent.clear()

    def _send(self, msg, buffers=None):
        self.sent.append(json.loads(json.dumps(msg)))


@pytest.fixture
def loop():
    return FakeLoop()


@pytest.fixture
def widget(loop):
    return SpiedWidget(sales(), run_id=RUN_ID, on_command=lambda _command: None, loop=loop, clock=lambda: T0)


def frames(widget: SpiedWidget) -> list[dict]:
    return [message["state"] for message in widget.sent if message["method"] == "update"]


def custom(widget: SpiedWidget) -> list[dict]:
    return [message["content"] for message in widget.sent if message["method"] == "custom"]


def test_the_graph_is_sent_once_and_states_in_one_short_message(widget, loop):
    widget.show(sales_run(10))
    loop.advance(1)

    (frame,) = frames(widget)
    assert list(frame) == ["run"]
    assert frame["run"]["states"] == "ccrrpp"
    assert sorted(frame["run"]["delta"]) == ["0", "1", "2", "3", "4", "5"]


def test_a_frame_carries_only_the_facts_that_changed_and_the_widget_keeps_them_all(widget, loop):
    run = sales_run(10)
    widget.show(run)
    loop.advance(1)
    run.apply(SALES_EVENTS[10])
    widget.show(run)
    loop.advance(1)

    assert list(frames(widget)[1]["run"]["delta"]) == ["2"]
    assert frames(widget)[1]["run"]["seq"] == 2
    assert widget.facts["seq"] == 2
    assert widget.facts["steps"]["2"]["error"] == "KeyError: 'Region'"
    assert widget.facts["steps"]["0"]["attempts"] == 2


def test_ten_thousand_events_in_a_second_are_twenty_messages_and_the_last_state_is_among_them(loop):
    graph = warehouse(50)
    widget = SpiedWidget(graph, on_command=lambda _command: None, loop=loop)
    run = RunSnapshot()
    events: list[Event] = [*warehouse_events(graph, share=0)[:2]]
    chatter = Output(type="stream", name="stdout", text="x")
    names = [node.step.name for node in graph.nodes]
    for name in names:
        events.append(StepStarted(at=T0, step=name, attempt=1))
        events += [StepOutput(at=T0, step=name, attempt=1, items=(chatter,))] * 198
        events.append(StepCompleted(at=T0, step=name, attempt=1))
    assert len(events) > 10_000

    for event in events:
        run.apply(event)
        widget.show(run)
        loop.advance(1 / len(events))
    loop.advance(0.05)

    assert 18 <= len(frames(widget)) <= 22
    assert frames(widget)[-1]["run"]["states"] == "c" * 50


def test_the_state_that_ends_a_run_is_sent_at_once_and_whole(widget, loop):
    run = sales_run(len(SALES_EVENTS) - 1)
    widget.show(run)
    run.apply(SALES_EVENTS[-1])
    widget.show(run)

    (frame,) = frames(widget)
    assert frame["run"]["state"] == "failed"
    assert frame["facts"]["seq"] == frame["run"]["seq"]
    assert frame["facts"]["steps"]["2"]["error"] == "KeyError: 'Region'"
    loop.advance(1)
    assert len(frames(widget)) == 1


def test_a_snapshot_that_went_on_since_is_shown_as_it_is_when_the_frame_goes_out(widget, loop):
    run = sales_run(3)
    widget.show(run)
    run.apply(SALES_EVENTS[3])
    loop.advance(1)

    assert frames(widget)[0]["run"]["states"] == "tppppp"


def test_a_page_that_is_loaded_anew_gets_all_from_the_traits(widget, loop):
    widget.show(sales_run(10))
    loop.advance(1)

    state = widget.get_state()

    assert state["run"]["states"] == "ccrrpp"
    assert set(state["facts"]["steps"]) >= {"0", "1", "2", "3"}
    assert len(state["graph"]["nodes"]) == 6
    assert state["actions"] == list(ACTIONS)


def test_a_command_is_acknowledged_at_once_and_obeyed_on_the_loop(loop):
    obeyed: list[dict] = []
    widget = SpiedWidget(sales(), on_command=obeyed.append, loop=loop)

    widget._handle_custom_msg({"action": "retry", "step": "load", "id": 5}, [])

    assert custom(widget) == [{"type": "ack", "id": 5, "action": "retry"}]
    assert obeyed == []
    loop.run_calls()
    assert obeyed == [{"action": "retry", "step": "load"}]


def test_a_command_from_another_thread_touches_nothing_but_the_loop(loop):
    threads: list[threading.Thread] = []
    widget = SpiedWidget(sales(), on_command=lambda _command: threads.append(threading.current_thread()), loop=loop)

    other = threading.Thread(target=widget._handle_custom_msg, args=({"action": "cancel", "id": 1}, []))
    other.start()
    other.join()
    loop.run_calls()

    assert threads == [threading.main_thread()]
    assert custom(widget) == [{"type": "ack", "id": 1, "action": "cancel"}]


@pytest.mark.parametrize("content", [{"action": "explode", "id": 3}, {"action": "retry", "step": "drop", "id": 3}])
def test_what_is_not_understood_is_refused_and_reaches_nobody(widget, loop, content):
    widget._handle_custom_msg(content, [])

    (answer,) = custom(widget)
    assert (answer["type"], answer["id"]) == ("refused", 3)
    assert loop.calls == []


def test_the_owners_refusal_is_shown_at_the_button(loop):
    def refuse(_command):
        raise RunError("The run has ended.")

    widget = SpiedWidget(sales(), on_command=refuse, loop=loop)
    widget._handle_custom_msg({"action": "cancel", "id": 9}, [])
    loop.run_calls()

    assert custom(widget)[-1] == {"type": "refused", "id": 9, "text": "The run has ended."}


def test_details_are_sent_when_asked_for_and_again_while_their_step_runs(loop):
    asked: list[str] = []

    def details(step):
        asked.append(step)
        return {"step": step}

    widget = SpiedWidget(sales(), on_command=lambda _command: None, details=details, loop=loop)
    widget._handle_custom_msg({"action": "details", "step": "load", "id": 2}, [])
    loop.run_calls()
    run = sales_run(3)
    for _ in range(100):
        widget.show(run)
        loop.advance(0.01)

    assert custom(widget)[1] == {"type": "details", "id": 2, "step": "load", "details": {"step": "load"}}
    assert asked == ["load", "load"]


def test_the_timeline_is_sent_when_asked_for_and_frames_where_there_is_a_record(loop):
    def asked_of(widget):
        widget.show(sales_run())
        widget._handle_custom_msg({"action": "history", "id": 4}, [])
        loop.run_calls()
        return custom(widget)[-1]

    with_record = asked_of(SpiedWidget(sales(), loop=loop, history=lambda: SALES_EVENTS))
    without = asked_of(SpiedWidget(sales(), loop=loop))

    assert (with_record["type"], with_record["id"]) == ("history", 4)
    assert len(with_record["frames"]) == len(SALES_EVENTS)
    assert len(with_record["attempts"]) == len(without["attempts"]) == 6
    assert without["frames"] == []


def test_a_front_end_that_follows_a_run_is_sent_only_the_frames_that_are_new_to_it(loop):
    known = SALES_EVENTS[:5]
    widget = SpiedWidget(sales(), run_id=RUN_ID, loop=loop, history=lambda: known)
    for since in (0, 3, 99):
        widget._handle_custom_msg({"action": "history", "id": since, "value": since}, [])
        loop.run_calls()

    answers = [message for message in custom(widget) if message["type"] == "history"]
    assert [(answer["first"], len(answer["frames"])) for answer in answers] == [(0, 5), (3, 2), (0, 5)]
    assert {answer["run"] for answer in answers} == {RUN_ID}


def test_what_a_step_showed_is_told_with_its_moments(loop):
    shown = StepOutput(at=T0 + 1, step="load", attempt=1, items=(Output(type="stream", name="stdout", text="hi"),))
    widget = SpiedWidget(sales(), loop=loop, history=lambda: [shown])
    widget._handle_custom_msg({"action": "log", "id": 1, "step": "load"}, [])
    loop.run_calls()

    output = {"type": "stream", "name": "stdout", "text": "hi"}
    assert custom(widget)[-1] == {
        "type": "log",
        "id": 1,
        "step": "load",
        "pieces": [{"at": T0 + 1, "attempt": 1, "output": output}],
    }


def test_another_flow_is_drawn_with_nothing_left_of_the_one_before(loop):
    widget = SpiedWidget(sales(), run_id=RUN_ID, snapshot=sales_run(), loop=loop)
    widget.draw(warehouse(50))

    assert len(widget.graph["nodes"]) == 50
    assert widget.run["state"] == "idle"
    assert widget.run["states"] == "p" * 50
    assert widget.facts["steps"] == {}


def test_without_somebody_to_obey_there_are_no_buttons(loop):
    assert DagWidget(sales(), loop=loop).actions == []


def test_an_untrusted_or_dead_notebook_shows_the_image_and_the_text(widget):
    widget.show(sales_run())

    data, _metadata = widget._repr_mimebundle_()

    assert list(data) == ["text/plain", "text/html", "application/vnd.jupyter.widget-view+json"]
    assert data["text/plain"].startswith("sales version 2: failed, 4 of 6 completed")
    head, image = data["text/html"].split('src="data:image/svg+xml;base64,')
    assert head.startswith("<img alt=")
    assert 'data-run-state="failed"' in base64.b64decode(image.split('"')[0]).decode()


def test_its_repr_is_stable(widget):
    assert repr(widget) == "<DagWidget sales version 2>"


def test_the_same_final_snapshot_shown_again_is_the_same_state(loop):
    widget = SpiedWidget(sales(), loop=loop, snapshot=fold(SALES_EVENTS), run_id=RUN_ID)

    assert widget.run["states"] == "ccfccs"
    assert widget.facts["steps"]["2"]["error"] == "KeyError: 'Region'"


def test_drawing_and_describing_a_flow_needs_no_widget_library():
    code = (
        "import sys, szal_nb.widget.view, szal_nb.widget.svg, szal_nb.widget.command\n"
        "print(sorted({'ipywidgets', 'anywidget', 'IPython', 'asyncio', 'networkx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
