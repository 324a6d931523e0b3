"""A real kernel, driven over the protocol as a front end drives it, for tests."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KINDS = ("stream", "display_data", "execute_result", "error", "update_display_data", "clear_output")


class Cell:
    """A cell that was executed, and all that was shown under it, also late."""

    def __init__(self, kernel: Kernel, message_id: str) -> None:
        self._kernel = kernel
        self.message_id = message_id
        self.outputs: list[Mapping[str, Any]] = []
        self.is_idle = False
        self.reply: Mapping[str, Any] = {}

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(m["content"]["text"] for m in self.outputs if m["msg_type"] == "stream")

    @property
    def shown(self) -> list[Mapping[str, Any]]:
        """The mimebundles that were displayed."""
        return [m["content"]["data"] for m in self.outputs if m["msg_type"] in ("display_data", "execute_result")]

    @property
    def plain(self) -> str:
        """The plain text of all that was displayed."""
        return "\n".join(str(data.get("text/plain", "")) for data in self.shown)

    @property
    def error(self) -> str:
        """The error's name and text, "" if there is none."""
        return f"{self.reply['ename']}: {self.reply['evalue']}" if self.reply.get("status") == "error" else ""

    @property
    def tracebacks(self) -> str:
        """All errors shown under the cell, without colours."""
        errors = [m["content"]["traceback"] for m in self.outputs if m["msg_type"] == "error"]
        return _ANSI.sub("", "\n".join("\n".join(lines) for lines in errors))


class Kernel:
    """One kernel and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self._manager = manager
        self._client = manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._cells: dict[str, Cell] = {}
        # What each comm that this front end opened was told.
        self._comms: dict[str, list[Mapping[str, Any]]] = {}
        self._subshell: str | None = None

    def connect(self) -> None:
        """Another front end connects, and goes away again."""
        other = self._manager.blocking_client()
        other.start_channels()
        other.wait_for_ready(timeout=60)
        other.stop_channels()

    def send(
        self, code: str, *, cell_id: str | None = None, may_ask: bool = True, deleted: tuple[str, ...] = ()
    ) -> Cell:
        """Begins to execute a cell."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": may_ask,
            "stop_on_error": False,
        }
        metadata = {"cellId": cell_id, "deletedCells": list(deleted)} if cell_id is not None else {}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        cell = self._cells[message["header"]["msg_id"]] = Cell(self, message["header"]["msg_id"])
        self._client.shell_channel.send(message)
        return cell

    def run(self, code: str, *, timeout_s: float = 60, answer: str | None = None, **options: Any) -> Cell:
        """Executes a cell and waits for its end; `answer` is typed when it asks."""
        cell = self.send(code, **options)
        self.until(lambda: cell.is_idle and cell.reply, timeout_s=timeout_s, answer=answer)
        return cell

    def value(self, expression: str) -> Any:
        """The value of an expression in the notebook, which must be plain."""
        cell = self.run(f"print(repr(({expression})))")
        assert not cell.error, cell.tracebacks
        return eval(cell.text)  # noqa: S307 - a literal that the test asked for

    def until(self, holds: Callable[[], Any], *, timeout_s: float = 30, answer: str | None = None) -> None:
        """Takes messages until `holds()`; fails after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s} s")
            self._take(answer)

    def settle(self, for_s: float = 0.3) -> None:
        """Takes messages until none has come for a while."""
        quiet = time.monotonic() + for_s
        while time.monotonic() < quiet:
            if self._take(None):
                quiet = time.monotonic() + for_s

    def _take(self, answer: str | None) -> bool:
        try:
            message = self._client.iopub_channel.get_msg(timeout=0.02)
        except Empty:
            message = None
        else:
            cell = self._cells.get(message["parent_header"].get("msg_id", ""))
            told = self._comms.get(message["content"].get("comm_id", ""))
            if told is not None:
                told.append(message["content"]["data"])
            if cell is not None and message["msg_type"] in _KINDS:
                cell.outputs.append(message)
            elif cell is not None and message["msg_type"] == "status":
                cell.is_idle = message["content"]["execution_state"] == "idle"
        while self._client.shell_channel.msg_ready():
            reply = self._client.shell_channel.get_msg(timeout=1)
            cell = self._cells.get(reply["parent_header"].get("msg_id", ""))
            if cell is not None:
                cell.reply = reply["content"]
        while self._client.stdin_channel.msg_ready():
            self._client.stdin_channel.get_msg(timeout=1)
            self._client.input(answer or "")
        return message is not None

    def click(self, model_id: str, content: Mapping[str, Any]) -> None:
        """Sends what a button of the widget sends."""
        data = {"method": "custom", "content": dict(content)}
        message = self._client.session.msg("comm_msg", {"comm_id": model_id, "data": data})
        self._client.shell_channel.send(message)

    def open_comm(self, target: str, *, on_subshell: bool = False) -> list[Mapping[str, Any]]:
        """Opens a comm, as JupyterLab on a subshell of its own if asked; the list grows by what is told over it."""
        if on_subshell:
            self._client.control_channel.send(self._client.session.msg("create_subshell_request", {}))
            self._subshell = self._client.control_channel.get_msg(timeout=30)["content"]["subshell_id"]
        number = f"comm-{len(self._comms)}"
        told = self._comms[number] = []
        content = {"comm_id": number, "target_name": target, "data": {}}
        self._send_comm("comm_open", content)
        return told

    def tell(self, told: list[Mapping[str, Any]], data: Mapping[str, Any]) -> None:
        """Sends something over the comm that `open_comm` gave `told` for."""
        number = next(number for number, other in self._comms.items() if other is told)
        content = {"comm_id": number, "data": dict(data)}
        self._send_comm("comm_msg", content)

    def _send_comm(self, kind: str, content: Mapping[str, Any]) -> None:
        message = self._client.session.msg(kind, content)
        if self._subshell is not None:
            message["header"]["subshell_id"] = self._subshell
        self._client.shell_channel.send(message)

    def complete(self, code: str) -> list[str]:
        """What Tab offers at the end of `code`."""
        message_id = self._client.complete(code, len(code))
        while True:
            reply = self._client.shell_channel.get_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == message_id:
                return list(reply["content"]["matches"])

    def interrupt(self) -> None:
        """As the Interrupt button."""
        self._manager.interrupt_kernel()

    def shutdown(self) -> None:
        """As closing the notebook: the kernel is asked to end."""
        self._client.stop_channels()
        self._manager.shutdown_kernel()
        self._manager.cleanup_resources()

    def kill(self) -> None:
        """As `kill -9`."""
        self._manager.signal_kernel(9)


@contextmanager
def running_kernel(folder: Path, python: str | None = None, **environment: str) -> Iterator[Kernel]:
    """A kernel whose working directory is `folder`, with the extension not yet loaded."""
    manager = KernelManager()
    if python is not None:
        argv = [python, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        manager._kernel_spec = KernelSpec(argv=argv, display_name="other", language="python")
    place = {"IPYTHONDIR": str(folder / ".ipython"), "SZAL_STORE": str(folder / ".szal" / "runs.db")}
    # IPython's history on disk is several syncs a cell, which is seconds where a disk is slow.
    in_memory = ["--HistoryManager.hist_file=:memory:"]
    manager.start_kernel(cwd=str(folder), env={**os.environ, **place, **environment}, extra_arguments=in_memory)
    kernel = Kernel(manager)
    try:
        yield kernel
    finally:
        kernel.shutdown()
