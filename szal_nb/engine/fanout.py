"""A mapped step: which element starts next, which is tried again, and when the map as a whole has ended. Pure.

Elements are named by their position. Results stand in the order of the elements, whatever order they end in.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from szal_nb.errors import InvalidStep
from szal_nb.model.step import MapMode, Step
from szal_nb.model.value import ElementEnd, ErrorInfo


def elements_of(step: Step, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The inputs that differ from element to element, one dict for each, in order.

    Several names go side by side (`zip`, of equal lengths) or each with each (`product`, the last varies fastest).
    """
    columns = []
    for name in step.map:
        if name not in inputs:
            raise InvalidStep(step.name, f"--map {name}: it does not read {name!r}.", "Name what the body reads.")
        try:
            columns.append(list(inputs[name]))
        except TypeError:
            kind = type(inputs[name]).__name__
            raise InvalidStep(step.name, f"--map {name}: a value of type {kind} has no elements.") from None
    if step.map_mode is MapMode.ZIP and len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{name} has {len(column)}" for name, column in zip(step.map, columns, strict=True))
        raise InvalidStep(
            step.name,
            f"the mapped names differ in length: {lengths}.",
            "For each with each write --map-mode product.",
        )
    rows: Iterable[tuple[Any, ...]]
    rows = itertools.product(*columns) if step.map_mode is MapMode.PRODUCT else zip(*columns, strict=True)
    return [dict(zip(step.map, row, strict=True)) for row in rows]


class FanOut:
    """The elements of one attempt of a mapped step. `results` hold what each gave, None where it failed."""

    def __init__(self, step: Step, count: int, *, at_once: int, seed: str = "") -> None:
        self.count = count
        self.results: list[dict[str, Any] | None] = [None] * count
        self.done = 0
        self.failed: list[int] = []
        self.first_error: ErrorInfo | None = None
        # Nothing new begins while this is so; what runs goes on.
        self.is_held = False
        self._step = step
        self._seed = seed
        self._free = at_once
        self._next = 0
        self._again: deque[int] = deque()
        self._waiting = 0
        self._running = 0
        self._tries: dict[int, int] = {}
        self._is_stopped = False

    @property
    def least(self) -> int:
        """How many elements must complete."""
        policy = self._step.map_errors
        return self.count if policy == "fail" else 0 if policy == "collect" else min(int(policy), self.count)

    @property
    def is_hopeless(self) -> bool:
        """Whether too few elements can complete any more."""
        return self.count - len(self.failed) < self.least

    @property
    def is_ended(self) -> bool:
        """Whether nothing runs, waits or is left to begin."""
        return not self._running and (self._is_stopped or (self.done == self.count and not self._waiting))

    def take(self, element: int, given: dict[str, Any]) -> None:
        """An element has given this before, and is not begun; to be called before any other is."""
        self.results[element] = given
        self.done += 1

    def starts(self) -> list[tuple[int, int]]:
        """The elements to begin now, as position and attempt."""
        found = []
        while self._free and not self._is_stopped and not self.is_held:
            if self._again:
                element = self._again.popleft()
            else:
                while self._next < self.count and self.results[self._next] is not None:
                    self._next += 1
                if self._next == self.count:
                    break
                element, self._next = self._next, self._next + 1
            self._free -= 1
            self._running += 1
            tried = self._tries[element] = self._tries.get(element, 0) + 1
            found.append((element, tried))
        return found

    def completed(self, element: int, given: dict[str, Any]) -> ElementEnd:
        """An element has given its values."""
        tried = self._tries[element]
        self._end(element)
        self.results[element] = given
        self.done += 1
        return ElementEnd(element, tried, gave=", ".join(type(value).__name__ for value in given.values()))

    def failed_once(self, element: int, error: ErrorInfo, retry_after_s: float | None = None) -> float | None:
        """An attempt of an element failed: after how many seconds the next is `due`, or None if there is none."""
        tried = self._tries[element]
        retry = self._step.retry
        if tried <= retry.retries and not self._is_stopped and retry.allows(error.names):
            self._release()
            self._waiting += 1
            if retry_after_s is not None:
                return retry_after_s
            return retry.wait_s(tried, seed=f"{self._seed}/{self._step.name}/{element}")
        self._end(element)
        self.done += 1
        self.failed.append(element)
        self.first_error = self.first_error or error
        if self.is_hopeless:
            self.stop()
        return None

    def due(self, element: int) -> None:
        """The wait of an element is over."""
        self._waiting -= 1
        self._again.append(element)

    def ended_unheard(self, element: int) -> None:
        """An element ended because it was told to."""
        self._end(element)

    def stop(self) -> None:
        """Nothing new begins."""
        self._is_stopped = True

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What was given, as one list a name, in the order of the elements; None for an element that failed."""
        found = list(dict.fromkeys([*names, *(name for given in self.results if given for name in given)]))
        return {name: [None if given is None else given.get(name) for given in self.results] for name in found}

    def _end(self, element: int) -> None:
        self._release()
        self._tries.pop(element, None)

    def _release(self) -> None:
        self._running -= 1
        self._free += 1
