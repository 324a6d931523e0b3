"""The process ends before and after each statement, write, sync, rename and lock, also while it recovers."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest
import sqlite_utils  # noqa: F401 so that no forked child has to load it

from szal_nb.store.lock import FileLock
from tests.store.steady_flow import EARLY, faults_of, play

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]

# In `make torture` each point is tried each time it is reached; else the first and the last time.
TORTURE = int(os.environ.get("SZAL_TORTURE", "0"))
PAIRS = max(20, TORTURE)
_ENDED_HERE = 86


class Points:
    """Counts the points that this process reaches, and ends it at one of them."""

    def __init__(self, end_at: int) -> None:
        self.names: list[str] = []
        self._end_at = end_at

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._end_at:
            os._exit(_ENDED_HERE)

    def around(self, owner: object, attribute: str) -> None:
        """Makes a point before and one after each call of the function."""
        function = getattr(owner, attribute)

        def called(*arguments, **options):
            self.reach(f"before {attribute}")
            result = function(*arguments, **options)
            self.reach(f"after {attribute}")
            return result

        setattr(owner, attribute, called)

    def install(self) -> None:
        """For the rest of this process."""
        for name in ("write", "fsync", "utime", "mkdir"):
            self.around(os, name)
        for name in ("replace", "unlink"):
            self.around(Path, name)
        for name in ("_acquire", "release"):
            self.around(FileLock, name)
        reach, connect = self.reach, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, sql, *arguments):
                reach(f"before {_short(sql)}")
                cursor = super().execute(sql, *arguments)
                reach(f"after {_short(sql)}")
                return cursor

            def executemany(self, sql, *arguments):
                reach(f"before {_short(sql)}")
                cursor = super().executemany(sql, *arguments)
                reach(f"after {_short(sql)}")
                return cursor

        sqlite3.connect = lambda *arguments, **options: connect(*arguments, **{**options, "factory": Connection})


def _short(sql: str) -> str:
    return " ".join(sql.split())[:30]


def in_child(folder: Path, end_at: int, fault: str | None = None) -> list[str] | None:
    """Plays the flow in a process that ends at this point; the points it reached if it came to its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            points = Points(end_at)
            points.install()
            play(folder / "runs.db", folder / "effects", fault=fault)
            text = "\n".join(points.names).encode()
            while text:
                text = text[os.writev(writing, [text]) :]
            code = 0
        except BaseException as error:  # noqa: BLE001 the parent must learn of everything
            sys.stderr.write(f"the child failed: {error!r}\n")
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        names = pipe.read().decode().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {0, _ENDED_HERE}
    return names if code == 0 else None


@pytest.fixture
def folders(tmp_path):
    """New folders, in memory where there is such: no disk decides how long this takes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as root:
        numbers = iter(range(1_000_000))

        def make() -> Path:
            folder = Path(root) / str(next(numbers))
            folder.mkdir()
            return folder

        yield make


def chosen(names: list[str]) -> list[int]:
    """The points to end at, counted from 1."""
    if TORTURE:
        return list(range(1, len(names) + 1))
    first = {name: number for number, name in reversed(list(enumerate(names, 1)))}
    last = {name: number for number, name in enumerate(names, 1)}
    return sorted({*first.values(), *last.values()})


def end_at_each_point(make, fault: str | None = None, *, only: str = "") -> dict[str, list[str]]:
    """The points after which something is wrong, with what."""
    names = in_child(make(), 0, fault)
    wrong = {}
    for number in chosen(names):
        name = names[number - 1]
        if only not in name:
            continue
        folder = make()
        assert in_child(folder, number, fault) is None, name
        in_child(folder, 0)
        faults = faults_of(folder)
        if faults:
            wrong[f"{number} {name}"] = faults
    return wrong


def test_a_process_that_ends_at_any_point_loses_nothing_and_repeats_nothing(folders):
    assert end_at_each_point(folders) == {}


def test_a_process_that_ends_again_while_it_recovers_loses_nothing(folders):
    chance = random.Random(5)
    last = len(in_child(folders(), 0))
    wrong = {}
    for _ in range(PAIRS):
        first, second = chance.randint(1, last), chance.randint(1, last)
        folder = folders()
        in_child(folder, first)
        in_child(folder, second)
        in_child(folder, 0)
        if faults := faults_of(folder):
            wrong[first, second] = faults
    assert wrong == {}


def end_at_each_point_of_recovery(make, fault: str | None = None, *, only: str = "") -> dict[str, list[str]]:
    """As `end_at_each_point`, of the process that goes on after one has ended in the middle of the second step."""
    cut = make()
    inserts = [n for n, name in enumerate(in_child(make(), 0), 1) if name == "before COMMIT"]
    assert in_child(cut, inserts[len(inserts) // 2], fault) is None
    names = in_child(_copied(cut, make), 0, fault)
    assert any(name.startswith("before UPDATE runs SET epoch") for name in names), "it takes the run over"
    wrong = {}
    for number in chosen(names):
        if only not in names[number - 1]:
            continue
        folder = _copied(cut, make)
        assert in_child(folder, number, fault) is None, names[number - 1]
        in_child(folder, 0)
        if faults := faults_of(folder):
            wrong[f"{number} {names[number - 1]}"] = faults
    return wrong


def _copied(folder: Path, make) -> Path:
    return Path(shutil.copytree(folder, make(), dirs_exist_ok=True))


def test_a_process_that_ends_at_any_point_of_recovery_loses_nothing(folders):
    assert end_at_each_point_of_recovery(folders) == {}


def test_ending_while_it_recovers_shows_a_step_that_is_acknowledged_too_early(folders):
    wrong = end_at_each_point_of_recovery(folders, EARLY, only="INSERT OR REPLACE INTO")

    assert any("was run again" in fault for faults in wrong.values() for fault in faults)


def test_the_points_are_those_that_matter(folders):
    reached = set(in_child(folders(), 0))

    calls = {"BEGIN IMMEDIATE", "COMMIT", "fsync", "replace", "write", "_acquire", "release"}
    assert {f"{side} {call}" for call in calls for side in ("before", "after")} <= reached
    assert any(point.startswith("before UPDATE runs SET lease_until") for point in reached)
    assert len(reached) >= 40


def test_ending_at_a_commit_shows_a_step_that_is_acknowledged_too_early(folders):
    wrong = end_at_each_point(folders, EARLY, only="INSERT OR REPLACE INTO")

    assert any("was run again" in fault for faults in wrong.values() for fault in faults)
