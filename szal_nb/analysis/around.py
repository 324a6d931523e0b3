"""The names of the notebook, as far as steps have asked for them, and which of them have changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from szal_nb.analysis.surroundings import NotebookName, Watch
from szal_nb.analysis.timeline import Cursor


class Around(Mapping[str, NotebookName]):
    """The names of the notebook, as they were when they were first asked for."""

    def __init__(self, cursor: Cursor, watch: Watch) -> None:
        self._cursor = cursor
        self._watch = watch
        self._seen: dict[str, NotebookName | None] = {}

    def watch(self, watch: Watch) -> None:
        """Takes what looks at the names."""
        self._watch = watch

    def changed(self) -> list[str]:
        """Those of the names asked for that are something else by now, which is what they are from here on."""
        names = self._watch.changed(self._seen)
        for name in names:
            self._seen[name] = self._watch.look(name)
        return names

    def look(self, name: str) -> NotebookName | None:
        """What the notebook has under a name, asked by nobody."""
        if name not in self._seen:
            self._seen[name] = self._watch.look(name)
        return self._seen[name]

    def get(self, name: str, default: Any = None) -> Any:  # noqa: D102 as that of a mapping
        self._cursor.asked.add(name)
        found = self.look(name)
        return default if found is None else found

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> NotebookName:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        self._cursor.is_asking_all = True
        return iter(self._watch.names())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Compared:
    """Looks at all names that were asked for, each time."""

    def __init__(self, namespace: Mapping[str, NotebookName]) -> None:
        self.namespace = namespace

    def look(self, name: str) -> NotebookName | None:
        """See `Watch`."""
        return self.namespace.get(name)

    def changed(self, seen: Mapping[str, NotebookName | None]) -> list[str]:
        """See `Watch`."""
        return [name for name, one in seen.items() if self.namespace.get(name) != one]

    def names(self) -> Iterable[str]:
        """See `Watch`."""
        return self.namespace
