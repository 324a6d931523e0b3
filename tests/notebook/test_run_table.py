"""The rows of the table of runs: what its buttons may offer."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import szal_nb as szal
from szal_nb.notebook.run_table import RunTable


def test_a_run_whose_answer_is_in_doubt_is_told_from_one_that_failed_otherwise(tmp_path):
    flow = szal.Flow("f")
    flow.step(name="xs")(lambda: [1])

    @flow.step(pure=["xs"])
    def change(xs, broken):
        xs.append(1 / broken)

    with szal.open_store(tmp_path / "runs.db") as store:
        for broken in (1, 0):
            assert szal.run(flow, {"broken": broken}, store=store).state == "failed"
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE turns SET crc = 0")
        table = RunTable(store, store.runs, resume=lambda _: None, loop=None)

        assert [row["doubted"] for row in table.widget.rows] == [False, True]
