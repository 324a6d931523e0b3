"""A disk that is really full, at random sizes: a typed error, and the run goes on once there is space.

`python -m tests.store.test_full_disk FOLDER SIZES [FAULT]` is what plays in a small file system of its own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils  # noqa: F401 so that no forked child has to load it

from szal_nb.store.failure import StoreFull
from tests.store.namespaces import need, unshared
from tests.store.steady_flow import SWALLOWED, faults_of, play

pytestmark = pytest.mark.serial

MOUNT = ("--mount",)
SIZES = int(os.environ.get("SZAL_TORTURE", "20"))
ENDS = ("completed", "full", "failed otherwise")
_DISK_BYTES = 4 * 2**20
# What the flow needs at most, and what an empty store does.
_MOST, _LEAST = 1_500_000, 150_000


def play_on(folder: Path, free: int, fault: str | None) -> tuple[str, list[str]]:
    """Plays with so many bytes free, then with the disk free; how the first ended, and what is wrong at last."""
    store = folder / "store"
    store.mkdir()
    ballast = folder / "ballast"
    # The effects are what no full disk can take back: their file is made before.
    effects = store / "effects"
    effects.write_bytes(b"\n" * 4096)
    os.truncate(effects, 0)
    with ballast.open("wb") as file:
        file.write(bytes(_DISK_BYTES - 65_536 - free))
    ended = ENDS[play_in_child(store, fault)]
    ballast.unlink()
    again = ENDS[play_in_child(store, None)]
    found = faults_of(store, may_be_live=True) if again == "completed" else [f"going on ended with {again}"]
    shutil.rmtree(store)
    return ended, found


def play_in_child(store: Path, fault: str | None) -> int:
    """Plays in a process of its own, as a run's owner is one; which of `ENDS` it came to."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            play(store / "runs.db", store / "effects", fault=fault)
            code = 0
        except StoreFull:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    folder, count, *faults = sys.argv[1:]
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", folder], check=True)
    chance = random.Random(3)
    fault = faults[0] if faults else None
    print(json.dumps([play_on(Path(folder), chance.randint(_LEAST, _MOST), fault) for _ in range(int(count))]))


def on_small_disks(folder: Path, count: int, *fault: str) -> list[tuple[str, list[str]]]:
    need(MOUNT, ("mount", "-t", "tmpfs", "tmpfs", "/mnt"))
    command = [*unshared(*MOUNT), sys.executable, "-m", "tests.store.test_full_disk", str(folder), str(count), *fault]
    played = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert played.returncode == 0, played.stderr
    return [tuple(one) for one in json.loads(played.stdout)]


def test_a_full_disk_is_a_typed_error_and_the_run_goes_on_when_there_is_space(tmp_path):
    """What the database says is what happened, also after a full disk, two kernels on one file."""
    ended = on_small_disks(tmp_path, SIZES)

    assert [found for _, found in ended if found] == []
    assert {how for how, _ in ended} == {"full", "completed"}, "sizes must be on both sides of what the flow needs"


def test_a_full_disk_that_is_passed_over_is_found_out(tmp_path):
    assert any(found for _, found in on_small_disks(tmp_path, SIZES, SWALLOWED))


if __name__ == "__main__":
    main()
