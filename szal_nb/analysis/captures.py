"""What `captured` refuses, while cells are executed one after another: only what may have changed is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from szal_nb.analysis.captured import refuse_ambiguity
from szal_nb.analysis.objects import Passing
from szal_nb.analysis.places import Index, between
from szal_nb.analysis.resolved import Known, Resolved
from szal_nb.analysis.surroundings import NameKind, NotebookName


class Captures:
    """Which steps hold code that reads which globals, and who uses it. `steps` are the steps by their places."""

    def __init__(self, steps: Mapping[int, Resolved], passing: Passing) -> None:
        self._steps = steps
        self._passing = passing
        self._capturing, self._users, self._changers = Index(), Index(), Index()
        # Names that may have more than one value by now, and those that have.
        self._touched: set[str] = set()
        self._suspects: set[str] = set()

    def touch(self, name: str) -> None:
        """The name may have another number of values by now."""
        self._touched.add(name)

    def put(self, place: int, one: Resolved) -> None:
        """Takes in a step."""
        for index, keys in self._kept(one):
            for key in keys:
                index.put(key, place)
        self._touched.update(captured.name for captured in one.names.captured)
        self._touched.update(change.name for change, _ in one.changes)

    def take(self, place: int, one: Resolved) -> None:
        """Forgets a step."""
        for index, keys in self._kept(one):
            for key in keys:
                index.take(key, place)
        self._touched.update(change.name for change, _ in one.changes)

    def _kept(self, one: Resolved) -> tuple[tuple[Index, list[str]], ...]:
        sources = [(binding.step, binding.source) for binding in one.bindings.values() if binding.step is not None]
        sources += [(version.giver, name) for name, version in one.passed.items()]
        return (
            (self._capturing, [captured.name for captured in one.names.captured]),
            (self._users, [_key(step, name) for step, name in sources]),
            (self._changers, [change.name for change, _ in one.changes]),
        )

    def check(self, place: int, places: Mapping[str, int], known: Known, around: Mapping[str, NotebookName]) -> None:
        """Refuses what a step down to this place captures that has more than one value."""
        for name in self._touched:
            is_suspect = name in self._capturing and self._may_be_ambiguous(name, known, around)
            (self._suspects.add if is_suspect else self._suspects.discard)(name)
        self._touched.clear()
        if not self._suspects:
            return
        for at in sorted({at for name in self._suspects for at in self._capturing.of(name) if at <= place}):
            one = self._steps[at]
            for captured in one.names.captured:
                user = self._user(one.step.name, captured.owner, place)
                if captured.name in self._suspects and user is not None:
                    changers = between(self._changers.of(captured.name), at, place + 1)
                    below = [self._steps[changer] for changer in changers]
                    refuse_ambiguity(one, captured, user=user, changers=below, places=places, known=known)

    def _may_be_ambiguous(self, name: str, known: Known, around: Mapping[str, NotebookName]) -> bool:
        givers, of_notebook = known.givers_of(name), around.get(name)
        is_data = of_notebook is not None and of_notebook.kind == NameKind.DATA
        return len(givers) > 1 or (is_data and bool(givers)) or name in self._changers

    def _user(self, step: str, name: str, place: int) -> str | None:
        """The first step down to a place that takes this name from this step."""
        for at in self._users.of(_key(step, name)):
            one = self._steps[at]
            own = (binding.step == step and binding.source == name for binding in one.bindings.values())
            if at <= place and (any(own) or self._passing.is_passed(at, name, place)):
                return one.step.name
        return None


def _key(step: str, name: str) -> str:
    return f"{step}\0{name}"
