"""What it costs to execute one more cell of a notebook with 100, 1,000 and 10,000 steps.

Run: python -m benchmarks.bench_definition [--check]. A session in this process executes the cells, as in a kernel but
without its messages. Times are CPU microseconds an execution; a ratio is to the same in the notebook of 100 steps.
What an execution leaves to be looked at counts with it: after each, a step is put at the end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from szal_nb.notebook.session import Session

COUNTS = (100, 1_000, 10_000)
TIMES = 30
RATIO = 3.0
SHAPES: dict[str, Callable[[int], str]] = {
    "chain": lambda n: f"g{n} = g{n - 1} + [{n}]\nprint(len(g{n}))" if n else "g0 = [0]",
    "fan": lambda n: f"g{n} = [g0, {n}]" if n else "g0 = [0]",
    "layers": lambda n: (
        f"g{n} = [g{n // 10 * 10 - 10 + n * 7 % 10}, g{n // 10 * 10 - 10 + n * 3 % 10}]" if n >= 10 else f"g{n} = [{n}]"
    ),
    "one value": lambda n: f"g{n} = [{n}]\nall_of_them.append(g{n})" if n else "all_of_them = []",
    "loops": lambda n: f"for row in [[1], [2]]:\n    g{n} = row",
}


class Book:
    """A notebook whose cells are executed by a session of its own."""

    def __init__(self, shape: str) -> None:
        self._shell: Any = InteractiveShell.instance()
        self._shell.parent_header = {}
        self._session = Session(self._shell)
        self._shape = SHAPES[shape]
        self.count = 0

    def execute(self, key: str, code: str) -> None:
        """One cell."""
        self._shell.parent_header = {
            "header": {"msg_id": f"{key}/{time.monotonic_ns()}"},
            "metadata": {"cellId": key},
            "content": {"code": code},
        }
        info = SimpleNamespace(raw_cell=code)
        self._session.before_cell(info)
        if code.startswith("%%szal_step "):
            line, _, body = code.partition("\n")
            self._session.define_cell(line.removeprefix("%%szal_step "), body)
        self._session.after_cell(SimpleNamespace(success=True, info=info))

    def step(self, number: int, more: str = "") -> None:
        """The cell of a step, for the first time or again."""
        self.execute(f"c{number}", f"%%szal_step s{number}\n{self._shape(number)}{more}")

    def append(self) -> None:
        """One more step at the end."""
        self.step(self.count)
        self.count += 1

    def exchange(self, round_: int) -> None:
        """A step in the middle with another text."""
        self.step(self.count // 2, f"\n# {round_}")
        self.append()

    def plain(self, round_: int) -> None:
        """An ordinary cell that gives a name, then another one."""
        self.execute("plain", f"plain_{round_ % 2} = {round_}")
        self.append()

    def remove(self, round_: int) -> None:
        """A cell with a step that nobody reads is deleted."""
        self.execute(f"extra{round_}", f"%%szal_step extra{round_}\nextra_{round_} = {round_}")
        self.append()
        self._session.delete_cells([f"extra{round_}"])
        self.append()


def figures(shape: str, count: int) -> dict[str, float]:
    """Microseconds of each kind of execution, in a notebook of so many steps."""
    book = Book(shape)
    while book.count < count:
        book.append()
    works: dict[str, Callable[[int], None]] = {
        "append": lambda _: book.append(), "exchange": book.exchange, "plain": book.plain, "remove": book.remove,
    }  # fmt: skip
    return {name: min(_measured(work, round_) for round_ in range(TIMES)) for name, work in works.items()}


def _measured(work: Callable[[int], None], round_: int) -> float:
    begun = time.process_time()
    work(round_)
    return (time.process_time() - begun) * 1e6


def main() -> int:
    """Prints the table; 1 if `--check` is asked for and a ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a ratio is missed")
    is_checked, missed = parser.parse_args().check, []
    print(f"{'µs an execution':<12}{'steps':>8}{'append':>17}{'exchange':>17}{'plain':>17}{'remove':>17}")
    for shape in SHAPES:
        least: dict[str, float] = {}
        for count in COUNTS:
            found = figures(shape, count)
            least = least or found
            texts = (f"{us:>10.0f} ({us / least[name]:>4.1f})" for name, us in found.items())
            print(f"{shape:<12}{count:>8}{''.join(texts)}", flush=True)
            missed += [f"{shape} {count} {name}" for name, us in found.items() if us / least[name] > RATIO]
    for what in missed:
        print(f"missed: {what}: at most {RATIO:g} times the same with {COUNTS[0]} steps")
    return 1 if is_checked and missed else 0


if __name__ == "__main__":
    sys.exit(main())
