"""Hidden state of the process, compared around bodies: global generators, working directory, options.

What a step may touch is known from the analysis (`StepNode.states`); what it touches besides is found here. While
several bodies run side by side, what changed is known when the last of them ends, and all of them are named; but what
importing a module has drawn, no body has.
"""

from __future__ import annotations

import contextlib
import ctypes
import locale
import os
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from szal_nb.engine.own_attributes import ClassesInUse
from szal_nb.engine.own_warnings import filters_of_process
from szal_nb.model.kept import GENERATORS, NUMPY_RANDOM, RANDOM, TORCH_RANDOM, WARNINGS_ARE_OWN, state_name
from szal_nb.model.loaded import loaded

__all__ = [
    "GENERATORS",
    "NUMPY_RANDOM",
    "RANDOM",
    "TORCH_RANDOM",
    "HiddenStates",
    "generator_states",
    "set_generator",
    "state_name",
]


# A state of the process, by its name, or a class of the notebook.
State = str | type
# The generator's own memory, where its layout is known: a hundredth of the cost of `getstate`.
_INSIDE_BYTES = random.Random.__base__.__basicsize__ - object.__basicsize__ if random.Random.__base__ else 0
_OURS = random._inst  # noqa: SLF001 the instance behind the module functions
# Modules that draw from `random` as they are imported, and how many words of 32 bits.
_DRAWN_BY_IMPORT = {"rich.style": 1}


def _random(generator: random.Random = _OURS) -> Any:
    if sys.implementation.name != "cpython":
        return generator.getstate()
    return ctypes.string_at(_inside(generator), _INSIDE_BYTES), generator.gauss_next  # type: ignore[attr-defined]


def _inside(generator: random.Random) -> int:
    return id(generator) + object.__basicsize__


def _random_after(state: Any, words: int) -> Any:
    """What `_random` says of a generator that has drawn so many words since it said `state`."""
    generator: Any = random.Random()  # noqa: S311  a copy of one that is there
    if sys.implementation.name != "cpython":
        generator.setstate(state)
    else:
        ctypes.memmove(_inside(generator), state[0], len(state[0]))
        generator.gauss_next = state[1]
    generator.getrandbits(32 * words)
    return _random(generator)


def _numpy() -> object:
    module: Any = loaded("numpy.random")
    if module is None:
        return None
    state = module.get_state(legacy=False)
    inner = state["state"]
    key = inner.get("key")
    return (state["has_gauss"], state["gauss"], inner.get("pos"), None if key is None else key.tobytes())


def _torch() -> object:
    module: Any = loaded("torch")
    return None if module is None else module.get_rng_state().numpy().tobytes()


def _pandas_options() -> object:
    module: Any = loaded("pandas._config.config")
    return None if module is None else repr(module._global_config)  # noqa: SLF001  the public way makes a text for people


def _directory() -> object:
    try:
        return os.getcwd()  # noqa: PTH109  a path object is not needed, and costs more
    except OSError:
        return None


def _environment() -> object:
    return dict(getattr(os.environ, "_data", os.environ))


_GENERATOR_PROBES: dict[str, Callable[[], object]] = {
    RANDOM: _random,
    NUMPY_RANDOM: _numpy,
    TORCH_RANDOM: _torch,
}
# Settings of the process. Importing a module may change them for good reasons, and so may a library for a moment:
# they are compared only around a body that ran alone and imported nothing new.
_SETTING_PROBES: dict[str, Callable[[], object]] = {
    "working directory": _directory,
    "environment": _environment,
    "pandas options": _pandas_options,
    # Where `catch_warnings` is not each thread's own, libraries in other threads leave filters behind.
    **({"warnings filters": lambda: tuple(filters_of_process())} if WARNINGS_ARE_OWN else {}),
    "locale": lambda: locale.setlocale(locale.LC_ALL),
}


