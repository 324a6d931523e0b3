"""Settings of the process that steps change: recorded, and put back on a resume as the completed steps left them.

Those of numpy are each step's own: they belong to the context that its body runs in.
"""

from __future__ import annotations

import importlib
import locale
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from szal_nb.engine.own_warnings import filters_of_process, set_filters_of_process
from szal_nb.engine.patches import check_patch, is_lost, put_patch_back, read_patch
from szal_nb.engine.thread_settings import read_thread_settings, set_thread_settings
from szal_nb.errors import RunError
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.kept import patched, state_name
from szal_nb.model.loaded import loaded
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

    def begin(self) -> None:
        """From now on steps change them."""
        self._environment = dict(os.environ)

    def read(self, state: str) -> Any:
        """The setting as it is now."""
        if patched(state):
            return read_patch(state)
        return self._changes() if state == "environment" else _READ[state]()

    def put_back(self, state: str, value: Any) -> None:
        """Makes the setting what it was when it was read."""
        if patched(state):
            put_patch_back(state, value)
        elif state == "environment":
            self._put_back_environment(value)
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


def _pandas_options() -> dict[str, Any] | None:
    pandas = loaded("pandas")
    config: Any = loaded("pandas._config.config")
    if pandas is None or config is None:
        return None
    names = config._registered_options.keys() - config._deprecated_options.keys()  # noqa: SLF001  no public way lists them
    return {name: config.get_option(name) for name in sorted(names)}


def _set_pandas_options(options: Mapping[str, Any]) -> None:
    import pandas as pd  # late: heavy

    now = _pandas_options() or {}
    for name, value in options.items():
        if name in now and now[name] != value:
            pd.set_option(name, value)


# Beside the parameters of matplotlib: what the letters of its colours stand for. A theme of seaborn changes that.
_COLORS = "colors of one letter"


def _drawing() -> dict[str, Any] | None:
    matplotlib: Any = loaded("matplotlib")
    if matplotlib is None:
        return None
    found = {name: value for name, value in dict.items(matplotlib.rcParams) if not name.startswith("backend")}
    codes = matplotlib.colors.colorConverter.colors
    return {**found, _COLORS: {letter: codes[letter] for letter in matplotlib.colors.BASE_COLORS}}


def _set_drawing(settings: Mapping[str, Any]) -> None:
    import matplotlib as mpl  # late: heavy

    settings = dict(settings)
    for letter, color in settings.pop(_COLORS, {}).items():
        # Colours that it has looked up are forgotten with each assignment.
        mpl.colors.colorConverter.colors[letter] = color
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters: Any = mpl.rcParams
        parameters.update(settings)


def _polars_options() -> dict[str, Any] | None:
    polars = loaded("polars")
    return None if polars is None else {"all": polars.Config.save(if_set=True)}


def _set_polars_options(options: Mapping[str, Any]) -> None:
    polars: Any = importlib.import_module("polars")

    polars.Config.restore_defaults()
    polars.Config.load(options["all"])


def _sklearn_options() -> dict[str, Any] | None:
    sklearn = loaded("sklearn")
    return None if sklearn is None else sklearn.get_config()


def _set_sklearn_options(options: Mapping[str, Any]) -> None:
    sklearn: Any = importlib.import_module("sklearn")

    sklearn.set_config(**options)


def _xarray_options() -> dict[str, Any] | None:
    xarray = loaded("xarray")
    return None if xarray is None else dict(xarray.get_options())


def _set_xarray_options(options: Mapping[str, Any]) -> None:
    xarray: Any = importlib.import_module("xarray")

    now = xarray.get_options()
    xarray.set_options(**{name: value for name, value in options.items() if now[name] != value})


def _torch_options() -> dict[str, Any] | None:
    torch = loaded("torch")
    if torch is None:
        return None
    own = read_thread_settings()["torch"]
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "own": own,
    }


def _set_torch_options(options: Mapping[str, Any]) -> None:
    torch: Any = importlib.import_module("torch")

    torch.set_default_dtype(options["dtype"])
    torch.set_num_threads(options["threads"])
    torch.use_deterministic_algorithms(options["deterministic"])
    torch.set_float32_matmul_precision(options["precision"])
    set_thread_settings({"torch": options["own"]})


_ALTAIR_REGISTRIES = ("data_transformers", "renderers", "theme", "themes")


def _altair_options() -> dict[str, Any] | None:
    altair = loaded("altair")
    if altair is None:
        return None
    found = {name: vars(altair).get(name) for name in _ALTAIR_REGISTRIES}
    return {name: (one.active, dict(one.options)) for name, one in found.items() if one is not None}


def _set_altair_options(options: Mapping[str, Any]) -> None:
    altair: Any = importlib.import_module("altair")

    for name, (active, own) in options.items():
        getattr(altair, name).enable(active, **own)


def _set_filters(filters: list[Any]) -> None:
    set_filters_of_process([tuple(one) for one in filters])


def _system_names() -> int | None:
    systems: Any = loaded("control.iosys")
    return None if systems is None else int(systems.InputOutputSystem._idCounter)  # noqa: SLF001  no public way


def _set_system_names(number: int) -> None:
    systems: Any = importlib.import_module("control.iosys")
    systems.InputOutputSystem._idCounter = number  # noqa: SLF001  no public way


def _set_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


_READ: dict[str, Callable[[], Any]] = {
    "working directory": _directory,
    "pandas options": _pandas_options,
    "pyplot": _drawing,
    "warnings filters": lambda: list(filters_of_process()),
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "import path": lambda: list(sys.path),
    "polars options": _polars_options,
    "sklearn options": _sklearn_options,
    "xarray options": _xarray_options,
    "torch options": _torch_options,
    "altair options": _altair_options,
    "names of systems": _system_names,
}
_WRITE: dict[str, Callable[[Any], None]] = {
    "working directory": os.chdir,
    "pandas options": _set_pandas_options,
    "pyplot": _set_drawing,
    "warnings filters": _set_filters,
    "locale": _set_locale,
    "import path": _set_path,
    "polars options": _set_polars_options,
    "sklearn options": _set_sklearn_options,
    "xarray options": _set_xarray_options,
    "torch options": _set_torch_options,
    "altair options": _set_altair_options,
    "names of systems": _set_system_names,
}
SETTINGS = frozenset({*_READ, "environment"})


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
