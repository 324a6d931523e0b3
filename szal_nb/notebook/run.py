"""A run as a notebook has it: awaiting it gives its values to the notebook, and Interrupt ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.display import display

from szal_nb.api.handle import RunHandle
from szal_nb.api.run import Run
from szal_nb.errors import RunFailed, RunWaits
from szal_nb.model.event import Event, StepWaiting
from szal_nb.model.flow import RollbackOn
from szal_nb.model.state import StepState
from szal_nb.notebook.binding import Binder, Bound
from szal_nb.notebook.output import StepOutputs
from szal_nb.notebook.picture import Picture
from szal_nb.notebook.refusal import shorten

# If an interrupt was the beginning of a shutdown, the request for that comes within this time, in seconds.
_SHUTDOWN_FOLLOWS_S = 0.2
# How long a cell that was interrupted waits for its run to end, in seconds; headless, one that is undone has all time.
_CANCEL_S = 2.0


class NotebookRun(RunHandle):
    """As `RunHandle`; `bind()` gives its values to the notebook even where the notebook re-bound their names."""

    _binder: Binder
    _outputs: StepOutputs
    _request: Callable[[], Mapping[str, Any]]
    _keep: Callable[[NotebookRun], None]
    _settle: Callable[[], None]
    _started_in: str | None = None
    picture: Picture | None = None
    is_bound = False
    # What there is to say of the run when it has ended, besides its values.
    closing_word: Callable[[], str] | None = None

    def attach(
        self,
        binder: Binder,
        request: Callable[[], Mapping[str, Any]],
        outputs: StepOutputs,
        keep: Callable[[NotebookRun], None],
        settle: Callable[[], None],
    ) -> None:
        """Joins the run to its notebook: `request` gives the request of the cell that calls, `keep` minds live runs.

        `settle` is called when the run has ended, before its values are bound.
        """
        self._binder, self._request, self._outputs = binder, request, outputs
        self._keep, self._settle = keep, settle
        self._started_in = _id_of(request())
        keep(self)

    def _begin_again(self, index: int) -> None:
        super()._begin_again(index)
        # It is alive like any other: what it gives is bound when it ends, and an interrupt must wake its loop.
        self.is_bound = False
        self._keep(self)

    @property
    def is_done_with(self) -> bool:
        """Whether the run has ended and its values have been given to the notebook."""
        return self.is_bound and not self.is_active

    async def wait(self) -> NotebookRun:
        """Waits until the run has ended, and binds its values; if the cell is interrupted, the run is cancelled."""
        self._outputs.waiting = self._request() or self._outputs.waiting
        self.look_again()
        try:
            if self._outputs.is_attended:
                await super().wait()
            else:
                await self._wait_alone()
        except asyncio.CancelledError:
            # Front ends interrupt a kernel before they shut it down or restart it: its run can then be resumed.
            await asyncio.wait([self._task], timeout=_SHUTDOWN_FOLLOWS_S)
            if self.is_active and not self.snapshot.is_interrupted:
                self.cancel("interrupted")
                # The cell ends after the record: a headless run ends the kernel next.
                is_undone = not self._outputs.is_attended and self.graph.flow.undoes(RollbackOn.CANCEL)
                await asyncio.wait([self._task], timeout=None if is_undone else _CANCEL_S)
            raise
        self.bind_once()
        return self

    async def _wait_alone(self) -> None:
        """Nobody is there to answer: a run that waits for a person only is left for later, by RunWaits."""
        held: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

        may_wait = any(step.state is StepState.WAITING for step in self.snapshot.steps.values())

        def look(events: Sequence[Event]) -> None:
            nonlocal may_wait
            # To go through all steps at each event would cost more than they do.
            may_wait = may_wait or any(isinstance(event, StepWaiting) for event in events)
            steps = self.waiting_for_a_person() if may_wait else []
            if steps and not held.done():
                held.set_result(steps)

        unsubscribe = self.subscribe(look)
        look(())
        try:
            either: list[asyncio.Future[Any]] = [self._task, held]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            unsubscribe()
        if self.is_active and held.done():
            steps = held.result()
            await self.leave(f"{', '.join(steps)} {'waits' if len(steps) == 1 else 'wait'} for a person")
            raise RunWaits(self.id, tuple(steps))
        held.cancel()
        await super().wait()

    def raise_if_failed(self) -> Run:
        """As for any run; the notebook shows which steps failed, not where this was asked."""
        try:
            return super().raise_if_failed()
        except RunFailed as error:
            shorten(error)
            raise

    def bind(self) -> Bound:
        """Binds the run's values in the notebook, also over what the notebook re-bound since the start."""
        self._end()
        return self._binder.bind(self, force=True)

    def _end(self) -> None:
        if not self.is_bound:
            self._settle()
        self.is_bound = True

    def bind_once(self) -> None:
        """Binds the values of a run that has ended, the first time only, and says which names were left alone."""
        if self.is_bound or self.is_active:
            return
        self._end()
        for text in (str(self._binder.bind(self)), self.closing_word() if self.closing_word is not None else ""):
            if text:
                print(text)  # noqa: T201 - for the reader of the cell

    def _ipython_display_(self) -> None:
        """The live picture; nothing where this very cell shows it already."""
        if self.picture is None:
            print(repr(self))  # noqa: T201 - what IPython does with any object
        elif _id_of(self._request()) != self._started_in:
            display(self.picture.widget)


def _id_of(request: Mapping[str, Any]) -> str | None:
    header = request.get("header") or {}
    return header.get("msg_id")
