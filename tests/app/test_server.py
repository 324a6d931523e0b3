"""The server extension in a real Jupyter server: who may ask, what is answered, and that news come while a run goes."""

from __future__ import annotations

import http.client
import json
import shutil
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing

import pytest
from jupyter_server.auth import Authorizer

from szal_nb.app.server import as_json
from szal_nb.model.event import RunCompleted, StepCompleted, StepFailed, StepOutput, StepStarted, StepWaiting
from szal_nb.model.value import ErrorInfo, Output
from szal_nb.store.runs import RunStore
from tests.e2e.lab import jupyter_server, write_notebook
from tests.store.scribe import NAMES, begun, new_run

CELLS = ["%szal_flow sales", "%%szal_step load\nrows = 3", "%%szal_step plot\nprint(rows)"]
DONE, LIVE = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with jupyter_server(tmp_path_factory.mktemp("served"), app="server") as running:
        yield running


@pytest.fixture
def ask(server):
    """Asks the extension: status and answer, as an authenticated person unless `token` says otherwise."""
    return asker(server)


class Readers(Authorizer):
    """Everybody may read and nobody may execute."""

    def is_authorized(self, handler, user, action, resource):
        return action == "read"


def asker(server):
    def asked(resource, /, *, token=server.token, body=None, method=None, **query):
        request = urllib.request.Request(
            f"{server.base}/szal/{resource}?{urllib.parse.urlencode(query)}", data=body, method=method
        )
        if token is not None:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return asked


@pytest.fixture
def work(server):
    """A folder with a notebook, and its store with a run that failed; its path as the server knows it."""
    folder = server.root / "work"
    folder.mkdir()
    write_notebook(folder / "a.ipynb", CELLS)
    run = new_run(DONE, notebook_path=str(folder / "a.ipynb"), params={"x": float("nan")})
    with RunStore.open(folder / ".szal" / "runs.db") as store:
        journal = store.begin(run)
        error = ErrorInfo(type="ValueError", message="no <b>", traceback="line 1", names=("ValueError",), line=1)
        journal.append_sync(
            [
                *begun(),
                StepStarted(at=2.0, step="load", attempt=1),
                StepOutput(at=2.1, step="load", attempt=1, items=(Output(type="stream", name="stdout", text="hi\n"),)),
                StepFailed(at=3.0, step="load", attempt=1, error=error),
            ]
        )
    yield "work/a.ipynb"
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "path", ["flow", "runs", "runs/events", f"runs/{DONE}", f"runs/{DONE}/events", f"runs/{DONE}/details"]
)
def test_nobody_is_answered_without_a_token(ask, work, path):
    assert ask(path, token=None, path=work, step="load")[0] == 403
    assert ask(path, token="wrong", path=work, step="load")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["../work/a.ipynb", "work/../../a.ipynb", "/etc/passwd", "missing.ipynb", "work/.szal/runs.db", "", "%s.ipynb"],
)
@pytest.mark.parametrize("resource", ["flow", "runs", "runs/events", f"runs/{DONE}", f"runs/{DONE}/history"])
def test_a_path_that_leads_out_or_nowhere_is_refused_in_json(ask, work, resource, path):
    status, answer = ask(resource, path=path)

    assert status == 404
    assert repr(path) in answer["message"]


def test_a_notebook_and_a_store_that_are_links_to_elsewhere_are_refused(ask, work, server, tmp_path):
    write_notebook(tmp_path / "b.ipynb", CELLS)
    (server.root / "work" / "b.ipynb").symlink_to(tmp_path / "b.ipynb")
    moved = shutil.move(server.root / "work" / ".szal", tmp_path / "elsewhere")
    (server.root / "work" / ".szal").symlink_to(moved)

    assert ask("flow", path="work/b.ipynb")[0] == 404
    assert ask("runs", path=work)[0] == 404
    assert ask(f"runs/{DONE}", path=work)[0] == 404


def test_the_flows_of_a_notebook_are_read_from_its_file_without_running_it(ask, work):
    status, answer = ask("flow", path=work)

    assert (status, [flow["name"] for flow in answer["flows"]]) == (200, ["sales"])
    nodes = answer["flows"][0]["graph"]["nodes"]
    assert [(node["name"], node["reads"]) for node in nodes] == [
        ("load", []),
        ("plot", [{"name": "rows", "step": "load", "source": "rows"}]),
    ]
    assert all(node["cell"] for node in nodes)


def test_the_flows_of_cells_that_are_not_saved_yet_are_read_from_the_request(ask, work):
    cells = [{"cell_type": "code", "id": "x1", "metadata": {}, "source": "%%szal_step fresh\ny = 1"}]
    body = json.dumps({"nbformat": 4, "cells": cells}).encode()
    status, answer = ask("flow", path=work, body=body)

    assert status == 200
    assert [(n["name"], n["cell"]) for n in answer["flows"][0]["graph"]["nodes"]] == [("fresh", "x1")]


