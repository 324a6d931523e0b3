"""Takes what is told to a run to its machine, and what follows to the record, the fold and those who watch: in turns.

Write, act, show: in this order, in each turn. The machine's events go to the journal, then its actions are carried
out, then the sinks are shown the events. Signals that arrive while the journal is writing are joined into the next
turn: one turn, one transaction. Without a journal a turn is taken at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from szal_nb.engine.machine import RunMachine
from szal_nb.engine.signal import AttemptCompleted, Signal, Turn
from szal_nb.engine.values import Journal
from szal_nb.model.event import Event
from szal_nb.model.secret import SECRETS
from szal_nb.model.state import RunSnapshot

Sink = Callable[[Sequence[Event]], None]

log = logging.getLogger(__name__)


class Turns:
    """The turns of one run, on the current event loop. `act` carries out the actions of one.

    `may_wait`: while bodies follow each other on the loop (`is_serving`), the next turn may wait for the last of them,
    because nothing that a completed body lets start could start before those that are ready on the loop already.
    """

    def __init__(
        self,
        machine: RunMachine,
        snapshot: RunSnapshot,
        sinks: Sequence[Sink],
        act: Callable[[Turn], None],
        *,
        run_id: str,
        journal: Journal | None,
        may_wait: bool,
    ) -> None:
        self.journal = journal
        self.snapshot = snapshot
        self.sinks = list(sinks)
        # Those that are shown all events from the first output on: before that they have nothing to do.
        self.output_sinks: list[Sink] = []
        self.has_begun = False
        self.is_serving = False
        self._machine = machine
        self._act = act
        self._run_id = run_id
        self._may_wait = may_wait and journal is None
        self._inbox: list[Signal] = []
        # What people say before the run has begun (its inputs are being written down) is said to it then.
        self._early: list[Signal] = []
        self._is_taking = False
        self._news = asyncio.Event()
        self._is_ended = False
        self._end = asyncio.Event()

    def expect(self) -> None:
        """The run is about to begin, or to go on: what is said from now on is for it."""
        self.has_begun = False

    async def run(self, first: Signal) -> None:
        """Takes turns until the run has ended. Raises only what kept the record from being written."""
        self._inbox, self._early = [first, *self._early], []
        self.has_begun, self._is_ended = True, False
        self._end.clear()
        if self.journal is None:
            self.take()
            await self._end.wait()
        else:
            self._news.set()
            await self._pump(self.journal)

    def post(self, signal: Signal) -> None:
        """Takes in a signal, on the loop's thread."""
        if not self.has_begun:
            self._early.append(signal)
            return
        if self._is_ended:
            return
        self._inbox.append(signal)
        if self.journal is not None:
            self._news.set()
        elif not (self._may_wait and self.is_serving and type(signal) is AttemptCompleted and signal.stop is None):
            self.take()

    def take(self) -> None:
        """Takes in all that was told, where there is no journal to wait for."""
        if self.journal is not None or self._is_taking:
            # What is told while a turn is carried out belongs to the next one.
            return
        self._is_taking = True
        try:
            while self._inbox:
                signals, self._inbox = self._inbox, []
                turn = self._machine.handle(signals)
                events = SECRETS.masked_events(turn.events)
                # A condition that is evaluated next asks what has become of other steps.
                self.snapshot.apply_all(events)
                self._act(turn)
                if self.sinks or self._machine.has_shown:
                    self._show(events)
        finally:
            self._is_taking = False

    async def _pump(self, journal: Journal) -> None:
        while not self._is_ended:
            await self._news.wait()
            self._news.clear()
            signals, self._inbox = self._inbox, []
            turn = self._machine.handle(signals)
            events = SECRETS.masked_events(turn.events)
            if events:
                await journal.append(events)
                self.snapshot.apply_all(events)
            self._act(turn)
            self._show(events)

    def end(self) -> None:
        """The run has ended: nothing that is said from now on is for it."""
        self._is_ended = True
        self._end.set()

    def _show(self, events: Sequence[Event]) -> None:
        if self.output_sinks and self._machine.has_shown:
            self.sinks[:0] = self.output_sinks
            self.output_sinks.clear()
        for sink in self.sinks if events else ():
            try:
                sink(events)
            except Exception:
                log.exception("What shows run %s failed; the run itself goes on.", self._run_id)
