"""What a step that does not run in this run showed when it ran: in an earlier run, or in this one before it was cut."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from szal_nb.api.run import Recorded
from szal_nb.errors import StoreError
from szal_nb.model.event import StepCompleted
from szal_nb.model.value import Output
from szal_nb.store.runs import RunStore

_LONGEST_CHAIN = 100


class EarlierOutputs:
    """Reads it from the store, each run once. `only_ours`: nothing of runs that others have made."""

    def __init__(self, store: RunStore, *, only_ours: bool = False) -> None:
        self._store = store
        self._only_ours = only_ours
        self._runs: dict[str, tuple[Recorded, dict[str, str]]] = {}

    def of(self, run_id: str, step: str) -> Sequence[Output]:
        """What `step` showed when it gave what run `run_id` has of it; nothing if that cannot be told any more."""
        for _ in range(_LONGEST_CHAIN):
            recorded, taken_from = self._run(run_id)
            if not taken_from.get(step):
                return recorded.of(step)
            run_id = taken_from[step]
        return ()

    def _run(self, run_id: str) -> tuple[Recorded, dict[str, str]]:
        found = self._runs.get(run_id)
        if found is None:
            found = Recorded(), {}
            # The run was collected since, or never was in this store.
            with suppress(StoreError):
                if not self._only_ours or self._store.is_ours(self._store.run(run_id)):
                    events = self._store.events(run_id)
                    taken = {e.step: e.taken_from for e in events if isinstance(e, StepCompleted)}
                    found = Recorded(events), taken
            self._runs[run_id] = found
        return found
