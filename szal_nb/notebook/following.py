"""A run that is told live to a panel: its picture, then what is new of it, until one of the two ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from szal_nb.model.event import Event
from szal_nb.notebook.run import NotebookRun
from szal_nb.widget.news import FRAME_S, run_news
from szal_nb.widget.view import graph_view, states_view

Send = Callable[[Mapping[str, Any]], None]


class Following:
    """One run and one picture of it, which is named by `number`. On the loop, but `stop`: any thread may call that."""

    def __init__(self, run: NotebookRun, number: object, send: Send, loop: Any) -> None:
        self._run = run
        self._number = number
        self._send = send
        self._loop = loop
        self._events: list[Event] = []
        self._is_due = False
        self._end: Callable[[], object] = _nothing

    def begin(self) -> None:
        """Tells how the run is, and goes on telling."""
        run = self._run
        state = states_view(run.graph, run.snapshot, run_id=run.id, now=time.time())
        self._send({"type": "picture", "of": self._number, "graph": graph_view(run.graph), "run": state})
        if run.snapshot.state.is_final:
            self._close()
        else:
            self._end = run.subscribe(self._take)

    def stop(self) -> None:
        """Tells nothing any more."""
        self._send = _unheard
        self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        self._end()
        self._end = _nothing

    def _take(self, events: Sequence[Event]) -> None:
        self._events += events
        if self._run.snapshot.state.is_final:
            self._flush()
            self._close()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_later(FRAME_S, self._flush)

    def _flush(self) -> None:
        self._is_due = False
        if not self._events:
            return
        events, self._events = self._events, []
        run = self._run
        news = run_news(run.graph, run.snapshot, events, run_id=run.id, now=time.time())
        self._send({"type": "news", "of": self._number, "run": news})

    def _close(self) -> None:
        self._let_go()
        self._send({"type": "over", "of": self._number})


def _nothing() -> None:
    """There is nothing to end."""


def _unheard(_message: Mapping[str, Any]) -> None:
    """Nobody listens."""