def test_what_is_wrong_with_a_notebook_is_said_and_its_other_flow_is_there(ask, work):
    sources = ["%%szal_step a --after b\n1", "%%szal_step b --after a\n1", "%szal_flow other", "%%szal_step c\n1"]
    cells = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "source": text} for i, text in enumerate(sources)]
    _, answer = ask("flow", path=work, body=json.dumps({"nbformat": 4, "cells": cells}).encode())
    cyclic, other = answer["flows"]

    assert (cyclic["graph"], "->" in cyclic["problem"] or "after" in cyclic["problem"]) == (None, True)
    assert [node["name"] for node in other["graph"]["nodes"]] == ["c"]
    assert ask("flow", path=work, body=b"{nonsense")[0] == 422


def test_the_runs_of_the_store_are_listed_with_the_states_of_their_steps(ask, work):
    status, answer = ask("runs", path=work)
    (run,) = answer["runs"]

    assert status == 200
    assert (run["id"], run["flow"], run["shown_state"], run["here"]) == (DONE, "sales", "crashed", True)
    assert run["counts"] == {"failed": 1, "pending": 2}
    assert run["params"] == {"x": None}


def test_a_notebook_that_was_renamed_keeps_its_runs_and_one_beside_it_has_none_of_them(ask, work, server):
    folder = server.root / "work"
    write_notebook(folder / "beside.ipynb", CELLS)
    beside = ask("runs", path="work/beside.ipynb")[1]["runs"]
    (folder / "a.ipynb").rename(folder / "renamed.ipynb")
    renamed = ask("runs", path="work/renamed.ipynb")[1]["runs"]

    assert [(run["id"], run["here"]) for run in (*beside, *renamed)] == [(DONE, False), (DONE, True)]


def test_a_notebook_that_was_never_run_has_no_runs(ask, work, server):
    shutil.rmtree(server.root / "work" / ".szal")

    assert ask("runs", path=work) == (200, {"runs": []})
    assert ask(f"runs/{DONE}", path=work)[0] == 404
    assert not (server.root / "work" / ".szal").exists()


def test_a_run_has_its_picture_its_details_and_its_history(ask, work):
    _, picture = ask(f"runs/{DONE}", path=work)
    _, details = ask(f"runs/{DONE}/details", path=work, step="load")
    _, history = ask(f"runs/{DONE}/history", path=work)
    _, log = ask(f"runs/{DONE}/log", path=work, step="load")

    assert [node["name"] for node in picture["graph"]["nodes"]] == list(NAMES)
    assert (picture["run"]["state"], picture["run"]["states"]) == ("crashed", "fpp")
    assert picture["run"]["steps"]["0"]["error"] == "ValueError: no <b>"
    assert details["outputs"] == [{"type": "stream", "name": "stdout", "text": "hi\n"}]
    assert [(piece["at"], piece["output"]["text"]) for piece in log["pieces"]] == [(2.1, "hi\n")]
    assert [attempt[:3] for attempt in history["attempts"]] == [[0, 1, "failed"]]
    assert [frame["kind"] for frame in history["frames"]][-1] == "step.failed"


def test_a_run_or_step_that_is_not_there_is_404_or_422_in_words(ask, work):
    assert ask("runs/ffff", path=work)[0] == 404
    assert ask("runs/..%2f..", path=work)[0] == 404
    assert ask(f"runs/{DONE}/details", path=work, step="nosuch") == (
        422,
        {"message": f"Run {DONE} has no step 'nosuch'."},
    )


def decide(ask, work, what, *, method="POST", **body):
    return ask(f"runs/{what}", method=method, body=json.dumps(body).encode(), path=work)


def test_a_person_answers_cancels_and_deletes_a_run_that_no_process_runs(ask, work, server):
    with RunStore.open(server.root / "work" / ".szal" / "runs.db") as store:
        journal = store.begin(new_run(LIVE))
        journal.append_sync([*begun(), *(StepWaiting(at=2.0, step=step, message="ok?") for step in ("load", "clean"))])
        owned = decide(ask, work, f"{LIVE}/answer", step="load", approved=True)
        journal.close()
        answered = decide(ask, work, f"{LIVE}/answer", step="load", approved=True)
        refused = [
            decide(ask, work, f"{LIVE}/answer", step="load", approved=True),
            decide(ask, work, f"{LIVE}/answer", step="clean"),
            decide(ask, work, LIVE, method="DELETE"),
        ]
        cancelled = decide(ask, work, f"{LIVE}/cancel")
        states = [step.state for step in store.snapshot(LIVE).steps.values()][:2]
        deleted = decide(ask, work, LIVE, method="DELETE")

    assert (owned[0], "Answer it there" in owned[1]["message"]) == (422, True)
    assert answered == (200, {"message": f"Step load of run {LIVE} is approved. To go on: szal resume {LIVE}"})
    assert [status for status, _ in refused] == [422, 400, 422]
    assert cancelled == (200, {"message": f"Run {LIVE} is cancelled. Its process was gone already."})
    assert states == ["cancelled", "cancelled"]
    assert deleted == (200, {"message": f"Run {LIVE} is deleted."})
    assert ask(f"runs/{LIVE}", path=work)[0] == 404


