"""What a panel beside the notebook asks of the runs of this kernel, over a comm of its own.

The front end opens the comm. Where the kernel has subshells it is answered at once, also while a cell holds the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from szal_nb.api.picture import ACTIONS, obey
from szal_nb.errors import RunError
from szal_nb.notebook.run import NotebookRun
from szal_nb.widget.command import Command, CommandRefused, answer_at_once, parse_command

TARGET = "szal"


class Owner(Protocol):
    """Who has the runs of the kernel."""

    def find(self, run_id: str | None) -> NotebookRun:
        """The run with this id."""


class Remote:
    """The kernel's end of all such comms. Messages may come on any thread; what they ask for is done on `loop`."""

    def __init__(self, owner: Owner, loop: Any) -> None:
        self._owner = owner
        self._loop = loop

    def listen(self, manager: Any) -> None:
        """From now on front ends can open the comm."""
        manager.register_target(TARGET, self._opened)

    def _opened(self, comm: Any, _message: object) -> None:
        answer_at_once(comm)
        comm.on_msg(lambda message: self._receive(message["content"]["data"], comm.send))
        comm.send({"type": "hello", "actions": list(ACTIONS)})

    def _receive(self, content: object, send: Callable[[Mapping[str, Any]], None]) -> None:
        run_id = content.get("run") if isinstance(content, Mapping) else None
        try:
            run = self._found(run_id)
            command = parse_command(content, steps=run.snapshot.steps, actions=ACTIONS)
        except CommandRefused as refusal:
            send({"type": "refused", "id": refusal.message_id, "text": str(refusal)})
        except RunError as error:
            # Not an end: the front end may know another way to reach the run.
            number = content.get("id") if isinstance(content, Mapping) else None
            send({"type": "unknown", "id": number, "text": str(error)})
        else:
            send({"type": "ack", "id": command.message_id})
            self._loop.call_soon_threadsafe(self._obey, run, command, send)

    def _found(self, run_id: object) -> NotebookRun:
        if not isinstance(run_id, str) or not run_id:
            raise RunError("A command names its run.")
        run = self._owner.find(run_id)
        if run.id != run_id:
            raise RunError(f"This kernel has no run {run_id}.")
        return run

    def _obey(self, run: NotebookRun, command: Command, send: Callable[[Mapping[str, Any]], None]) -> None:
        # A picture below a cell that shows the run goes on showing it.
        picture = run.picture
        follow = picture.obey if picture is not None and picture.shows(run.id) else partial(obey, run)
        try:
            follow(command.as_dict())
        except Exception as error:  # noqa: BLE001 - whatever is said against it belongs at the button
            send({"type": "refused", "id": command.message_id, "text": str(error) or type(error).__name__})
        else:
            send({"type": "done", "id": command.message_id})
