"""Which store a `store=` argument means, and what of it stays open from one run to the next."""

from __future__ import annotations

import weakref
from pathlib import Path

from szal_nb.errors import RunError
from szal_nb.store.runs import MEMORY, RunStore, find_store


class _Default:
    """Stands for: the store that is usual here."""

    def __repr__(self) -> str:
        return "the default store"


DEFAULT_STORE = _Default()
StoreChoice = RunStore | Path | str | None | _Default


class OpenStores:
    """The stores of one flow. As long as a run is of interest to somebody, the next one uses the same connections."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[Path, RunStore] = weakref.WeakValueDictionary()

    def open(self, choice: StoreChoice) -> RunStore | None:
        """The store that is meant, open; None for no record at all."""
        if choice is None or isinstance(choice, RunStore) or str(choice) == MEMORY:
            return opened_store(choice)
        path = _place(choice).absolute()
        known = self._known.get(path)
        if known is None or not known.is_in_place:
            known = self._known[path] = RunStore.open(path)
        return known


def opened_store(choice: StoreChoice) -> RunStore | None:
    """The store that is meant, opened anew unless it is one; None for no record at all."""
    return choice if choice is None or isinstance(choice, RunStore) else RunStore.open(_place(choice))


def record_of(choice: StoreChoice) -> RunStore:
    """As `opened_store`, to read what is on record; raises RunError where there is no record at all."""
    store = opened_store(choice)
    if store is None:
        raise RunError("There is no record to read without a store.")
    return store


def _place(choice: Path | str | _Default) -> Path:
    return find_store(None) if isinstance(choice, _Default) else Path(choice)
