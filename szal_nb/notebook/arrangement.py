"""The steps of one flow in the order of the document, kept up while its cells are executed one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from szal_nb.model.step import Step
from szal_nb.notebook.document import Notebook


class Arranged(NamedTuple):
    """A step, the key of its cell, and when that cell first defined a step."""

    step: Step
    cell: str
    place: int


class Arrangement:
    """Steps with the keys of their cells. Where a change is more than one step at its place, `is_kept` is False then.

    Whoever knows all cells then says with `begin` how they stand.
    """

    def __init__(self) -> None:
        self.is_kept = False

    def begin(self, steps: Iterable[Arranged], saved: Notebook | None) -> None:
        """These are the steps, in this order, beside this file."""
        self._steps: list[Step] = []
        self._names: list[str] = []
        self._cell_of: dict[str, str] = {}
        self._cells: Counter[str] = Counter()
        self._last_cell: str | None = None
        self._last_place, self._last_number = -1, 0
        self._is_mixed = False
        self._numbers = saved.numbers if saved is not None else {}
        self._saved = saved
        self._all: tuple[Step, ...] | None = None
        self.is_kept = True
        for one in steps:
            self._add(one)

    def steps(self, saved: Notebook | None) -> tuple[Step, ...] | None:
        """The steps; None if they are not kept as this file has them."""
        if not self.is_kept or saved is not self._saved:
            return None
        if self._all is None:
            self._all = tuple(self._steps)
        return self._all

    def put(self, one: Arranged) -> None:
        """A cell has defined a step, or defined it again."""
        name, cell = one.step.name, one.cell
        if not self.is_kept:
            return
        if name in self._cell_of:
            self._exchange(one)
        elif cell == self._last_cell or (cell not in self._cells and self._is_lowest(one)):
            self._add(one)
        else:
            self.is_kept = False

    def drop(self, name: str) -> None:
        """A step is gone."""
        if not self.is_kept or name not in self._cell_of:
            return
        if self._is_mixed:
            # Cells that the file does not know keep their places among the others: these move up.
            self.is_kept = False
            return
        at = self._names.index(name)
        del self._names[at], self._steps[at]
        self._leave(name)
        self._all = None

    def forget(self) -> None:
        """Other things have changed."""
        self.is_kept = False

    def _exchange(self, one: Arranged) -> None:
        name, before = one.step.name, self._cell_of[one.step.name]
        if before != one.cell:
            if before in self._numbers or one.cell in self._numbers or one.cell in self._cells:
                self.is_kept = False
                return
            self._leave(name)
            self._cell_of[name] = one.cell
            self._cells[one.cell] += 1
        self._steps[self._names.index(name)] = one.step
        self._all = None

    def _leave(self, name: str) -> None:
        cell = self._cell_of.pop(name)
        self._cells[cell] -= 1
        if not self._cells[cell]:
            del self._cells[cell]
            self._last_cell = None if cell == self._last_cell else self._last_cell

    def _is_lowest(self, one: Arranged) -> bool:
        number = self._numbers.get(one.cell)
        return one.place > self._last_place and (number is None or number > self._last_number)

    def _add(self, one: Arranged) -> None:
        number = self._numbers.get(one.cell)
        is_other = number is None if self._last_number else number is not None
        self._is_mixed = self._is_mixed or (bool(self._cells) and is_other)
        self._last_place, self._last_number = max(self._last_place, one.place), max(self._last_number, number or 0)
        self._steps.append(one.step)
        self._names.append(one.step.name)
        self._cell_of[one.step.name] = one.cell
        self._cells[one.cell] += 1
        self._last_cell = one.cell
        self._all = None
