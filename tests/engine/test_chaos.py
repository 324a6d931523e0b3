"""Thousands of random runs; `SZAL_TORTURE=200000` plays so many. A failure names the seed that plays it again."""

from __future__ import annotations

import os

import pytest

from szal_nb.engine.ending import Ending
from szal_nb.engine.ledger import Ledger
from szal_nb.engine.limit import Limit
from tests.engine.chaos import check

SEEDS = int(os.environ.get("SZAL_TORTURE", "2000"))
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(0 if SEEDS > 2000 else 300)
def test_what_must_hold_holds_for_every_random_run(part):
    for seed in range(part, SEEDS, PARTS):
        check(seed)


def test_a_seed_plays_the_same_run_again():
    assert [check(seed) for seed in range(40)] == [check(seed) for seed in range(40)]


def no_limit(self, i, at):
    return True


def undo_in_order(self, at, undo=Ending._undo):
    self._undoable.reverse()
    undo(self, at)


def start_at_once(self, i, outcome, at, settle=Ledger._settle):
    settle(self, i, outcome, at)
    for target, _, _ in self.wiring.successors[i]:
        if self._outcome[target] == 0 and not self._is_triggered[target]:
            self._trigger(target, at)


@pytest.mark.parametrize(
    ("where", "name", "fault"),
    [(Limit, "has_room", no_limit), (Ending, "_undo", undo_in_order), (Ledger, "_settle", start_at_once)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_planted_fault_is_found(where, name, fault, monkeypatch):
    monkeypatch.setattr(where, name, fault)

    found = None
    for seed in range(300):
        try:
            check(seed)
        except Exception as error:  # noqa: BLE001  whatever the fault breaks
            found = error
            break
    assert any("plays it again" in note for note in found.__notes__)
