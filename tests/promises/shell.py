"""The program `szal` as a person calls it, on notebooks that tell what their steps do: for tests."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Far longer than anything takes that works.
PATIENCE_S = 60.0

SZAL = [sys.executable, "-m", "szal_nb.app.cli"]
SETUP = """\
%load_ext szal_nb
%szal_flow deeds
import os, time

def deed(text):
    file = os.open("deeds.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{text} {os.getpid()}\\n".encode())
    os.close(file)

def hold(step):
    # Goes on being at work until the test lets it end; each round leaves a trace.
    while not os.path.exists("go"):
        deed(f"at {step}")
        time.sleep(0.01)
"""


def write_notebook(path: Path, *cells: str | dict[str, Any]) -> Path:
    """A notebook with these cells; a dictionary overrides what a code cell has."""
    content: dict[str, Any] = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                **(cell if isinstance(cell, dict) else {"source": cell}),
            }
            for number, cell in enumerate(cells, start=1)
        ],
    }
    path.write_text(json.dumps(content, indent=1))
    return path


def wait_until(is_so: Callable[[], Any], what: str) -> Any:
    """The first true answer of `is_so`; fails if it is never given."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)
    return answer


class Shell:
    """Calls `szal` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, program: Sequence[str] = SZAL) -> subprocess.Popen[str]:
        """The program, begun."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*program, *arguments], cwd=self.folder, stdout=pipe, stderr=pipe, text=True, env=_environment()
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a program that ends by itself."""
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err

    def call(self, *arguments: str, program: Sequence[str] = SZAL) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        return self.end(self.start(*arguments, program=program))

    def json(self, *arguments: str) -> tuple[int, Any]:
        """Exit code, and the document that `--json` gives."""
        code, out, err = self.call(*arguments, "--json")
        assert out, err
        return code, json.loads(out)

    def runs(self) -> list[Any]:
        """The runs of the folder's store, newest first; none if there is no store yet."""
        if not (self.folder / ".szal" / "runs.db").exists():
            return []
        return list(self.json("runs")[1]["runs"])

    def show(self, run: str) -> Any:
        """A run with its steps."""
        return self.json("show", run)[1]

    def deeds(self) -> list[tuple[str, int]]:
        """What the steps did, in order, and in which process."""
        log = self.folder / "deeds.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(text, int(pid)) for text, _, pid in (line.rpartition(" ") for line in lines)]

    def begun(self, text: str, count: int = 1) -> int:
        """The process that did `text` for the `count`-th time; waits for that."""

        def found() -> int | None:
            pids = [pid for deed, pid in self.deeds() if deed == text]
            return pids[count - 1] if len(pids) >= count else None

        return int(wait_until(found, f"{text} for the {count}. time"))

    def let_go(self) -> None:
        """Lets the steps that hold come to their end."""
        (self.folder / "go").touch()

    def close(self) -> None:
        """Ends what is still there."""
        self.let_go()
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _environment() -> dict[str, str]:
    left_out = ("SZAL_", "JPY_", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def states(run: Any) -> dict[str, str]:
    """The states of a run's steps."""
    return {step["name"]: step["state"] for step in run["steps"]}


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that only waits to be collected has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def workers_of(deeds: Sequence[tuple[str, int]], step: str) -> list[int]:
    """The processes that worked on a step, in turn; one that comes twice means two bodies at once."""
    pids = [pid for text, pid in deeds if text.split()[-1] == step]
    return [pid for pid, _ in itertools.groupby(pids)]
