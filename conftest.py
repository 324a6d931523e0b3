"""`pytest --nbval` reads outputs as a front end does: `update_display_data` changes the output that it names.

nbval itself passes over that message, so a picture that goes on changing would be compared as it was at first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

Message = dict[str, Any]


class WithUpdates:
    """Gives the messages of a kernel's output channel, up to where it is idle, with later updates in them."""

    def __init__(self, receive: Callable[..., Message]) -> None:
        self._receive = receive
        self._ready: deque[Message] = deque()

    def __call__(self, timeout: float | None = None, stream: str = "iopub") -> Message:
        """The next message; raises `queue.Empty` after `timeout` seconds without one."""
        if stream != "iopub":
            return self._receive(timeout=timeout, stream=stream)
        if not self._ready:
            self._ready.extend(self._up_to_idle(timeout))
        return self._ready.popleft()

    def _up_to_idle(self, timeout: float | None) -> list[Message]:
        messages: list[Message] = []
        shown: dict[str, Message] = {}
        while not messages or messages[-1]["content"].get("execution_state") != "idle":
            message = self._receive(timeout=timeout, stream="iopub")
            content = message["content"]
            display_id = content.get("transient", {}).get("display_id")
            if message["msg_type"] == "update_display_data":
                if display_id in shown:
                    shown[display_id]["data"] = content["data"]
                continue
            if display_id is not None:
                shown[display_id] = content
            messages.append(message)
        return messages


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Notebooks that nbval collects are read through `WithUpdates`."""
    if type(collector).__name__ == "IPyNbFile":
        collector.get_kernel_message = WithUpdates(collector.get_kernel_message)  # type: ignore[attr-defined]
