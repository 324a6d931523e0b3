"""Who owns a run: a process, named so that it is never mistaken for another, and whether it still lives."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import msgspec

from szal_nb.errors import StoreError

LEASE_S = 60.0
HEARTBEAT_S = 12.0


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A process: machine start, pid namespace, pid, and when the process began (a pid is used again, this is not).

    `host` is for people only.
    """

    boot_id: str
    pid_namespace: str
    pid: int
    started: str
    host: str = ""

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return _here(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Owner | None:
        """The process of this pid on this machine; None if there is none."""
        started = _start_of(pid)
        here = cls.here()
        return None if started is None else msgspec.structs.replace(here, pid=pid, started=started)

    @property
    def is_near(self) -> bool:
        """Whether this process can see the owner's: same boot of the same machine, same pid namespace."""
        here = Owner.here()
        return (self.boot_id, self.pid_namespace) == (here.boot_id, here.pid_namespace)

    def is_same(self, other: Owner) -> bool:
        """Whether both are one process."""
        return _key(self) == _key(other)

    def __str__(self) -> str:
        return f"process {self.pid}" + (f" on {self.host}" if self.host and not self.is_near else "")


def _key(owner: Owner) -> tuple[str, str, int, str]:
    return owner.boot_id, owner.pid_namespace, owner.pid, owner.started


class OrphanStays(StoreError):
    """The process of a killed run could not be ended."""

    def __init__(self, owner: str, reason: str) -> None:
        super().__init__(owner, reason)
        self.owner = owner
        self.reason = reason

    def __str__(self) -> str:
        return f"The run's old {self.owner} could not be ended: {self.reason}. End it by hand, then resume."


def is_alive(owner: Owner, lease_until: float | None = None, *, now: float | None = None) -> bool:
    """Whether the owner lives. Near: its process decides, whatever the lease says. Else only the lease does.

    The lease is in seconds since the epoch; None means given up.
    """
    if owner.is_near:
        return _start_of(owner.pid) == owner.started
    return lease_until is not None and lease_until > (time.time() if now is None else now)


def end_orphan(owner: Owner, *, timeout_s: float = 20.0) -> None:
    """Kills the near process and returns when it is gone; at once if it is gone already.

    Raises `OrphanStays` if it is not near, may not be killed, or does not go away.
    """
    if not owner.is_near:
        raise OrphanStays(str(owner), "it runs on another machine or in another container")
    handle = _handle_of(owner.pid)
    try:
        # Checked after the handle was opened: from here on the pid cannot become another process unseen.
        if _start_of(owner.pid) != owner.started:
            return
        _kill(owner.pid, handle)
        if not _wait_until_gone(owner, handle, timeout_s):
            raise OrphanStays(str(owner), f"it did not end within {timeout_s:g} s of SIGKILL")
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise OrphanStays(str(owner), "it belongs to another user") from error
    finally:
        if handle is not None:
            os.close(handle)


def _handle_of(pid: int) -> int | None:
    """A file descriptor that stands for the process itself, where the system has such (Linux)."""
    if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _kill(pid: int, handle: int | None) -> None:
    if handle is None:
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    else:
        signal.pidfd_send_signal(handle, signal.SIGKILL)


def _wait_until_gone(owner: Owner, handle: int | None, timeout_s: float) -> bool:
    if handle is not None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    deadline = time.monotonic() + timeout_s
    while _start_of(owner.pid) == owner.started:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@functools.lru_cache(maxsize=2)
def _here(pid: int) -> Owner:
    # Cached by pid, so that a forked child does not take itself for its parent.
    return Owner(
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        pid=pid,
        started=_start_of(pid) or "",
        host=socket.gethostname(),
    )


@functools.cache
def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    if sys.platform == "darwin":
        return f"{uuid.getnode():012x} {_output_of('sysctl', '-n', 'kern.boottime')}"
    return f"{uuid.getnode():012x}"


def _pid_namespace() -> str:
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _start_of(pid: int) -> str | None:
    """When the process began, as its system tells it; None if it is gone. A zombie is gone: it runs nothing."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        # The name in parentheses may hold anything, also parentheses; fields are counted behind it.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return None if fields[0] in {b"Z", b"X"} else fields[19].decode()
    if sys.platform == "win32":
        return _start_on_windows(pid)
    return _output_of("ps", "-o", "lstart=", "-p", str(pid)) or None


def _start_on_windows(pid: int) -> str | None:
    import ctypes  # late: Windows only
    from ctypes import wintypes  # late: Windows only

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    query_limited_information, still_active = 0x1000, 259
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return None
    try:
        code = wintypes.DWORD()
        times = [wintypes.FILETIME() for _ in range(4)]
        if not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value != still_active:
            return None
        if not kernel.GetProcessTimes(handle, *(ctypes.byref(each) for each in times)):
            return None
        return str((times[0].dwHighDateTime << 32) + times[0].dwLowDateTime)
    finally:
        kernel.CloseHandle(handle)


def _output_of(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip()
