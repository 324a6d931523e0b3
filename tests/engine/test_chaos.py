"""Thousands of random runs; `SZAL_TORTURE=200000` plays so many. A failure names the seed that plays it again."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from szal_nb.engine.device import DeviceSlots
from szal_nb.engine.ending import Ending
from szal_nb.engine.fanout import FanOut
from szal_nb.engine.ledger import Ledger
from szal_nb.engine.limit import Limit, Starts
from szal_nb.engine.machine import _HANDLERS as HANDLERS
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.requirement import WHOLE
from szal_nb.engine.rollback import Rollback
from szal_nb.engine.signal import Cancel, EndRun, SetTimer
from szal_nb.engine.turns import Turns
from szal_nb.model.event import CancelRequested
from szal_nb.model.state import RunState
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


def no_rate(self, at, per_s):
    self._starts.clear()
    self.free = self.size


def no_device_is_taken(self, i):
    return tuple(range(max(1, self.weights[i] // WHOLE)))


def least_urgent_first(self, places, limits, init=Starts.__init__):
    init(self, [(-urgency, i) for urgency, i in places], limits)


def start_at_once(self, i, outcome, at, settle=Ledger._settle):
    settle(self, i, outcome, at)
    for target, _, _ in self.wiring.successors[i]:
        if self._outcome[target] == 0 and not self._is_triggered[target]:
            self._trigger(target, at)


def start_in_a_pause(self, signals, handle=RunMachine.handle):
    turn = handle(self, signals)
    if self.run_state is RunState.PAUSED:
        self._start_ready(turn.events[-1].at if turn.events else 0.0)
    return turn


def cancel_in_word_only(self, signal):
    self._events.append(CancelRequested(at=signal.at, reason=signal.reason))


def undo_in_order(self, at, undo=Ending._undo):
    self._undoable.reverse()
    undo(self, at)


def undo_nothing(self, at):
    self._end_failed(at, "not undone")


def undo_all_but_one(self, steps, left, seed="", init=Rollback.__init__):
    init(self, steps, left[1:], seed=seed)


def wait_for_no_retry(self, signals, handle=RunMachine.handle):
    turn = handle(self, signals)
    timers = [isinstance(action, SetTimer) for action in turn.actions]
    hasty = [replace(one, delay_s=0) if is_timer else one for one, is_timer in zip(turn.actions, timers, strict=True)]
    return replace(turn, actions=hasty)


def end_never(self, at, end=Ending._end):
    end(self, at)
    self._actions = [action for action in self._actions if not isinstance(action, EndRun)]


def all_elements_at_once(self, *args, init=FanOut.__init__, **more):
    init(self, *args, **{**more, "at_once": 10_000})


def forget_an_event(self, events, show=Turns._show):
    show(self, events[1:])


FAULTS = [
    (Limit, "has_room", no_limit),
    (Limit, "take_if_room", no_limit),
    (Limit, "_forget", no_rate),
    (DeviceSlots, "_place", no_device_is_taken),
    (Starts, "__init__", least_urgent_first),
    (Ledger, "_settle", start_at_once),
    (RunMachine, "handle", start_in_a_pause),
    (RunMachine, "_cancel", cancel_in_word_only),
    (Ending, "_undo", undo_in_order),
    (Ending, "_undo", undo_nothing),
    (Rollback, "__init__", undo_all_but_one),
    (RunMachine, "handle", wait_for_no_retry),
    (Ending, "_end", end_never),
    (FanOut, "__init__", all_elements_at_once),
    (Turns, "_show", forget_an_event),
]


@pytest.mark.parametrize(("where", "name", "fault"), FAULTS, ids=[fault.__name__ for _, _, fault in FAULTS])
def test_a_planted_fault_is_found(where, name, fault, monkeypatch):
    monkeypatch.setattr(where, name, fault)
    if (where, name) == (RunMachine, "_cancel"):
        monkeypatch.setitem(HANDLERS, Cancel, fault)

    found = None
    for seed in range(400):
        try:
            check(seed)
        except Exception as error:  # noqa: BLE001  whatever the fault breaks
            found = error
            break
    assert any("plays it again" in note for note in found.__notes__)
