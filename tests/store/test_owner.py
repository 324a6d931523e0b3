from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from szal_nb.store import owner as owner_module
from szal_nb.store.owner import OrphanStays, Owner, end_orphan, is_alive

DISTANT = Owner(boot_id="b", pid_namespace="n", pid=1, started="1", host="elsewhere")
CAPTIVE = "import sys; print('up', flush=True); sys.stdin.readline()"


@pytest.fixture
def child():
    process = subprocess.Popen(
        [sys.executable, "-c", CAPTIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_this_process_is_near_and_alive_whatever_the_lease_says():
    here = Owner.here()

    assert (here.pid, here.is_near, is_alive(here), is_alive(here, 0.0)) == (os.getpid(), True, True, True)
    assert Owner.of(os.getpid()) == here


def test_a_process_with_this_pid_but_another_start_is_somebody_else():
    assert not is_alive(msgspec.structs.replace(Owner.here(), started="1"), 1e12)


def test_of_a_distant_process_only_the_lease_decides():
    assert [is_alive(DISTANT, lease, now=100.0) for lease in (None, 99.0, 101.0)] == [False, False, True]


def test_the_same_pid_in_another_namespace_is_distant():
    assert not msgspec.structs.replace(Owner.here(), pid_namespace="pid:[1]").is_near


def test_there_is_no_owner_without_a_process():
    assert Owner.of(2**22 - 1) is None


def test_a_zombie_is_dead(child):
    owner = Owner.of(child.pid)
    assert is_alive(owner)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert not is_alive(owner)


def test_a_stopped_process_is_alive(child):
    owner = Owner.of(child.pid)
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)

    assert is_alive(owner)


def test_an_orphan_is_gone_when_it_was_ended(child):
    owner = Owner.of(child.pid)
    end_orphan(owner)

    assert not is_alive(owner)
    assert child.wait() == -signal.SIGKILL


def test_a_stopped_orphan_is_ended_too(child):
    os.kill(child.pid, signal.SIGSTOP)
    end_orphan(Owner.of(child.pid))

    assert child.wait() == -signal.SIGKILL


def test_an_orphan_without_a_process_handle_is_ended_too(child, monkeypatch):
    monkeypatch.setattr("szal_nb.store.owner._handle_of", lambda _: None)
    owner = Owner.of(child.pid)
    end_orphan(owner)

    assert child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("has_handle", [True, False])
def test_an_orphan_that_does_not_go_away_is_an_error(child, monkeypatch, has_handle):
    monkeypatch.setattr("szal_nb.store.owner._kill", lambda *_: None)
    if not has_handle:
        monkeypatch.setattr("szal_nb.store.owner._handle_of", lambda _: None)

    with pytest.raises(OrphanStays, match=rf"old process {child.pid} could not be ended: it did not end within 0.01 s"):
        end_orphan(Owner.of(child.pid), timeout_s=0.01)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs handles of processes")
def test_an_orphan_is_looked_at_and_ended_by_a_handle_that_can_become_no_other_process(child, monkeypatch):
    owner = Owner.of(child.pid)
    start_of, handles = owner_module._start_of, []

    def start(pid):
        handles.append(any("pidfd" in str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()))
        return start_of(pid)

    monkeypatch.setattr("szal_nb.store.owner._start_of", start)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a pid may be another process by now"))
    end_orphan(owner)

    assert handles == [True]


def test_a_process_that_took_the_pid_over_is_left_alone(child):
    end_orphan(msgspec.structs.replace(Owner.of(child.pid), started="1"))

    assert child.poll() is None


def test_a_process_that_is_gone_needs_no_ending():
    end_orphan(msgspec.structs.replace(Owner.here(), pid=2**22 - 1))


def test_a_distant_process_cannot_be_ended():
    with pytest.raises(OrphanStays, match="old process 1 on elsewhere could not be ended: it runs on another machine"):
        end_orphan(DISTANT)


def test_a_name_with_parentheses_does_not_confuse(tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([program, "-c", CAPTIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdout.readline()
        assert is_alive(Owner.of(process.pid))
        assert Owner.of(process.pid).started.isdigit()
    finally:
        process.kill()
        process.communicate()


def test_an_owner_says_where_it_is():
    assert str(DISTANT) == "process 1 on elsewhere"
    assert str(Owner.here()) == f"process {os.getpid()}"


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_is_another_process():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if Owner.here().pid == os.getpid() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
