"""How a step's body shows things in a notebook: by IPython's own formatters, into the attempt's context.

`display()` reaches the context because the kernel's publisher asks first whether the caller runs in a step.
"""

from __future__ import annotations

import copy
import linecache
from typing import Any

from IPython.core import ultratb

from szal_nb.engine.context import CURRENT, StepContext, body_traceback, current_context
from szal_nb.model.secret import SECRETS
from szal_nb.model.value import Output
from szal_nb.notebook.figures import separate_figures, show_figures
from szal_nb.notebook.mimebundle import plain_data, plain_metadata
from szal_nb.notebook.step_shell import refuse_to_ask


class NotebookPresenter:
    """The engine's `Presenter` for steps of a notebook. Its methods are called on the threads of the bodies."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def show(self, context: StepContext, value: Any) -> None:
        """Shows the value of the last expression, as the notebook shows that of a cell."""
        data, metadata = self._shell.display_formatter.format(value)
        if data:
            context.emit(Output(type="execute_result", data=plain_data(data), metadata=plain_metadata(metadata)))

    def finish(self, context: StepContext) -> None:
        """Shows the figures that the body left open."""
        show_figures(self._shell, context)

    def traceback(self, context: StepContext, error: BaseException) -> str:
        """The traceback as the notebook would show it, from the step's own frame on."""
        # A copy, because the formatter keeps the exception it is at, and bodies fail on many threads.
        formatter = copy.copy(self._shell.InteractiveTB)
        token = CURRENT.set(context)
        try:
            lines = formatter.structured_traceback(type(error), error, body_traceback(error), tb_offset=0)
        finally:
            CURRENT.reset(token)
        return _shortened("\n".join(lines))


# A longer traceback tells no more; the record keeps its beginning and its end, in characters.
_LONGEST_TRACEBACK = 100_000


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters are left out …\n{text[-half:]}"


def find_sources() -> None:
    """From now on tracebacks of steps show the source of each frame.

    IPython takes the cells of a kernel for files that are gone, and then shows a comprehension by the first line of
    its cell, and an endless recursion by all its frames.
    """
    count = getattr(ultratb, "get_line_number_of_frame", None)
    if count is None:
        return

    def count_lines(frame: Any) -> int:
        if current_context() is not None and frame.f_code.co_filename in linecache.cache:
            return len(linecache.getlines(frame.f_code.co_filename))
        return int(count(frame))

    ultratb.get_line_number_of_frame = count_lines  # type: ignore[attr-defined]


def catch_displays(shell: Any) -> None:
    """From now on what a step's body displays goes to the step; everything else is published as before."""
    separate_figures()
    publisher = shell.display_pub
    publish, clear_output = publisher.publish, publisher.clear_output

    def publish_or_catch(data: Any, metadata: Any = None, **options: Any) -> Any:
        context = current_context()
        if context is None:
            return publish(data, metadata, **options)
        transient = options.get("transient") or {}
        context.emit(
            Output(
                type="update_display_data" if options.get("update") else "display_data",
                data=plain_data(data),
                metadata=plain_metadata(metadata or {}),
                display_id=transient.get("display_id"),
            )
        )
        return None

    def clear_or_keep(wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's form
        # The record of a step is never taken back, so what it clears stays.
        if current_context() is None:
            clear_output(wait)

    publisher.publish, publisher.clear_output = publish_or_catch, clear_or_keep


def refuse_questions(kernel: Any) -> None:
    """From now on what asks the person at the front end, such as `getpass`, raises inside of a step."""
    for name in ("raw_input", "getpass"):
        ask = getattr(kernel, name)

        def ask_or_refuse(*args: Any, ask: Any = ask, **options: Any) -> Any:
            __tracebackhide__ = True
            return ask(*args, **options) if current_context() is None else refuse_to_ask()

        setattr(kernel, name, ask_or_refuse)


def mask_messages(kernel: Any) -> None:
    """From now on no secret leaves the kernel in what a cell shows."""
    session = kernel.session
    send = session.send

    def send_masked(stream: Any, msg_or_type: Any, content: Any = None, *rest: Any, **options: Any) -> Any:
        if SECRETS and isinstance(msg_or_type, dict):
            if msg_or_type.get("msg_type") in _SHOWING:
                msg_or_type = {**msg_or_type, "content": SECRETS.masked_data(msg_or_type["content"])}
        elif SECRETS and msg_or_type in _SHOWING:
            content = SECRETS.masked_data(content)
        return send(stream, msg_or_type, content, *rest, **options)

    session.send = send_masked


# Messages that put text below a cell.
_SHOWING = frozenset({"stream", "display_data", "update_display_data", "execute_result", "error", "execute_reply"})
