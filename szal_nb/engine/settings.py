"""Settings of the process that steps change: recorded, and put back on a resume as the completed steps left them.

Those of numpy are each step's own: they belong to the context that its body runs in.
"""

from __future__ import annotations

import locale
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from szal_nb.analysis.hidden import DIRECTORY, ENVIRONMENT, IMPORT_PATH, LOGGING
from szal_nb.engine.library_options import LIBRARY_OPTIONS
from szal_nb.engine.loggers import AS_NEW, Look, differing, look_at_loggers, set_loggers
from szal_nb.engine.own_warnings import filters_of_process, set_filters_of_process
from szal_nb.engine.patches import check_patch, is_lost, put_patch_back, read_patch
from szal_nb.errors import RunError
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.kept import patched, state_name
from szal_nb.model.value import ValueRef

_SECRET_NAME = re.compile(r"key|token|secret|passw|pwd|credential|auth|cookie|dsn|private|signature", re.IGNORECASE)
# The user, with or without a password, before the host of an address; and what begins a key in PEM.
_SECRET_TEXT = re.compile(r"://[^/\s]*@|-----BEGIN ")
# What the record has instead of a value that may be a secret.
_NOT_RECORDED = {"secret": True}


class Settings:
    """The settings of one process. Each is read as plain data that says all of it, or None if it is not there."""

    def __init__(self) -> None:
        # Of the environment only what steps have changed is anybody's business.
        self._environment: dict[str, str] = {}
        self._loggers: Look = {}

    def begin(self) -> None:
        """From now on steps change them."""
        self._environment = dict(os.environ)
        self._loggers = look_at_loggers()

    def read(self, state: str) -> Any:
        """The setting as it is now."""
        if patched(state):
            return read_patch(state)
        if state == LOGGING:
            return differing(self._loggers, look_at_loggers())
        return self._changes() if state == "environment" else _READ[state]()

    def put_back(self, state: str, value: Any) -> None:
        """Makes the setting what it was when it was read."""
        if patched(state):
            put_patch_back(state, value)
        elif state == "environment":
            self._put_back_environment(value)
        elif state == LOGGING:
            self._put_back_loggers(value)
        elif value is not None and value != _READ[state]():
            _WRITE[state](value)

    def _changes(self) -> dict[str, Any]:
        now = dict(os.environ)
        found: dict[str, Any] = {name: None for name in self._environment if name not in now}
        for name, value in now.items():
            if self._environment.get(name) != value:
                is_secret = _SECRET_NAME.search(name) or _SECRET_TEXT.search(value)
                found[name] = _NOT_RECORDED if is_secret else value
        return found

    def _put_back_loggers(self, changes: Look) -> None:
        set_loggers({name: self._loggers.get(name, AS_NEW) for name in self.read(LOGGING).keys() - changes.keys()})
        set_loggers(changes)

    def _put_back_environment(self, changes: Mapping[str, Any]) -> None:
        # A step that is made again finds nothing of what was set after it.
        for name in self._changes().keys() - changes.keys():
            if name in self._environment:
                os.environ[name] = self._environment[name]
            else:
                del os.environ[name]
        for name, value in changes.items():
            if value is None:
                os.environ.pop(name, None)
            elif isinstance(value, str):
                os.environ[name] = value
            elif name not in os.environ:
                raise RunError(
                    f"A completed step has set the environment variable {name}, which is not recorded because it "
                    f"may be a secret. Set it before the run goes on."
                )


def _directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  a path object is not needed
    except OSError:
        return None


def _set_filters(filters: list[Any]) -> None:
    set_filters_of_process([tuple(one) for one in filters])


def _set_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


_READ: dict[str, Callable[[], Any]] = {
    **{state: read for state, (read, _) in LIBRARY_OPTIONS.items()},
    "working directory": _directory,
    "warnings filters": lambda: list(filters_of_process()),
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "import path": lambda: list(sys.path),
}
_WRITE: dict[str, Callable[[Any], None]] = {
    **{state: write for state, (_, write) in LIBRARY_OPTIONS.items()},
    "working directory": os.chdir,
    "warnings filters": _set_filters,
    "locale": _set_locale,
    "import path": _set_path,
}
SETTINGS = frozenset({*_READ, "environment", LOGGING})
# By these, whoever set them has a say in what this process runs, and in which files it reads and writes.
REACHING = frozenset({ENVIRONMENT, IMPORT_PATH, DIRECTORY, LOGGING})


