"""The client that runs a notebook's cells in a kernel, headless.

Stock nbclient drops what arrives after its cell has ended, sends no cell ids, and leaves a kernel that is told to
stop to itself. This one keeps late output in the cell it belongs to, names the cells to the kernel, and turns
SIGINT into an interrupt of the kernel and SIGTERM into its orderly end; into an interrupt too, if that undoes a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum
from typing import Any

from nbclient.exceptions import CellExecutionComplete, CellExecutionError, DeadKernelError
from nbclient.util import ensure_async, run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from papermill.clientwrap import PapermillNotebookClient

from szal_nb.engine.terminal import overwritten
from szal_nb.model.secret import SECRETS
from szal_nb.notebook.takes import TO_LAUNCHER

# A kernel that has been interrupted gets this long to end its cell, before it is shut down; one that has something to
# undo gets longer. A second signal ends it at once.
INTERRUPT_GRACE_S = 15.0
ROLLBACK_GRACE_S = 3600.0
# What the kernel still had to say when its last cell was done comes within this time, or is lost.
DRAIN_S = 10.0


class Stop(Enum):
    """Why a notebook was not run to its end from outside."""

    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"


class Stopped(BaseException):
    """The notebook was told to stop by a signal. As with `KeyboardInterrupt`, no handler of errors may swallow it."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop


def death_said(code: int | None) -> str:
    """How a process ended, as the end of a sentence; `code` is negative for a signal.

    >>> death_said(-9), death_said(3), death_said(None)
    (' of SIGKILL (by hand, or because memory ran out)', ' with exit code 3', '')
    """
    if not code:
        return ""
    if code > 0:
        return f" with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f" of {name}" + (" (by hand, or because memory ran out)" if name == "SIGKILL" else "")