class HiddenStates:
    """Watches the process between the beginning and the end of bodies.

    A cell of the notebook that is executed meanwhile draws and sets what it likes: what changes then is not the steps'.
    Each class of the notebook that steps have in their hands is a state, too.
    """

    def __init__(self) -> None:
        self._classes = ClassesInUse()
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._window: set[int] = set()
        self._before: dict[State, object] = {}
        self._modules = 0
        self._absent: list[str] = []
        self._was_alone = True
        self._seen: dict[State, None] = {}
        self._looks_away = False

    def enter(self, step: int, hands: Iterable[object]) -> None:
        """A body begins, which has these in its hands."""
        with self._lock:
            classes = self._classes.add(hands)
            if not self._running:
                self._window, self._seen = set(), {}
                self._was_alone = True
                self._modules = len(sys.modules)
                self._absent = [name for name in _DRAWN_BY_IMPORT if name not in sys.modules]
                self._before = self._all()
            else:
                self._was_alone = False
                self._before.update(classes.items())
            self._running.add(step)
            self._window.add(step)

    def leave(self, step: int) -> tuple[tuple[State, ...], tuple[str, ...], tuple[int, ...]]:
        """A body has ended: the states that changed, those that imports alone changed, and the steps that may have.

        Nothing is known while others still run; then the last of them gets the answer.
        """
        with self._lock:
            self._running.discard(step)
            if self._running:
                return (), (), ()
            is_drawn = False
            if not self._looks_away:
                now = self._now()
                is_drawn = RANDOM not in self._seen and self._is_drawn_by_import(now[RANDOM])
                self._note(now)
            changed, by_import = tuple(self._seen), (RANDOM,) if is_drawn else ()
            return tuple(name for name in changed if name not in by_import), by_import, tuple(sorted(self._window))

    def look_away(self) -> None:
        """A cell of the notebook begins to be executed."""
        with self._lock:
            if self._running and not self._looks_away:
                self._note(self._now())
            self._looks_away = True

    def look_again(self) -> None:
        """The cell has ended, or waits: what changes from now on is the steps' again."""
        with self._lock:
            if self._running and self._looks_away:
                self._before = self._all()
            self._looks_away = False

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What changes in here is no body's: a resume, or another attempt, puts a state back beside those that run."""
        with self._lock:
            if self._running and not self._looks_away:
                self._note(self._now())
            try:
                yield
            finally:
                if self._running:
                    self._before = self._all()

    def _all(self) -> dict[State, object]:
        return _look(_GENERATOR_PROBES) | _look(_SETTING_PROBES) | self._classes.look()

    def _now(self) -> dict[State, object]:
        if self._was_alone and len(sys.modules) == self._modules:
            return self._all()
        return _look(_GENERATOR_PROBES) | self._classes.look()

    def _note(self, now: dict[State, object]) -> None:
        # A generator that was not there before has not been drawn from by the notebook.
        before = {name: state for name, state in self._before.items() if state is not None}
        self._seen.update((name, None) for name, state in now.items() if name in before and state != before[name])

    def _is_drawn_by_import(self, now: object) -> bool:
        words = sum(_DRAWN_BY_IMPORT[name] for name in self._absent if name in sys.modules)
        return bool(words) and _random_after(self._before[RANDOM], words) == now

    def forget(self, step: int) -> None:
        """The body was abandoned: what it does from now on nobody can tell from what others do."""
        with self._lock:
            self._running.discard(step)
            self._was_alone = False


def _look(probes: dict[str, Callable[[], object]]) -> dict[State, object]:
    return {name: probe() for name, probe in probes.items()}


def generator_states(names: Iterable[str]) -> dict[str, object]:
    """The states of these global generators by the names under which they are recorded, as plain data."""
    found: dict[str, object] = {}
    for name in names:
        module: Any = loaded(name.partition(".")[0])
        if name == RANDOM:
            found[state_name(name)] = random.getstate()
        elif name == NUMPY_RANDOM and module is not None:
            found[state_name(name)] = module.random.get_state(legacy=False)
        elif name == TORCH_RANDOM and module is not None:
            found[state_name(name)] = bytes(module.get_rng_state().numpy())
    return found


def set_generator(name: str, state: Any) -> None:
    """Puts a global generator where `generator_states` found it."""
    if name == RANDOM:
        random.setstate(state)
    elif name == NUMPY_RANDOM:
        import numpy as np  # late: heavy

        np.random.set_state(state)  # noqa: NPY002  the global generator is what the notebook uses
    elif name == TORCH_RANDOM:
        import torch  # type: ignore[import-not-found]  # late: heavy

        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