def test_who_may_only_read_decides_nothing(tmp_path):
    write_notebook(tmp_path / "a.ipynb", CELLS)
    with RunStore.open(tmp_path / ".szal" / "runs.db") as store:
        store.begin(new_run(DONE)).append_sync(begun())
    with jupyter_server(
        tmp_path, app="server", options=["--ServerApp.authorizer_class=tests.app.test_server.Readers"]
    ) as server:
        ask = asker(server)
        said = [
            decide(ask, "a.ipynb", f"{DONE}/answer", step="load", approved=True)[0],
            decide(ask, "a.ipynb", f"{DONE}/cancel")[0],
            decide(ask, "a.ipynb", DONE, method="DELETE")[0],
        ]
        read = ask(f"runs/{DONE}", path="a.ipynb")[0]

    assert (said, read) == ([403, 403, 403], 200)


def test_a_damaged_store_is_told_not_thrown(ask, work, server):
    (server.root / "work" / ".szal" / "runs.db").write_bytes(b"not a database, but long enough to be one" * 100)
    status, answer = ask("runs", path=work)

    assert status == 422
    assert "not a store of szal_nb" in answer["message"]


class Stream:
    """Reads server-sent events one by one."""

    def __init__(self, server, path, work):
        host = urllib.parse.urlsplit(server.base).netloc
        self.connection = http.client.HTTPConnection(host, timeout=30)
        headers = {"Authorization": f"token {server.token}"}
        self.connection.request("GET", f"/szal/{path}?path={urllib.parse.quote(work)}", headers=headers)
        self.response = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()
        self.connection.close()

    def next(self):
        kind = None
        while line := self.response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                self.response.readline()
                return kind, json.loads(value)
        return None


def test_a_run_is_told_as_it_goes_and_the_stream_ends_with_it(server, work):
    with RunStore.open(server.root / "work" / ".szal" / "runs.db") as store:
        journal = store.begin(new_run(LIVE))
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
        with Stream(server, f"runs/{LIVE}/events", work) as stream:
            kind, first = stream.next()
            assert (stream.response.getheader("Content-Type"), kind) == ("text/event-stream", "picture")
            assert (first["run"]["state"], first["run"]["states"]) == ("running", "rpp")

            journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1)])
            kind, news = stream.next()
            assert (kind, news["states"], list(news["steps"])) == ("run", "cpp", ["0"])

            for name in NAMES[1:]:
                journal.append_sync(
                    [StepStarted(at=4.0, step=name, attempt=1), StepCompleted(at=5.0, step=name, attempt=1)]
                )
            journal.append_sync([RunCompleted(at=6.0)])
            told = [news]
            while (event := stream.next()) is not None:
                told.append(event[1])

    assert (told[-1]["state"], told[-1]["states"]) == ("completed", "ccc")
    assert {index for news in told for index in news["steps"]} == {"0", "1", "2"}


def test_a_new_run_is_told_to_who_watches_the_store(server, work):
    with (
        RunStore.open(server.root / "work" / ".szal" / "runs.db") as store,
        Stream(server, "runs/events", work) as stream,
    ):
        assert [run["id"] for run in stream.next()[1]["runs"]] == [DONE]

        store.begin(new_run(LIVE)).append_sync(begun())
        told = stream.next()[1]["runs"]

    assert {run["id"]: run["shown_state"] for run in told} == {DONE: "crashed", LIVE: "running"}


def test_asking_writes_nothing_into_the_store(ask, work, server):
    path = server.root / "work" / ".szal" / "runs.db"

    def content():
        with closing(sqlite3.connect(path)) as connection:
            return list(connection.iterdump())

    before = content()
    for resource in ("flow", "runs", f"runs/{DONE}", f"runs/{DONE}/history"):
        assert ask(resource, path=work)[0] == 200

    assert content() == before


def test_numbers_that_json_does_not_know_become_null():
    assert (
        as_json({"a": [float("nan"), float("inf"), 1.5], "b": "é\ud800"})
        == '{"a": [null, null, 1.5], "b": "\\u00e9\\ud800"}'
    )
