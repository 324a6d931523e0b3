"""Bodies in processes of their own: spawned, kept warm, and killable, which a thread is not.

A process is spawned by its program, never forked, and runs one body at a time. Body, inputs and what is given travel
as cloudpickle frames over its standard streams; what the body shows comes back while it runs. A process whose parent
is gone reads the end of its input and ends.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import subprocess
import sys
import threading
from typing import IO, Any

from szal_nb.engine.attempt import Attempt, RemoteFailure
from szal_nb.engine.body import Body
from szal_nb.engine.frame import packed, read_frame, write_frame
from szal_nb.errors import RetryAfter, RunError, StopRun

# So many processes are kept when they have nothing to do.
_KEPT_IDLE = os.cpu_count() or 1


class ProcessBody:
    """Stands in for a body: calls it in a process, from the thread that it is called on."""

    is_async = False

    def __init__(self, attempt: Attempt, pool: ProcessPool) -> None:
        self._attempt = attempt
        self._body = attempt.body
        self._pool = pool

    def definition(self, name: str) -> Any:
        """As that of the body."""
        return self._body.definition(name)

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Runs once, in some process; raises CancelledError if that was killed because the attempt was told to end."""
        return self._pool.call(self._body, inputs, self._attempt)


class ProcessPool:
    """Warm processes. One is made when none is idle: the machine's limits say how many that are."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def call(self, body: Body, inputs: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        """What `body` gives for these inputs. Blocks the calling thread."""
        # A program looks at the devices once: those of another step must not be in its mind.
        devices = attempt.context.devices
        worker = _Worker(devices) if devices else self._take()
        attempt.stop = worker.kill
        try:
            if attempt.context.cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 it was told to end before the process knew of it
            given = worker.call(body, inputs, attempt)
        except _Gone as error:
            worker.kill()
            if attempt.context.cancelled:
                raise asyncio.CancelledError from None
            step, code = attempt.context.step, error.args[0]
            raise RunError(f"The process of step {step!r} ended with exit code {code} before its body did.") from None
        except (RemoteFailure, RetryAfter, StopRun):
            self._give_back(worker)
            raise
        except BaseException:
            worker.kill()
            raise
        finally:
            attempt.stop = None
        self._give_back(worker)
        return given

    def close(self) -> None:
        """Ends the idle processes."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                worker.kill()
        return _Worker()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not worker.devices and not self._is_closed and len(self._idle) < _KEPT_IDLE and worker.is_alive:
                self._idle.append(worker)
                return
        worker.kill()


class _Gone(Exception):
    """The process ended in the middle of a call."""


class _Worker:
    """One process."""

    def __init__(self, devices: tuple[str, ...] = ()) -> None:
        self.devices = devices
        path = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 as `sys.path` has it
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "szal_nb.engine.process_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **visible},
        )
        self._killing = threading.Lock()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def call(self, body: Body, inputs: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        import cloudpickle  # late: heavy

        context = attempt.context
        known = (context.run_id, context.step, context.attempt, context.runs_again, context.devices, context.answer)
        request = (body, inputs, *known)
        payload = packed(request, context.step, "reads", inputs)
        try:
            write_frame(_of(self._process.stdin), payload)
            while True:
                frame = read_frame(_of(self._process.stdout))
                kind, content = cloudpickle.loads(frame)
                match kind:
                    case "output":
                        context.emit(content)
                    case "progress":
                        context.report(*content)
                    case "retry_after":
                        raise RetryAfter(*content)
                    case "stop":
                        raise StopRun(content)
                    case "failed":
                        raise RemoteFailure(content)
                    case _:
                        given: dict[str, Any] = content
                        return given
        except (EOFError, OSError):
            raise _Gone(self._process.wait()) from None

    def kill(self) -> None:
        """Ends the process at once; a second call does nothing."""
        with self._killing:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except (OSError, ValueError):
                # What was not written any more, to a process that is gone.
                continue


def _of(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise OSError("the process has no such stream")
    return stream


# One for all runs of this process, so that the next run finds it warm.
PROCESSES = ProcessPool()
atexit.register(PROCESSES.close)
