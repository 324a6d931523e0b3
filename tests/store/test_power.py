"""A power cut at any moment: system calls are recorded, and disks built that lack what was not synced by then.

Of writes that were not synced some are there, some are not, and some are there in part (sectors of 512 bytes).
A name that was given by a rename, and a folder that was made, may be missing until the folder that it is in is synced.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from szal_nb.errors import StoreError, SzalError
from szal_nb.model.state import StepState
from szal_nb.store.runs import RunStore
from tests.store.scribe import NAMES
from tests.store.steady_flow import NO_FOLDER_SYNC, RUN, UNSYNCED, WITHOUT_WAL, value_of

pytestmark = [pytest.mark.serial, pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")]

CUTS = int(os.environ.get("SZAL_TORTURE", "150"))
_SECTOR = 512
_CALLS = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,ftruncate,unlink,mkdir"
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)$")
_FD = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class Call:
    """One system call on a file below the store's folder."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0
    target: str = ""

    @property
    def folder(self) -> str:
        """The folder that knows of it once it is synced."""
        return _folder(self.path if self.name == "unlink" else self.target)


@dataclass
class Disk:
    """What is surely on the disk, and what may be."""

    files: dict[str, bytearray] = field(default_factory=dict)
    waiting: list[Call] = field(default_factory=list)

    def take(self, call: Call) -> None:
        """Takes in the next call."""
        if call.name not in {"fsync", "fdatasync"}:
            self.waiting.append(call)
            return
        is_folder = call.path not in self.files and not any(w.path == call.path for w in self.waiting)
        synced = [w for w in self.waiting if (w.folder if is_folder else w.path) == call.path]
        for each in synced:
            self.waiting.remove(each)
            _apply(self.files, each)

    def cut(self, chance: random.Random) -> dict[str, bytearray]:
        """The files after a power cut now."""
        files = {path: bytearray(content) for path, content in self.files.items()}
        lost = []
        for call in self.waiting:
            if call.name == "mkdir":
                lost += [f"{call.target}/"] if chance.random() < 0.5 else []
            elif call.name in {"write", "pwrite64"} and chance.random() < 0.2:
                for start in range(0, len(call.data), _SECTOR):
                    if chance.random() < 0.5:
                        piece = call.data[start : start + _SECTOR]
                        _apply(files, Call("pwrite64", call.path, piece, call.offset + start))
            elif chance.random() < 0.5:
                _apply(files, call)
        return {path: content for path, content in files.items() if not path.startswith(tuple(lost))}


def _folder(path: str) -> str:
    return str(Path(path).parent) if path else ""


def _apply(files: dict[str, bytearray], call: Call) -> None:
    if call.name in {"write", "pwrite64"}:
        content = files.setdefault(call.path, bytearray())
        end = call.offset + len(call.data)
        content.extend(bytes(max(0, end - len(content))))
        content[call.offset : end] = call.data
    elif call.name == "ftruncate":
        content = files.setdefault(call.path, bytearray())
        del content[call.offset :]
        content.extend(bytes(call.offset - len(content)))
    elif call.name == "unlink":
        files.pop(call.path, None)
    elif call.name == "mkdir":
        pass  # from now on it is there
    elif call.path in files:
        files[call.target] = files.pop(call.path)


def _calls(trace: str, folder: Path) -> Iterator[Call]:
    ends: dict[str, int] = {}
    for line in trace.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        name, rest = found.groups()
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(rest)]
        if name.startswith("rename"):
            yield Call("rename", texts[0].decode(), target=texts[1].decode())
        elif name == "unlink":
            yield Call(name, texts[0].decode())
        elif name == "mkdir":
            if rest.endswith(" = 0") and (made := texts[0].decode()).startswith(str(folder)):
                yield Call(name, "", target=made)
        elif (fd := _FD.match(rest)) is not None:
            path = bytes.fromhex(fd[1].replace("\\x", "")).decode() if fd[1].startswith("\\x") else fd[1]
            if not path.startswith(str(folder)) or path.endswith("-shm"):
                continue
            if name == "write":
                yield Call(name, path, texts[0], ends.get(path, 0))
                ends[path] = ends.get(path, 0) + len(texts[0])
            elif name == "pwrite64":
                yield Call(name, path, texts[0], int(rest.split(" = ")[0].rstrip(")").split(", ")[-1]))
            elif name == "ftruncate":
                yield Call(name, path, offset=int(rest.split(", ")[1].split(")")[0]))
            else:
                yield Call(name, path)


