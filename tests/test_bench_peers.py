"""The table of `make bench-peers`: nobody is left out silently."""

import sys

import pytest

from benchmarks.peers import compare
from benchmarks.peers.compare import BLOCKS, Figure, Row, Unable, figures_of, lines_of


def test_a_peer_that_cannot_be_measured_stands_in_the_table_with_the_reason():
    rows = (
        Row("ours", "szal", "functions"),
        Row("gone", "gone", "functions"),
        Row("weak", "weak", "functions"),
        Row("other", "other", reason="knows no functions"),
    )

    def measured(script, setting, shape, steps):
        if script == "weak" and shape == "fan":
            raise Unable("RecursionError")
        return Figure(0.002, {"szal": 2.0, "weak": 5.0}[script])

    found = figures_of(rows, 10, {"gone": "cannot be installed: no network"}, measured)

    assert [line.split() for line in lines_of(found)] == [
        ["ours", "2.0", "(1.00)", "2.0", "(1.00)", "2.0", "(1.00)", "2"],
        ["gone", "-", "-", "-", "-", "cannot", "be", "installed:", "no", "network"],
        ["weak", "5.0", "(2.50)", "-", "5.0", "(2.50)", "2", "RecursionError"],
        ["other", "-", "-", "-", "-", "knows", "no", "functions"],
    ]


def test_every_peer_is_pinned_and_named_in_every_block_it_could_stand_in():
    for peer in compare.PEERS:
        pinned = (compare.HERE / f"{peer}.txt").read_text().splitlines()
        assert all("==" in line for line in pinned), peer
    for title in ("coroutines, nothing recorded", "a record in SQLite, synced to the disk"):
        assert {row.script for row in BLOCKS[title]} == {*compare.OURS, *compare.PEERS}


def test_a_command_that_fails_is_told_by_its_last_words():
    with pytest.raises(Unable, match="^no such module$"):
        compare.run_quietly([sys.executable, "-c", "raise SystemExit('no such module')"], patience_s=60)
