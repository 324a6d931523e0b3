"""Values that may be used only on the thread that made them, and so may what these give."""

from __future__ import annotations

import re
from collections.abc import Iterable

from szal_nb.analysis.tables import words
from szal_nb.analysis.values import Value

# An engine of SQLAlchemy whose database is in memory: each thread has a connection, and so a database, of its own.
MEMORY_ENGINE = "sqlalchemy.create_engine in memory"
THREAD_BOUND = words("sqlite3.connect tkinter.Tk playwright.sync_api.sync_playwright turtle.Screen") | {MEMORY_ENGINE}
_MEMORY_URL = re.compile(r"sqlite(\+pysqlite)?://(/?|/:memory:)(\?.*)?")


def is_in_memory(dotted: str, url: str) -> bool:
    """Whether a call makes an engine of SQLAlchemy for a database in memory.

    >>> is_in_memory("sqlalchemy.create_engine", "sqlite://"), is_in_memory("sqlalchemy.create_engine", "sqlite:///a.db")
    (True, False)
    """
    is_engine = dotted.startswith(("sqlalchemy.", "sqlmodel.")) and dotted.endswith(".create_engine")
    return is_engine and _MEMORY_URL.fullmatch(url) is not None


def bound_kind(values: Iterable[Value]) -> str:
    """The kind of the first of these that is bound to its thread; empty if none is."""
    return next((value.kind for value in values if value.kind in THREAD_BOUND), "")
