"""Calls of the system fail, one of them or all from some moment on: a typed error, nothing acknowledged lost, no hang.

A child plays a flow while strace makes calls fail: the errors come from where a broken disk's come, below SQLite too.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
import sqlite_utils  # noqa: F401 so that no forked child has to load it

from szal_nb.errors import SzalError
from szal_nb.store.failure import StoreFull, explain
from tests.store import steady_flow
from tests.store.steady_flow import SWALLOWED, faults_of, play

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]

ERRORS = int(os.environ.get("SZAL_TORTURE", "80"))
# What a run does to files, how often in the steady flow, and what may be wrong with it.
CALLS = {
    "pwrite64": (90, ("EIO", "ENOSPC")),
    "write": (12, ("EIO", "ENOSPC", "EDQUOT")),
    "pread64": (30, ("EIO",)),
    "fdatasync": (20, ("EIO",)),
    "fsync": (14, ("EIO",)),
    "ftruncate": (2, ("EIO",)),
    "rename": (3, ("EIO", "ENOSPC")),
}
COMPLETED, TYPED, UNTYPED = 0, 10, 11
# Whoever takes longer hangs.
LONGEST_S = 120


def _tell(effects: Path, *words: str) -> None:
    """As `steady_flow.tell`, with a call that is never made to fail."""
    fd = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.writev(fd, [(" ".join(words) + "\n").encode()])
    os.close(fd)


def _play(folder: Path, fault: str | None) -> int:
    steady_flow.tell = _tell
    try:
        play(folder / "runs.db", folder / "effects", fault=fault)
    except SzalError:
        return TYPED
    except BaseException as error:  # noqa: BLE001 the parent must learn of everything
        os.writev(2, [f"the child failed: {error!r}\n".encode()])
        return UNTYPED
    return COMPLETED


def play_with(folder: Path, inject: str | None, fault: str | None = None) -> int:
    """Plays the flow in a child in which `inject` fails; how that ended."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(LONGEST_S)
        if inject is not None:
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(_play(folder, fault))
    if inject is None:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.waitpid(pid, os.WUNTRACED)
    call = inject.partition(":")[0]
    command = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={inject}", "-o", os.devnull]
    with subprocess.Popen([*command, "-p", str(pid)]) as tracer:
        while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
            if tracer.poll() is not None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                pytest.skip("strace may not trace here")
        os.kill(pid, signal.SIGCONT)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def mishaps(folder: Path, count: int, fault: str | None = None) -> tuple[dict[str, list[str]], int]:
    """What went wrong, by what was made to fail, and how many plays ended with a typed error."""
    chance = random.Random(7)
    wrong: dict[str, list[str]] = {}
    typed = 0
    for number in range(count):
        call, (often, errors) = chance.choice(list(CALLS.items()))
        stays = chance.choice(["", "", "+", "+3"])
        inject = f"{call}:error={chance.choice(errors)}:when={chance.randint(1, often)}{stays}"
        place = folder / str(number)
        place.mkdir()
        first = play_with(place, inject, fault)
        typed += first == TYPED
        found = [] if first in {COMPLETED, TYPED} else [f"the play ended with {first}"]
        if again := play_with(place, None):
            found.append(f"going on ended with {again}")
        else:
            found += faults_of(place, may_be_live=True)
        if found:
            wrong[f"{number} {inject}"] = found
        shutil.rmtree(place)
    return wrong, typed


def test_calls_that_fail_are_typed_errors_and_lose_nothing_that_was_acknowledged(tmp_path):
    wrong, typed = mishaps(tmp_path, ERRORS)

    assert wrong == {}
    assert typed > ERRORS // 5, "most of these errors must have reached the store"


def test_an_error_that_is_swallowed_is_found_out(tmp_path):
    wrong, _ = mishaps(tmp_path, 30, SWALLOWED)

    assert wrong


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE])
def test_a_limit_of_file_sizes_is_told_as_such(code):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code

    found = explain(error, "runs.db")

    assert isinstance(found, StoreFull)
    assert "or a limit is reached: a quota, `ulimit -f` (disk I/O error" in str(found)
