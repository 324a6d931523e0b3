"""The program of a worker process: takes a body and its inputs from its input, runs it, and gives back what it gave."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, Any

import cloudpickle

from szal_nb.engine.attempt import UNREADABLE, describe
from szal_nb.engine.capture import captured_streams
from szal_nb.engine.context import CURRENT, PlainPresenter, StepContext
from szal_nb.engine.frame import packed, read_frame, write_frame
from szal_nb.errors import RetryAfter, StopRun
from szal_nb.model.value import ElementEnd, ErrorInfo, Output


class _Context(StepContext, kw_only=True):
    """An attempt seen from inside of the process: what it shows goes to the parent at once, through `send`."""

    _send: Callable[[str, Any], None]

    def write(self, name: str, text: str) -> None:
        if text:
            self._send("output", Output(type="stream", name=name, text=text))

    def emit(self, output: Output) -> None:
        self._send("output", output)

    def report(self, done: float, total: float | None, note: str, ended: ElementEnd | None = None) -> None:  # noqa: ARG002 - elements end here, not there
        self._send("progress", (done, total, note))


def main() -> None:
    """Serves until the parent closes the input."""
    # What libraries print past Python must not fall between the frames.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_all, args=(sys.stdin.buffer, requests), daemon=True).start()
    while True:
        _serve(requests.get(), answers)


def _read_all(stream: IO[bytes], requests: SimpleQueue[bytes]) -> None:
    try:
        while True:
            requests.put(read_frame(stream))
    except EOFError:
        # The parent is gone or wants no more: a body that is still running has nobody to work for.
        os._exit(0)


def _serve(request: bytes, answers: IO[bytes]) -> None:
    lock = threading.RLock()

    def send(kind: str, content: Any) -> None:
        with lock:
            write_frame(answers, cloudpickle.dumps((kind, content)))

    context = _Context("", "", 0, PlainPresenter(), lambda _: None, _send=send)
    try:
        body, inputs, *named = cloudpickle.loads(request)
        context.run_id, context.step, context.attempt, context.runs_again, context.devices, context.answer = named
        CURRENT.set(context)
        with captured_streams():
            given = body.call(inputs)
        answer = packed(("gave", given), context.step, "gives", given)
        with lock:
            write_frame(answers, answer)
    except RetryAfter as error:
        send("retry_after", (error.seconds, error.message))
    except StopRun as error:
        send("stop", error.reason)
    except BaseException as error:  # noqa: BLE001  whatever a body throws is the outcome of its attempt
        send("failed", _described(error, context))
    finally:
        CURRENT.set(None)


def _described(error: BaseException, context: StepContext) -> ErrorInfo:
    try:
        return describe(error, context)
    except BaseException:  # noqa: BLE001  to look at an exception runs code of the user
        return ErrorInfo(type="RunError", message=UNREADABLE)


if __name__ == "__main__":
    main()