class SzalClient(PapermillNotebookClient):
    """Runs the cells of one notebook. `execute` blocks; `Stopped` and `DeadKernelError` leave it after clean-up.

    `is_undone_on_cancel`: a flow of the notebook has something undone when its run is cancelled. A signal is then an
    interrupt, whichever it is, and the kernel is left until that is done.
    """

    km: Any
    extra_arguments: Any
    is_undone_on_cancel = False
    # Is told what the kernel shows for whoever launched it, besides that it stands in the notebook.
    on_said: Callable[[str], None] = staticmethod(lambda _: None)

    def reset_execution_trackers(self) -> None:
        """Forgets what an earlier execution left."""
        super().reset_execution_trackers()
        self._cells: dict[str, tuple[NotebookNode, int]] = {}
        self._to_clear: set[int] = set()
        self._stop: Stop | None = None
        self._main: asyncio.Task[Any] | None = None
        self._running: bool = False
        self._helpers: set[asyncio.Task[None]] = set()

    def execute(self, **kwargs: Any) -> NotebookNode:
        """The notebook, executed; `kwargs` go to the start of the kernel."""
        self.reset_execution_trackers()
        run_sync(self._execute)(**kwargs)
        return self.nb

    async def _execute(self, **kwargs: Any) -> None:
        self._main = asyncio.current_task()
        with self._signals():
            try:
                async with self._kernel(**kwargs):
                    await self._execute_cells()
                    await self._drain()
            except (asyncio.CancelledError, DeadKernelError):
                # A cancelled wait looks to nbclient like a dead kernel.
                if self._stop is None:
                    raise
            if self._stop is not None:
                raise Stopped(self._stop)

    @contextlib.asynccontextmanager
    async def _kernel(self, **kwargs: Any) -> AsyncIterator[None]:
        try:
            if self.km is None:
                self.km = self.create_kernel_manager()
            if self.km.ipykernel:
                # What it logs (TCP, frozen modules, sockets closed at its end) is for people who start kernels by hand.
                self.extra_arguments = [*self.extra_arguments, "--IPKernelApp.log_level=CRITICAL"]
            # What a kernel says past its channels must not mix with what this program answers on its stdout.
            await self.async_start_new_kernel(stdout=2, **kwargs)
            try:
                await self.async_start_new_kernel_client()
            except RuntimeError as error:
                raise DeadKernelError(f"The kernel did not start: {error}") from error
            self.log.info("Executing notebook with kernel: %s", self.kernel_name)
            yield
        finally:
            # Its own task, so that a second signal, which cancels this one, leaves no kernel behind.
            await asyncio.shield(asyncio.ensure_future(self._end_kernel()))

    async def _end_kernel(self) -> None:
        if self.km is None or not self.km.has_kernel:
            return
        # Shutting down the usual way interrupts the kernel first, which would cancel the run that is to be resumed.
        with contextlib.suppress(RuntimeError):
            await ensure_async(self.km.request_shutdown(restart=False))
            await ensure_async(self.km.finish_shutdown())
        await self._async_cleanup_kernel()

    async def _execute_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            try:
                self.nb_man.cell_start(cell, index)
                await self.async_execute_cell(cell, index)
            except CellExecutionError as error:
                if not any(output.output_type == "error" for output in cell.get("outputs", ())):
                    # IPython prints what it calls a usage error, such as a magic that is not there.
                    cell.outputs.append(new_output("error", ename=error.ename, evalue=error.evalue, traceback=[]))
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                return
            except DeadKernelError as error:
                if self._stop is None:
                    how = death_said(await self.km.provisioner.poll())
                    error.args = (f"The kernel died{how}.",)
                    text = f"The kernel died{how}, while this cell was running."
                    cell.outputs.append(new_output("error", ename="DeadKernelError", evalue=text, traceback=[text]))
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                raise
            except BaseException as error:
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                raise
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)
            if self._stop is not None:
                return

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, *args: Any, **kwargs: Any) -> NotebookNode:
        """Executes one cell, telling the kernel the cell's id, as JupyterLab does."""
        self.kc.session.metadata = {"cellId": cell["id"]} if cell.get("id") else {}
        self._running = True
        try:
            return await super().async_execute_cell(cell, cell_index, *args, **kwargs)
        finally:
            self._running = False
            self.kc.session.metadata = {}

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: NotebookNode, cell_index: int) -> None:
        self._cells[parent_msg_id] = cell, cell_index
        await self._take_messages(parent_msg_id)

    async def _take_messages(self, until_idle: str) -> None:
        """Gives every message to the cell it belongs to, until the request `until_idle` is done."""
        while True:
            message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=None))
            parent = message["parent_header"].get("msg_id")
            is_own = parent == until_idle
            if not is_own and message["msg_type"] in ("status", "execute_input"):
                continue
            if parent in self._cells:
                with contextlib.suppress(CellExecutionComplete):
                    self.process_message(message, *self._cells[parent])
            if is_own and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return

    async def _drain(self) -> None:
        """Takes in what the kernel has said until now, with the last state of its widgets."""
        msg_id = await ensure_async(self.kc.kernel_info())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._take_messages(msg_id), DRAIN_S)
        info = await self.async_wait_for_reply(msg_id)
        if info is not None:
            self.nb.metadata["language_info"] = info["content"]["language_info"]
        self.set_widgets_metadata()

    def clear_output(self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """Clears a cell's output; one that is to wait for the next output waits for that of the same cell."""
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if msg["content"].get("wait") and not hooked:
            self._to_clear.add(cell_index)
        else:
            super().clear_output(outs, msg, cell_index)

    def output(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Adds an output to a cell; pieces of one stream that follow each other are one output, as in JupyterLab."""
        if cell_index in self._to_clear:
            self._to_clear.discard(cell_index)
            outs[:] = []
            self.clear_display_id_mapping(cell_index)
        count = len(outs)
        content = msg["content"] = SECRETS.masked_data(msg["content"])
        if content.get("metadata", {}).pop(TO_LAUNCHER, False):
            self.on_said(content["data"]["text/plain"])
        added = super().output(outs, msg, display_id, cell_index)
        if added is not None and len(outs) == count + 1 and count:
            last = outs[-2]
            if added["output_type"] == last["output_type"] == "stream" and added["name"] == last["name"]:
                # A secret may come in two messages, and a progress bar in thousands.
                last["text"] = overwritten(SECRETS.masked(last["text"] + added["text"]))
                outs.pop()
        return added

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop this execution, where it runs in the main thread."""
        loop = asyncio.get_running_loop()
        stops = {signal.SIGINT: Stop.INTERRUPTED, signal.SIGTERM: Stop.TERMINATED}
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # The terminal was closed, and nobody asked for the run to outlive it (nohup).
            stops[signal.SIGHUP] = Stop.TERMINATED
        before = {number: signal.getsignal(number) for number in stops}
        try:
            for number, stop in stops.items():
                loop.add_signal_handler(number, self._stop_by, stop)
        except (RuntimeError, ValueError, NotImplementedError):
            # Not the main thread, or a system without such handlers: whoever runs us must tell us.
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                if handler is not None:
                    signal.signal(number, handler)

    def _stop_by(self, stop: Stop) -> None:
        again, self._stop = self._stop is not None, stop if self._stop is None else self._stop
        if (stop is Stop.INTERRUPTED or self.is_undone_on_cancel) and not again and self._running:
            task = asyncio.ensure_future(self._interrupt())
            self._helpers.add(task)
            task.add_done_callback(self._helpers.discard)
        elif self._main is not None:
            self._main.cancel()

    async def _interrupt(self) -> None:
        """Lets the kernel end its cell by itself; cancels the wait for it if it does not."""
        await ensure_async(self.km.interrupt_kernel())
        await asyncio.sleep(ROLLBACK_GRACE_S if self.is_undone_on_cancel else INTERRUPT_GRACE_S)
        if self._running and self._main is not None:
            self._main.cancel()
