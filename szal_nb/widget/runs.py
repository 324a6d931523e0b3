"""The runs of a store as a live table: rows go out, questions and commands come in. Its owner reads the store.

Import late: ipywidgets and anywidget cost half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from szal_nb.widget.command import CommandRefused, answer_at_once
from szal_nb.widget.dag import STATIC, Loop
from szal_nb.widget.view import JsonObject

QUESTIONS = ("open", "details", "log", "compare", "refresh")
ACTIONS = ("resume", "delete")
_NEEDS_STEP = frozenset({"details", "log"})
_NAME_CHARS = 10_000

Request = Mapping[str, Any]


class RunsWidget(anywidget.AnyWidget):
    """A table of runs; below it the run that is opened, or two beside each other.

    `on_request` gets `{"action", "run", "other", "step"}` on `loop`, checked; what it gives back is the answer. An
    exception that it raises is shown. `text` and `markup` are for those who cannot show a widget.
    """

    _esm = STATIC / "runs.js"
    rows: traitlets.List[JsonObject] = traitlets.List().tag(sync=True)
    actions: traitlets.List[str] = traitlets.List().tag(sync=True)

    def __init__(
        self,
        rows: Sequence[JsonObject],
        *,
        on_request: Callable[[Request], JsonObject | None],
        loop: Loop,
        text: str,
        markup: str,
        actions: Collection[str] = ACTIONS,
    ) -> None:
        self._on_request = on_request
        self._loop = loop
        self._text = text
        self._markup = markup
        super().__init__(rows=list(rows), actions=list(actions))
        self.on_msg(self._receive)
        answer_at_once(self.comm)

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        """Any thread; the work is done on the loop."""
        try:
            request = self._checked(content)
        except CommandRefused as refusal:
            self.send({"type": "refused", "id": refusal.message_id, "text": str(refusal)})
            return
        self.send({"type": "ack", "id": request["id"]})
        self._loop.call_soon_threadsafe(self._answer, request)

    def _answer(self, request: Request) -> None:
        try:
            answer = self._on_request(request)
        except Exception as error:  # noqa: BLE001 - whatever the owner says to it belongs in the table
            self.send({"type": "refused", "id": request["id"], "text": str(error) or type(error).__name__})
            return
        self.send({**(answer or {"type": "done"}), "id": request["id"]})

    def _checked(self, content: object) -> Request:
        if not isinstance(content, Mapping):
            raise CommandRefused("A command is an object with an action.")
        number = content.get("id")
        number = number if isinstance(number, int) and not isinstance(number, bool) else None
        action = content.get("action")
        if not isinstance(action, str) or action not in (*QUESTIONS, *self.actions):
            raise CommandRefused("This table has no such action.", number)
        known = {row["id"] for row in self.rows}
        needed = {"refresh": (), "compare": ("run", "other")}.get(action, ("run",))
        request: dict[str, Any] = {"action": action, "id": number}
        for key in needed:
            run = content.get(key)
            if not isinstance(run, str) or run not in known:
                raise CommandRefused("The table has no such run any more.", number)
            request[key] = run
        if action in _NEEDS_STEP:
            step = content.get("step")
            if not isinstance(step, str) or len(step) > _NAME_CHARS:
                raise CommandRefused(f"The action {action!r} needs a step.", number)
            request["step"] = step
        return request

    def _repr_mimebundle_(self, **_options: object) -> tuple[JsonObject, JsonObject]:
        """The widget, and for those who cannot show it the rows as a table."""
        data: JsonObject = {"text/plain": self._text, "text/html": self._markup}
        if self.comm is not None:
            data["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            }
        return data, {}
