"""A notebook as its front end has it: cells with ids, executed one after another in a kernel that tests share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.notebook.kernels import Cell, Kernel

_numbers = itertools.count(1)

_CANCEL_ALL = """
import asyncio as _asyncio
for _run in get_ipython().find_line_magic("szal_run").__self__.runs._runs:
    if _run.is_active:
        _run.cancel("the test is over")
    while _run.is_active:
        await _asyncio.sleep(0.01)
"""


class Notebook:
    """Cells of one test. Each call of `cell` is a cell of its own, unless it names the cell that it changes."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._ids: list[str] = []

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        if "cell_id" not in options:
            options["cell_id"] = f"cell-{next(_numbers)}"
        if options["cell_id"] is not None:
            self._ids.append(options["cell_id"])
        return options

    def cell(self, code: str, **options: Any) -> Cell:
        """Executes a cell to its end."""
        return self.kernel.run(code, **self._options(options))

    def begin(self, code: str, **options: Any) -> Cell:
        """Begins to execute a cell."""
        return self.kernel.send(code, **self._options(options))

    def ok(self, code: str, **options: Any) -> Cell:
        """Executes a cell that must not fail."""
        cell = self.cell(code, **options)
        assert not cell.error, cell.tracebacks or cell.error
        return cell

    def step(self, line: str, body: str, **options: Any) -> Cell:
        """Executes a cell that defines a step."""
        return self.ok(f"%%szal_step {line}\n{body}", **options)

    def value(self, expression: str) -> Any:
        """A plain value of the notebook."""
        return self.kernel.value(expression)

    def close(self) -> None:
        """Deletes all cells, and their steps with them; what a test that failed left going on is no matter of the next."""
        closing = self.kernel.send(_CANCEL_ALL, cell_id="closing", deleted=tuple(self._ids))
        try:
            self.kernel.until(lambda: closing.is_idle, timeout_s=10)
        except TimeoutError:
            self.kernel.interrupt()
            self.kernel.until(lambda: closing.is_idle)


@contextmanager
def fresh_notebook(kernel: Kernel) -> Iterator[Notebook]:
    """A notebook without cells, in a kernel that has the extension."""
    notebook = Notebook(kernel)
    try:
        yield notebook
    finally:
        notebook.close()
