"""What a front end may ask for. Messages come from a browser and are not trusted: all is checked here."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from szal_nb.errors import RunError

ACTIONS = ("run", "pause", "resume", "cancel", "retry", "approve", "reject", "skip", "fork", "only")
QUESTIONS = ("details", "log", "history", "sync", "ping")
NEEDS_STEP = frozenset({"retry", "approve", "reject", "skip", "fork", "only", "details", "log"})

_VALUE_CHARS = 65_536
_ID_LIMIT = 2**53


class CommandRefused(RunError):
    """A front end asked for something that is not understood or not allowed; nothing was done."""

    def __init__(self, problem: str, message_id: int | None = None) -> None:
        super().__init__(problem, message_id)
        self.problem = problem
        self.message_id = message_id

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class Command:
    """A checked message: `action` is one of `ACTIONS` or `QUESTIONS`, `step` a step of the graph, `value` plain JSON.

    `message_id` is the front end's own number, sent back with every answer to it.
    """

    action: str
    step: str | None = None
    value: object = None
    message_id: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The form in which the owner of the widget gets it: action, and step and value where they are given."""
        message: dict[str, object] = {"action": self.action}
        if self.step is not None:
            message["step"] = self.step
        if self.value is not None:
            message["value"] = self.value
        return message


def parse_command(content: object, *, steps: Collection[str], actions: Collection[str] = ACTIONS) -> Command:
    """The command in a custom message; `CommandRefused`, which says why, for anything else.

    >>> parse_command({"action": "retry", "step": "load", "id": 7}, steps={"load"})
    Command(action='retry', step='load', value=None, message_id=7)
    """
    if not isinstance(content, Mapping):
        raise CommandRefused("A command is an object with an action.")
    message_id = content.get("id")
    if isinstance(message_id, bool) or not isinstance(message_id, int) or not 0 <= message_id < _ID_LIMIT:
        message_id = None
    action = content.get("action")
    if not isinstance(action, str) or (action not in actions and action not in QUESTIONS):
        raise CommandRefused(f"This picture has no action {_named(action)}.", message_id)
    step = content.get("step")
    if step is not None and (not isinstance(step, str) or step not in steps):
        raise CommandRefused(f"This flow has no step {_named(step)}.", message_id)
    if step is None and action in NEEDS_STEP:
        raise CommandRefused(f"The action {action!r} needs a step.", message_id)
    value = content.get("value")
    if value is not None:
        _check_value(value, message_id)
    return Command(action, step, value, message_id)


def answer_at_once(comm: Any) -> None:
    """Leaves each message of the comm on the subshell that its front end chose.

    ipykernel 7.4 sends them to the shell that used the comm last; while that one is busy, a click would wait for it.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001 - see above


def _check_value(value: object, message_id: int | None) -> None:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CommandRefused("The value is not plain JSON.", message_id) from error
    if len(text) > _VALUE_CHARS:
        raise CommandRefused(f"The value is longer than {_VALUE_CHARS} characters.", message_id)


def _named(thing: object) -> str:
    return repr(thing[:40]) if isinstance(thing, str) else f"of type {type(thing).__name__}"
