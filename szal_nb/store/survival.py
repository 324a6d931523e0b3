"""Which values of a run's completed steps are lost: a power cut may take files that were not synced (`fast`)."""

from __future__ import annotations

from szal_nb.errors import StoreError
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef
from szal_nb.store.files import ValueFiles
from szal_nb.store.listing import StoredRun
from szal_nb.store.owner import Owner
from szal_nb.store.runs import RunStore
from szal_nb.store.values import INLINE_BYTES


def lost_values(store: RunStore, run: StoredRun, snapshot: RunSnapshot) -> dict[str, tuple[str, ...]]:
    """The names of completed steps whose file is gone or not what was written, by step.

    Files are looked at, and read only if the machine has started anew since the run's owner began: nothing but a
    power cut, or somebody's hand, leaves a file that has its size and not its content.
    """
    is_new_start = run.owner is None or run.owner.boot_id != Owner.here().boot_id
    found = {
        step.name: tuple(
            ref.name for ref in (*step.values, *step.former) if _is_lost(store.files, ref, is_read=is_new_start)
        )
        for step in snapshot.steps.values()
    }
    return {step: names for step, names in found.items() if names}


def _is_lost(files: ValueFiles, ref: ValueRef, *, is_read: bool) -> bool:
    if ref.hash is None or ref.size <= INLINE_BYTES:
        return False
    try:
        if files.path_of(ref.hash).stat().st_size != ref.size:
            return True
        if is_read:
            files.check(ref.hash, ref.format or "", ref.name)
    except (OSError, StoreError):
        return True
    return False