def _writers(graph: FlowGraph) -> dict[str, list[int]]:
    """The settings that steps change, with these steps."""
    found: dict[str, list[int]] = {}
    for i, node in enumerate(graph.nodes):
        for state in node.states:
            if state in SETTINGS or patched(state):
                found.setdefault(state, []).append(i)
    return found


def _users(graph: FlowGraph) -> dict[str, set[int]]:
    """For each setting that steps change the steps that it matters to: the changers, and who is ordered with one."""
    index = {node.step.name: i for i, node in enumerate(graph.nodes)}
    users = {state: {*writers} for state, writers in graph.derived(_writers).items()}
    for edge in graph.edges if users else ():
        source, target = index[edge.source], index[edge.target]
        for state, writers in graph.derived(_writers).items():
            if state in edge.names or source in writers or target in writers:
                users[state] |= {source, target}
    return users


def changes_settings(node: StepNode) -> bool:
    """Whether the step is known to change a setting of the process."""
    return not SETTINGS.isdisjoint(node.states) or any(map(patched, node.states))


class RecordedSettings:
    """Which settings the steps of one run change, and what is on record of them."""

    def __init__(self, graph: FlowGraph) -> None:
        self._graph = graph
        self._writers = graph.derived(_writers)
        self._settings = Settings()
        self._known: dict[str, Any] = {}

    @property
    def are_any(self) -> bool:
        """Whether a step of the run changes a setting."""
        return bool(self._writers)

    def begin(self) -> None:
        """The run goes on in this process."""
        if self._writers:
            self._settings.begin()

    def first(self) -> dict[str, object]:
        """What to record with the run's inputs."""
        self.begin()
        return self._read(self._writers)

    def changed(self, i: int) -> dict[str, object]:
        """What step `i`, which has ended, has changed, by the names under which it is recorded."""
        return self._read(state for state, writers in self._writers.items() if i in writers)

    def _read(self, states: Iterable[str]) -> dict[str, object]:
        found: dict[str, object] = {}
        for state in states:
            value = self._settings.read(state)
            if patched(state):
                # Nobody but who has it can tell whether it is what it was.
                found[state_name(state)] = value
                continue
            if state not in self._known or self._known[state] != value:
                found[state_name(state)] = self._known[state] = value
        return found

    def put_back(
        self,
        i: int,
        begun: Collection[int | None],
        refs: Mapping[tuple[int | None, str], ValueRef],
        load: Callable[[ValueRef], Any],
    ) -> None:
        """Makes the settings what step `i` found when all was in one process; `begun` have run in this one.

        Those that are nothing to the step are left alone: who changes them may be at it. `i` behind the last step: all.
        """
        users = self._graph.derived(_users) if i < len(self._graph.nodes) else None
        for state, writers in self._writers.items() if i not in begun else ():
            if users is not None and i not in users[state]:
                continue
            for j in (*(j for j in reversed(writers) if j < i), None):
                if j in begun:
                    break
                ref = refs.get((j, state_name(state)))
                if ref is not None and ref.live is None:
                    # What a fresh process has there is what the run began with.
                    if j is not None or state in self._known or not patched(state):
                        self._put_back(i, state, ref, load)
                    break

    def _put_back(self, i: int, state: str, ref: ValueRef, load: Callable[[ValueRef], Any]) -> None:
        if not patched(state):
            self._known[state] = value = load(ref)
            self._settings.put_back(state, value)
            return
        # What is there already stays the object that it is.
        kept = self._known.get(state)
        if kept is None or kept[0] != ref:
            kept = self._known[state] = ref, load(ref)
            if not is_lost(kept[1]):
                self._settings.put_back(state, kept[1])
        if i < len(self._graph.nodes):
            check_patch(state, kept[1], self._graph.nodes[i])
