from __future__ import annotations

import json

import pytest

from szal_nb.widget.runs import RunsWidget

ROWS = [{"id": "one", "flow": "sales"}, {"id": "two", "flow": "sales"}]


class Loop:
    def __init__(self):
        self.calls = []

    def time(self):
        return 0.0

    def call_later(self, delay, callback):
        raise AssertionError("the table has no clock")

    def call_soon_threadsafe(self, callback, *args):
        self.calls.append((callback, args))

    def run(self):
        for callback, args in self.calls:
            callback(*args)
        self.calls = []


class Spied(RunsWidget):
    def __init__(self, *args, **kwargs):
        self.sent = []
        super().__init__(*args, **kwargs)
        self.sent.clear()

    def _send(self, msg, buffers=None):
        if msg["method"] == "custom":
            self.sent.append(json.loads(json.dumps(msg["content"])))


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def widget(loop, asked):
    def on_request(request):
        asked.append(request)
        if request["action"] == "delete":
            raise RuntimeError("It lives.")
        return {"type": "opened", "run": request.get("run")}

    return Spied(ROWS, on_request=on_request, loop=loop, text="a table", markup="<table></table>")


def test_a_request_is_acknowledged_at_once_and_answered_on_the_loop(widget, loop, asked):
    widget._handle_custom_msg({"action": "open", "run": "two", "id": 5, "step": "ignored"}, [])
    assert widget.sent == [{"type": "ack", "id": 5}]

    loop.run()

    assert asked == [{"action": "open", "id": 5, "run": "two"}]
    assert widget.sent[1:] == [{"type": "opened", "run": "two", "id": 5}]


def test_what_the_owner_refuses_is_said(widget, loop):
    widget._handle_custom_msg({"action": "delete", "run": "one", "id": 6}, [])
    loop.run()

    assert widget.sent[-1] == {"type": "refused", "id": 6, "text": "It lives."}


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"action": "explode"},
        {"action": ["open"]},
        {"action": "open"},
        {"action": "open", "run": "three"},
        {"action": "open", "run": ["one"]},
        {"action": "compare", "run": "one"},
        {"action": "details", "run": "one"},
        {"action": "details", "run": "one", "step": "x" * 20_000},
    ],
)
def test_what_is_no_request_changes_nothing(widget, loop, asked, content):
    widget._handle_custom_msg(content, [])
    loop.run()

    assert [message["type"] for message in widget.sent] == ["refused"]
    assert asked == []


def test_those_who_show_no_widget_get_the_rows():
    widget = Spied(ROWS, on_request=lambda _: None, loop=Loop(), text="a table", markup="<table></table>")

    data, _ = widget._repr_mimebundle_()

    assert (data["text/plain"], data["text/html"]) == ("a table", "<table></table>")
