"""Which values of a run's completed steps are lost: a power cut may take files that were not synced (`fast`)."""

from __future__ import annotations

from collections.abc import Callable

from szal_nb.errors import StoreError
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef
from szal_nb.store.files import ValueFileDamaged, ValueFiles
from szal_nb.store.listing import StoredRun
from szal_nb.store.owner import Owner
from szal_nb.store.reading import StoredRuns
from szal_nb.store.values import INLINE_BYTES

_DAMAGED = f"{ValueFileDamaged.__module__}.{ValueFileDamaged.__qualname__}"


def lost_values(store: StoredRuns, run: StoredRun, snapshot: RunSnapshot) -> dict[str, tuple[str, ...]]:
    """The names of completed steps whose file is gone or not what was written, by step.

    Files are looked at, and read only if the machine has started anew since the run's owner began, or if a step of the
    run failed by one: nothing but a power cut, or somebody's hand, leaves a file that has its size and not its content.
    """
    find = finder_of_lost(store, run, snapshot)
    found = {name: find(name) for name in snapshot.steps}
    return {step: names for step, names in found.items() if names}


def finder_of_lost(store: StoredRuns, run: StoredRun, snapshot: RunSnapshot) -> Callable[[str], tuple[str, ...]]:
    """What tells of a step which of its values are lost."""
    is_new_start = run.owner is None or run.owner.boot_id != Owner.here().boot_id
    is_read = is_new_start or any(step.error and _DAMAGED in step.error.names for step in snapshot.steps.values())

    def lost_of(step: str) -> tuple[str, ...]:
        found = snapshot.steps[step]
        return tuple(ref.name for ref in (*found.values, *found.former) if _is_lost(store.files, ref, is_read=is_read))

    return lost_of


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
