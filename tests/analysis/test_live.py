"""What is said to be live before a run is what the store finds to be live after it."""

from __future__ import annotations

import contextlib

import pytest

from szal_nb.analysis.live import _LIVE
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

# How to make one of each kind, with all that it needs.
MADE = {
    "generator": "(n for n in [1])",
    "map": "map(str, [1])",
    "filter": "filter(None, [1])",
    "zip": "zip([1], [2])",
    "enumerate": "enumerate([1])",
    "reversed": "reversed([1])",
    "iter": "iter([1])",
    "csv.reader": "csv.reader(['a'])",
    "itertools.count": "itertools.count()",
    "itertools.repeat": "itertools.repeat(1)",
    "file": "open(os.devnull)",
    "io.open": "io.open(os.devnull)",
    "os.popen": "os.popen('true')",
    "socket.socket": "socket.socket()",
    "sqlite3.connect": "sqlite3.connect(':memory:')",
    "subprocess.Popen": "subprocess.Popen('true', stdin=subprocess.PIPE)",
    "zipfile.ZipFile": "zipfile.ZipFile(os.devnull, 'w')",
    "tempfile.TemporaryFile": "tempfile.TemporaryFile()",
    "tempfile.NamedTemporaryFile": "tempfile.NamedTemporaryFile()",
    "urllib.request.urlopen": "urllib.request.urlopen('file:///dev/null')",
    "queue.Queue": "queue.Queue()",
    "queue.LifoQueue": "queue.LifoQueue()",
    "queue.PriorityQueue": "queue.PriorityQueue()",
    "queue.SimpleQueue": "queue.SimpleQueue()",
    "threading.Lock": "threading.Lock()",
    "threading.RLock": "threading.RLock()",
    "threading.Condition": "threading.Condition()",
    "threading.Event": "threading.Event()",
    "threading.Semaphore": "threading.Semaphore()",
    "threading.Thread": "threading.Thread()",
    "concurrent.futures.ThreadPoolExecutor": "concurrent.futures.ThreadPoolExecutor()",
    "concurrent.futures.ProcessPoolExecutor": "concurrent.futures.ProcessPoolExecutor()",
}
IMPORTS = (
    "import concurrent.futures, csv, io, itertools, os, queue, socket, sqlite3, subprocess, tempfile, threading, "
    "urllib.request, zipfile"
)
# Not installed here; its connections are of C, as those of sqlite3.
UNTRIED = {"duckdb.connect"}


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


@pytest.mark.parametrize("kind", sorted(MADE))
def test_what_is_told_before_the_run_is_so_after_it(store, kind):
    flow = CellFlow({"make": f"given = {MADE[kind]}", "use": "n = type(given).__name__"}, notebook=IMPORTS)
    (note,) = [note for note in flow.graph().node("make").notes if "cannot be stored" in note]
    run = flow.run(store)

    assert note == "Gives given, which cannot be stored: rebuilds on resume if a later step needs it."
    (ref,) = [ref for ref in run["make"].refs if ref.name == "given"]
    assert (run.state, ref.needed, ref.live is not None) == ("completed", True, True)
    close = getattr(run.values.given, "close", None) or getattr(run.values.given, "kill", None)
    with contextlib.suppress(Exception):
        close()
    if kind == "subprocess.Popen":
        run.values.given.stdin.close()
        run.values.given.wait()


def test_who_changes_such_a_value_is_told_before_the_run_too():
    cells = {"make": "import queue\nwaiting = queue.Queue()", "more": "waiting.put(1)\nown = iter([1])", "n": "n = 1"}
    notes = [node.notes for node in CellFlow(cells).graph().nodes]

    assert notes == [
        ("Gives waiting, which cannot be stored: rebuilds on resume if a later step needs it.",),
        ("Gives own and changes waiting, which cannot be stored: rebuilds on resume if a later step needs it.",),
        (),
    ]


def test_every_kind_was_tried():
    assert set(MADE) | UNTRIED == _LIVE


@pytest.mark.parametrize("source", ["given = [1]", "given = list(map(str, [1]))", "given = open", "_given = iter([1])"])
def test_nothing_is_said_of_other_values(source):
    assert CellFlow({"make": source}).graph().node("make").notes == ()
