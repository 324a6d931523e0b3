"""The rows of `values` that hold what elements of a mapped step gave: `ys[3]` one, `ys[0-99]` several.

They are there as long as a resume may need them: until the step completes, or its elements begin anew.
"""

from __future__ import annotations

import sqlite3

# No name of Python ends so.
_END = "]"
_DROP = f"""DELETE FROM "values" WHERE step_id = ? AND name LIKE '%{_END}'"""  # noqa: S608 a constant
# A step that runs again has no values any more, but goes on with its elements.
SUPERSEDE = f"""
UPDATE "values" SET is_current = 0 WHERE step_id = ? AND name NOT LIKE '%{_END}'
"""  # noqa: S608 a constant


def drop_elements(connection: sqlite3.Connection, step_id: int, rows: list[tuple[object, ...]]) -> None:
    """Takes the elements of a step out of the table, and out of `rows` (of `projection`) that are on their way."""
    rows[:] = [row for row in rows if row[0] != step_id or not str(row[4]).endswith(_END)]
    connection.execute(_DROP, (step_id,))
