"""Records that a run was interrupted, for a kernel that could not do so itself before it was gone."""

from __future__ import annotations

import time

from szal_nb.errors import StoreError
from szal_nb.model.event import RunInterrupted
from szal_nb.notebook.headless import Headless
from szal_nb.store.owner import Owner
from szal_nb.store.runs import RunStore


def record_interruption(headless: Headless, reason: str) -> None:
    """Every run that was begun for this process, and that nobody has ended, is recorded as interrupted."""
    if headless.store is None or not headless.store.exists():
        return
    with RunStore.open(headless.store) as store:
        for run in store.runs():
            is_ours = run.launcher is not None and run.launcher.is_same(Owner.here())
            if is_ours and run.shown_state == "crashed" and not store.snapshot(run.id).is_interrupted:
                try:
                    journal = store.take_over(run.id)
                except StoreError:
                    continue  # somebody else goes on with it already
                try:
                    journal.append_sync([RunInterrupted(at=time.time(), reason=reason)])
                finally:
                    journal.close()