def record(folder: Path, durability: str, fault: str | None) -> tuple[Disk, list[Call]]:
    """The disk before the flow was played, on which nothing is, and the calls of playing it."""
    store = folder / "new" / "store" / "runs.db"
    trace = folder / "trace"
    command = [sys.executable, "-m", "tests.store.steady_flow", str(store), str(store.parent / "effects"), durability]
    strace = ["strace", "-f", "-y", "-xx", "-s", "2000000", "-e", f"trace={_CALLS}", "-o", str(trace)]
    subprocess.run([*strace, *command, *([fault] if fault else [])], check=True, timeout=120)
    calls = list(_calls(trace.read_text(), folder))
    assert all("unfinished" not in call.name for call in calls)
    return Disk(), calls


@dataclass
class Losses:
    """What power cuts did. `forgotten`: acknowledged and gone; `gaps`: a step has completed and an earlier one has not."""

    forgotten: int = 0
    damaged: int = 0
    gaps: int = 0
    wrong: int = 0


def cut_power(folder: Path, durability: str, fault: str | None = None, *, cuts: int = CUTS, seed: int = 3) -> Losses:
    """Cuts the power at random moments and looks at what is left."""
    disk, calls = record(folder, durability, fault)
    chance = random.Random(seed)
    moments = sorted(chance.choices(range(len(calls)), k=cuts))
    losses, acknowledged = Losses(), set()
    for number, call in enumerate(calls):
        if call.path.endswith("effects"):
            if call.data.startswith(b"acknowledged"):
                acknowledged.add(call.data.split()[1].decode())
        else:
            disk.take(call)
        while moments and moments[0] == number:
            moments.pop(0)
            _judge(folder, disk.cut(chance), acknowledged, losses)
    return losses


def _judge(folder: Path, files: dict[str, bytearray], acknowledged: set[str], losses: Losses) -> None:
    base, image = str(folder / "new" / "store"), folder / "image"
    shutil.rmtree(image, ignore_errors=True)
    for path, content in files.items():
        place = image / Path(path).relative_to(base)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    if not (image / "runs.db").exists():
        losses.forgotten += bool(acknowledged)
        return
    try:
        # First: another program that opens the store would take back what was half-written.
        completed = _completed(image / "runs.db", losses)
        with closing(sqlite3.connect(image / "runs.db")) as connection:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                losses.damaged += 1
                return
    except (sqlite3.Error, StoreError):
        losses.damaged += 1
        return
    losses.forgotten += bool(acknowledged - completed)


def _completed(path: Path, losses: Losses) -> set[str]:
    """The steps that the store says are completed and whose values it gives."""
    with RunStore.open(path) as store:
        if not store.runs():
            return set()
        steps = [step for step in store.snapshot(RUN).steps.values() if step.state is StepState.COMPLETED]
        losses.gaps += [step.name for step in steps] != list(NAMES[: len(steps)])
        found = set()
        for step in steps:
            try:
                given = {ref.name: store.value(RUN, step.name, ref.name) for ref in step.values}
            except SzalError:
                continue
            losses.wrong += given != value_of(step.name)
            found.add(step.name)
        return found


def test_with_full_durability_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path):
    """`durability="full"` (default): what was acknowledged survives a power cut."""
    assert cut_power(tmp_path, "full") == Losses()


def test_nor_does_it_on_a_network_file_system(tmp_path):
    """On a network file system, where WAL is unsafe, another way."""
    assert cut_power(tmp_path, "full", WITHOUT_WAL) == Losses()


@pytest.mark.parametrize("way", [None, WITHOUT_WAL])
def test_with_fast_durability_a_power_cut_takes_the_last_steps_at_most(tmp_path, way):
    """`"fast"`: survives a process crash, may forget the last steps at a power cut, never corrupts."""
    losses = cut_power(tmp_path, "fast", way)

    assert (losses.damaged, losses.wrong, losses.gaps) == (0, 0, 0)


@pytest.mark.parametrize("fault", [UNSYNCED, NO_FOLDER_SYNC])
def test_cutting_the_power_shows_what_is_not_synced(tmp_path, fault):
    losses = cut_power(tmp_path, "full", fault)

    assert losses.forgotten + losses.damaged > 0
