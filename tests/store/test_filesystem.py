from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from szal_nb.store.doctor import Level, examine
from szal_nb.store.filesystem import FileSystem, file_system_of
from szal_nb.store.probe import wal_works
from szal_nb.store.runs import RunStore
from tests.store.namespaces import need, unshared
from tests.store.scribe import begun, new_run
from tests.store.test_processes import APPENDER, answer, end, start

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
40 22 0:35 / /home rw,nosuid shared:2 - nfs4 server:/home rw
41 40 0:36 / /home/ann/local\\040disk rw - xfs /dev/sdb rw
42 22 0:37 / /mnt/s3 rw - fuse.s3fs s3fs rw
43 22 0:38 / /mnt/usb rw - fuseblk /dev/sdc1 rw
44 22 0:39 / /tmp rw - ext4 /dev/sdd rw
45 44 0:40 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/srv/runs.db", "ext4", False),
        ("/home/ann/.szal", "nfs4", True),
        ("/homework/x", "ext4", False),
        ("/home/ann/local disk/x", "xfs", False),
        ("/mnt/s3/x", "fuse.s3fs", True),
        ("/mnt/usb/x", "fuseblk", False),
        ("/tmp/x", "tmpfs", False),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_innermost_mount(tmp_path, path, kind, is_network):
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(MOUNTS)

    found = file_system_of(Path(path), mountinfo=mountinfo)

    assert (found.kind, found.is_network) == (kind, is_network)
    assert found.journal_mode == ("TRUNCATE" if is_network else "WAL")


def test_where_the_system_does_not_tell_a_disk_is_taken_for_local(tmp_path):
    assert not file_system_of(tmp_path, mountinfo=tmp_path / "no").is_network


@pytest.fixture
def on_network(monkeypatch):
    monkeypatch.setattr("szal_nb.store.runs.file_system_of", lambda _: FileSystem("nfs4", "/home"))


def journal_mode(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


async def test_on_a_network_file_system_no_wal_is_made(path, on_network, monkeypatch):
    """WAL on local disks; on a network file system, where WAL is unsafe, another way, chosen by itself and said by `szal doctor`."""
    monkeypatch.setattr("szal_nb.store.doctor.file_system_of", lambda _: FileSystem("nfs4", "/home"))
    with RunStore.open(path) as store:
        journals = [store.begin(new_run(f"{n:012x}")) for n in range(20)]
        await asyncio.gather(*(journal.append(begun()) for journal in journals))
        assert len(store.runs()) == 20
        assert [file.name for file in path.parent.iterdir() if file.name.endswith(("-wal", "-shm"))] == []
    assert journal_mode(path) == "delete"
    assert any("nfs4" in finding.text and finding.level is not Level.PROBLEM for finding in examine(path))


def test_a_store_that_was_moved_to_a_network_file_system_leaves_its_wal(path, request):
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync(begun())
    assert journal_mode(path) == "wal"
    request.getfixturevalue("on_network")
    with RunStore.open(path) as store:
        store.begin(new_run("bbbbbbbbbbbb")).append_sync(begun())
        assert len(store.runs()) == 2
    assert journal_mode(path) == "delete"


def test_without_file_locks_an_sqlite_with_the_wal_bug_uses_no_wal(path, monkeypatch):
    def refuse(fd):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("szal_nb.store.lock._try_lock", refuse)
    monkeypatch.setattr("szal_nb.store.runs.has_wal_reset_bug", lambda: True)
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync(begun())
        assert len(store.runs()) == 1
    assert journal_mode(path) == "delete"


@pytest.fixture
def of_no_known_type(monkeypatch):
    for module in ("runs", "doctor"):
        monkeypatch.setattr(f"szal_nb.store.{module}.file_system_of", lambda _: FileSystem("newfs", "/new"))


def test_where_nobody_knows_the_file_system_it_is_tried_before_a_store_is_made(path, of_no_known_type):
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync(begun())
    assert journal_mode(path) == "wal"
    assert any("was tried when the store was made; it uses WAL" in finding.text for finding in examine(path))
    assert [file.name for file in path.parent.iterdir() if "probe" in file.name] == []


@pytest.mark.parametrize(
    "other",
    [
        "raise SystemExit(1)",
        # Says that it has written, and the first process does not see it, as where no memory is shared.
        "pass",
        "import time; time.sleep(60)",
    ],
)
def test_a_file_system_on_which_two_processes_do_not_see_each_other_gets_no_wal(
    path, of_no_known_type, monkeypatch, other
):
    monkeypatch.setattr("szal_nb.store.probe._OTHER", other)
    monkeypatch.setattr("szal_nb.store.probe._LONGEST_S", 0.5)
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync(begun())
        assert [file.name for file in path.parent.iterdir() if file.name.endswith(("-wal", "-shm"))] == []
    assert any("it uses a rollback journal instead" in finding.text for finding in examine(path))
    monkeypatch.undo()
    monkeypatch.setattr("szal_nb.store.runs.file_system_of", lambda _: FileSystem("newfs", "/new"))
    monkeypatch.setattr(
        "szal_nb.store.probe.wal_works", lambda _: pytest.fail("a store that is there keeps its journal")
    )
    with RunStore.open(path) as store, RunStore.open(path) as again:
        assert len(store.runs()) == 1
        again.begin(new_run("bbbbbbbbbbbb")).append_sync(begun())
    assert journal_mode(path) == "delete"


def test_a_file_system_on_which_sqlite_refuses_wal_gets_none(tmp_path, monkeypatch):
    class Refusing(sqlite3.Connection):
        def execute(self, sql, *arguments):
            return super().execute(sql.replace("journal_mode = WAL", "journal_mode = DELETE"), *arguments)

    assert wal_works(tmp_path)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *arguments, **options: connect(*arguments, **options, factory=Refusing)
    )
    assert not wal_works(tmp_path)


