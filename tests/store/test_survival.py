"""Which values are lost: files are looked at each time, and read only after the machine has started anew."""

from __future__ import annotations

import os

import msgspec
import pytest

from szal_nb.model.event import RunFailed, RunResumed, StepCompleted, StepFailed, StepStarted
from szal_nb.model.value import ErrorInfo
from szal_nb.store.files import ValueFileDamaged
from szal_nb.store.owner import Owner
from szal_nb.store.survival import lost_values
from tests.store.scribe import begun, new_run

RUN = "aaaaaaaaaaaa"
LARGE = b"x" * 300_000
DAMAGES = {
    "as it was": lambda _: None,
    "gone": lambda file: file.unlink(),
    "shorter": lambda file: os.truncate(file, 1000),
    "longer": lambda file: os.truncate(file, len(LARGE) + 1000),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
}


@pytest.fixture
def run(store):
    """A run whose step gave a small value and a large one."""
    journal = store.begin(new_run())
    refs = journal.keep("load", 1, {"small": [1], "large": LARGE}, {"small", "large"})
    started = StepStarted(at=2.0, step="load", attempt=1)
    journal.append_sync([*begun(), started, StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    return journal


def lost(store, *, is_new_start):
    run = store.run(RUN)
    if is_new_start:
        run = msgspec.structs.replace(run, owner=msgspec.structs.replace(Owner.here(), boot_id="before"))
    return lost_values(store, run, store.snapshot(RUN))


@pytest.mark.parametrize(
    ("damage", "is_new_start", "is_found"),
    [
        ("as it was", False, False),
        ("as it was", True, False),
        ("gone", False, True),
        ("gone", True, True),
        ("shorter", False, True),
        ("shorter", True, True),
        ("longer", False, True),
        ("zeros", True, True),
        # Nothing but a power cut leaves such a file, and reading all takes long.
        ("zeros", False, False),
    ],
)
def test_what_is_lost_of_what_a_step_gave(store, run, damage, is_new_start, is_found):
    (file,) = store.files.folder.glob("??/*")
    DAMAGES[damage](file)

    assert lost(store, is_new_start=is_new_start) == ({"load": ("large",)} if is_found else {})


def test_nobody_knows_of_a_run_without_an_owner_when_it_was_written(store, run):
    (file,) = store.files.folder.glob("??/*")
    DAMAGES["zeros"](file)
    without = msgspec.structs.replace(store.run(RUN), owner=None)

    assert lost_values(store, without, store.snapshot(RUN)) == {"load": ("large",)}


def test_what_a_step_gave_before_it_was_to_be_rebuilt_may_be_lost_too(store, run):
    run.append_sync([RunFailed(at=4.0)])
    again = store.take_over(RUN)
    again.append_sync([RunResumed(at=5.0, epoch=2, reset=("load", "clean", "plot"), rebuilt=("load",))])
    (file,) = store.files.folder.glob("??/*")
    file.unlink()

    assert lost(store, is_new_start=False) == {"load": ("large",)}


def test_files_are_read_once_a_step_has_failed_by_one(store, run):
    (file,) = store.files.folder.glob("??/*")
    DAMAGES["zeros"](file)
    names = tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in ValueFileDamaged.__mro__)
    error = ErrorInfo(type="ValueFileDamaged", names=names)
    run.append_sync(
        [StepStarted(at=4.0, step="clean", attempt=1), StepFailed(at=5.0, step="clean", attempt=1, error=error)]
    )

    assert lost(store, is_new_start=False) == {"load": ("large",)}
