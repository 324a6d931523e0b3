"""Rows by the thousand, as Python's sqlite3 takes them best.

Each statement gives up and takes back the interpreter's lock, so many rows go with one. And each parameter that is
None or a bool is looked up among the adapters, which costs as much as changing a small row: parameters are text and
numbers, and `nullable` makes NULL of empty text.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence
from itertools import chain

# SQLite before 3.32 takes 999 parameters.
_MOST_PARAMETERS = 512


def nullable(count: int) -> str:
    """So many parameters of which the empty text stands for NULL.

    >>> nullable(2)
    "nullif(?, ''), nullif(?, '')"
    """
    return ", ".join(["nullif(?, '')"] * count)


def insert_rows(connection: sqlite3.Connection, insert: str, row: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Inserts rows, at least one. `insert` is the statement up to and with VALUES, `row` the expressions of a row."""
    at_once = _MOST_PARAMETERS // len(rows[0])
    whole = len(rows) - len(rows) % at_once
    for first in range(0, whole, at_once):
        parameters = tuple(chain.from_iterable(rows[first : first + at_once]))
        connection.execute(_statement(insert, row, at_once), parameters)
    if whole < len(rows):
        connection.executemany(_statement(insert, row, 1), rows[whole:])


@functools.lru_cache(maxsize=32)
def _statement(insert: str, row: str, rows: int) -> str:
    return f"{insert} {', '.join([f'({row})'] * rows)}"