@pytest.fixture
def mounted(tmp_path):
    """A folder on a file system that is really mounted, by a program: the kernel calls it `fuse`."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    subprocess.run(["bindfs", str(there), str(here)], check=True)
    yield here
    subprocess.run(["umount", "--lazy", str(here)], check=True)


@pytest.mark.serial
@pytest.mark.skipif(
    shutil.which("bindfs") is None or not os.access("/dev/fuse", os.W_OK) or os.getuid() != 0,
    reason="needs bindfs and the right to mount",
)
def test_many_processes_share_a_store_on_a_mounted_file_system_and_one_is_killed(mounted):
    path = mounted / ".szal" / "runs.db"
    RunStore.open(path).close()
    appenders = [start(APPENDER, path, n, 30) for n in range(4)]
    try:
        for appender in appenders:
            answer(appender)
        for appender in appenders:
            appender.stdin.write("go\n")
            appender.stdin.flush()
        with RunStore.open(path, read_only=True) as reader:
            while sum(run.events for run in reader.runs()) < 30:
                pass
        appenders[0].kill()
        assert all(answer(appender) < 10 for appender in appenders[1:])
    finally:
        end(*appenders)

    assert file_system_of(mounted).kind.startswith("fuse")
    assert [file.name for file in path.parent.iterdir() if file.name.endswith(("-wal", "-shm"))] == []
    with RunStore.open(path) as store:
        events = sorted(run.events for run in store.runs())
        assert all(len(store.events(run.id)) == run.events for run in store.runs())
    assert events[-3:] == [33] * 3
    assert len(events) in (3, 4)
    assert [finding.text for finding in examine(path) if finding.level is Level.PROBLEM] == []


TRUNCATING = (
    "from szal_nb.store.filesystem import FileSystem\nimport szal_nb.store.runs as runs\n"
    "runs.file_system_of = lambda _: FileSystem('nfs4', '/home')\n"
)


@pytest.mark.serial
def test_many_processes_write_and_read_without_a_wal(path, on_network):
    RunStore.open(path).close()
    appenders = [start(TRUNCATING + APPENDER, path, n, 30) for n in range(4)]
    try:
        for appender in appenders:
            answer(appender)
        for appender in appenders:
            appender.stdin.write("go\n")
            appender.stdin.flush()
        with RunStore.open(path, read_only=True) as reader:
            while any(appender.poll() is None for appender in appenders):
                reader.runs()
        assert all(answer(appender) < 10 for appender in appenders)
    finally:
        end(*appenders)

    with RunStore.open(path) as store:
        assert [run.events for run in store.runs()] == [33] * 4


READ_ONLY = ("--mount",)
RUNS_OF = """
import sys
from szal_nb.errors import StoreError
from szal_nb.store.runs import RunStore
try:
    with RunStore.open(sys.argv[1], read_only=True) as store:
        print([run.events for run in store.runs()])
except StoreError as error:
    print(error)
"""


def read_on_a_medium_that_is_read_only(folder):
    """What is read of the store in the folder where nobody can write."""
    need(READ_ONLY, ("mount", "--bind", "/tmp", "/tmp"))
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$0" -c "$2" "$1/runs.db"'
    command = [*unshared(*READ_ONLY), "sh", "-c", mount, sys.executable, str(folder), RUNS_OF]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_store_on_a_read_only_medium_is_read_as_it_stands(path):
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync(begun())

    assert read_on_a_medium_that_is_read_only(path.parent) == "[2]"


def test_a_store_on_a_read_only_medium_is_not_read_without_what_its_wal_has(path, tmp_path):
    medium = tmp_path / "medium"
    medium.mkdir()
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync(begun())
        for file in (path, path.with_name("runs.db-wal")):
            shutil.copy(file, medium)

    assert "unable to open database file" in read_on_a_medium_that_is_read_only(medium)
