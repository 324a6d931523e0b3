"""What a panel beside the notebook asks of the runs of this kernel, over a comm of its own.

The front end opens the comm. Where the kernel has subshells it is answered at once, also while a cell holds the kernel.
A message that names a flow begins a run of it, or goes on with one; any other asks something of a run known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from szal_nb.api.picture import ACTIONS, obey
from szal_nb.errors import DefinitionError, RunError
from szal_nb.notebook.following import Following, Send
from szal_nb.notebook.run import NotebookRun
from szal_nb.widget.command import Command, CommandRefused, answer_at_once, parse_command

TARGET = "szal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A checked message that asks for a run: `run` is the earlier one that it goes on with or forks from."""

    action: str
    flow: str
    run: str | None = None
    step: str | None = None
    deleted_cells: tuple[str, ...] = ()


class Owner(Protocol):
    """Who has the runs of the kernel."""

    def begin(self, asked: Beginning) -> NotebookRun:
        """The run that is asked for, going on."""

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
        followed: dict[str, Following] = {}
        comm.on_msg(lambda message: self._receive(message["content"]["data"], comm.send, followed))
        comm.on_close(lambda _message: _stop(followed))
        comm.send({"type": "hello", "actions": list(ACTIONS)})

    def _receive(self, content: object, send: Send, followed: dict[str, Following]) -> None:
        message = content if isinstance(content, Mapping) else {}
        match message.get("action"):
            case "ping":
                send({"type": "ack", "id": message.get("id")})
            case "follow":
                self._follow(message, send, followed)
            case "unfollow":
                if (following := followed.pop(str(message.get("of")), None)) is not None:
                    following.stop()
            case _ if "flow" in message:
                self._receive_beginning(message, send)
            case _:
                self._receive_command(message, send)

    def _follow(self, message: Mapping[str, Any], send: Send, followed: dict[str, Following]) -> None:
        """Tells of a run that goes on here; of any other the record tells as well."""
        try:
            run = self._found(message.get("run"))
        except RunError as error:
            send({"type": "unknown", "id": message.get("id"), "text": str(error)})
            return
        if not run.is_active:
            send({"type": "unknown", "id": message.get("id"), "text": f"Run {run.id} has ended."})
            return
        number = message.get("id")
        following = followed[str(number)] = Following(run, number, send, self._loop)
        self._loop.call_soon_threadsafe(following.begin)

    def _receive_beginning(self, message: Mapping[str, Any], send: Send) -> None:
        number = message.get("id")
        try:
            asked = _beginning(message)
        except RunError as refusal:
            send({"type": "refused", "id": number, "text": str(refusal)})
            return
        send({"type": "ack", "id": number})
        self._loop.call_soon_threadsafe(self._begin, asked, number, send)

    def _begin(self, asked: Beginning, number: object, send: Send) -> None:
        try:
            run = self._owner.begin(asked)
        except DefinitionError as error:
            # As code the front end can do more about it: execute the cells that are missing, ask about their order.
            send({"type": "unknown", "id": number, "text": str(error)})
        except Exception as error:  # noqa: BLE001 - whatever is said against it belongs at the button
            send({"type": "refused", "id": number, "text": str(error) or type(error).__name__})
        else:
            send({"type": "done", "id": number, "run": run.id})

    def _receive_command(self, content: Mapping[str, Any], send: Send) -> None:
        try:
            run = self._found(content.get("run"))
            command = parse_command(content, steps=run.snapshot.steps, actions=ACTIONS)
        except CommandRefused as refusal:
            send({"type": "refused", "id": refusal.message_id, "text": str(refusal)})
        except RunError as error:
            # Not an end: the front end may know another way to reach the run.
            send({"type": "unknown", "id": content.get("id"), "text": str(error)})
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

    def _obey(self, run: NotebookRun, command: Command, send: Send) -> None:
        try:
            self._way_to(run)(command.as_dict())
        except Exception as error:  # noqa: BLE001 - whatever is said against it belongs at the button
            send({"type": "refused", "id": command.message_id, "text": str(error) or type(error).__name__})
        else:
            send({"type": "done", "id": command.message_id})

    def _way_to(self, run: NotebookRun) -> Callable[[Mapping[str, Any]], object]:
        picture = run.picture
        # A picture below a cell that shows the run goes on showing it.
        if picture is not None and picture.shows(run.id):
            return picture.obey
        return partial(obey, run) if run.is_active else partial(self._obey_ended, run)

    def _obey_ended(self, run: NotebookRun, command: Mapping[str, Any]) -> None:
        match command["action"]:
            case "resume":
                self._owner.begin(Beginning(action="resume", flow=run.flow, run=run.id))
            case "retry":
                obey(run, command)
            case _:
                raise RunError("There is no run going on.")


def _stop(followed: Mapping[str, Following]) -> None:
    for following in followed.values():
        following.stop()


def _beginning(message: Mapping[str, Any]) -> Beginning:
    """The message, checked: it comes from a browser."""
    deleted = message.get("deleted") or ()
    texts = {name: message.get(name) for name in ("action", "flow", "run", "step")}
    is_plain = all(value is None or isinstance(value, str) for value in texts.values())
    if not is_plain or not texts["action"] or not texts["flow"] or not isinstance(deleted, list | tuple):
        raise RunError("What is asked of a flow names an action and the flow, and as text a run or a step.")
    return Beginning(**texts, deleted_cells=tuple(str(cell) for cell in deleted))  # type: ignore[arg-type]
