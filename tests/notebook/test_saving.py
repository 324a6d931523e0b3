"""The executed notebook is saved while its cells run, and saving it does not take longer than running them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nbformat
import papermill.execute  # noqa: F401 - before our engine, which it loads while it is imported
import pytest
from papermill.exceptions import PapermillExecutionError

from szal_nb.errors import RunError
from szal_nb.notebook import papermill_engine
from szal_nb.notebook.batch import _raise_for_errors
from szal_nb.notebook.papermill_engine import RecordedNotebook


class Clock:
    """Time that passes when something is saved, a second each time."""

    def __init__(self):
        self.now = 0.0
        self.saved = []

    def monotonic(self):
        return self.now

    def save(self, _target):
        self.saved.append(self.now)
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(papermill_engine, "time", clock)
    monkeypatch.setattr(RecordedNotebook, "_write", clock.save)
    return clock


def manager_of(path):
    cells = [nbformat.v4.new_code_cell(str(n), metadata={"papermill": {}}) for n in range(30)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {}})
    return RecordedNotebook(notebook, output_path=str(path), progress_bar=False)


def test_saving_takes_a_tenth_of_the_time_at_most_and_the_end_is_always_saved(clock, tmp_path):
    async def cells(manager):
        for cell in manager.nb.cells:
            manager.cell_start(cell)
            clock.now += 1.0
            manager.cell_complete(cell)

    manager = manager_of(tmp_path / "out.ipynb")
    manager.notebook_start()
    asyncio.run(cells(manager))
    assert clock.saved == [0.0, 11.0, 22.0, 33.0]
    manager.notebook_complete()
    assert clock.saved == [0.0, 11.0, 22.0, 33.0, clock.now - 1.0]


def test_what_was_shown_before_a_long_cell_is_saved_while_it_runs(tmp_path, monkeypatch):
    async def cells(manager):
        saved = asyncio.Event()
        monkeypatch.setattr(RecordedNotebook, "_write", lambda manager, target: (write(manager, target), saved.set()))
        manager.cell_complete(manager.nb.cells[0])
        manager.cell_start(manager.nb.cells[1])
        await saved.wait()
        return nbformat.read(tmp_path / "out.ipynb", as_version=4)

    write = RecordedNotebook._write
    manager = manager_of(tmp_path / "out.ipynb")
    manager.notebook_start()
    saved = asyncio.run(cells(manager))
    assert [cell.metadata.papermill.status for cell in saved.cells[:3]] == ["completed", "running", "pending"]


def test_a_link_stays_a_link_and_a_pipe_gets_the_whole_at_the_end(tmp_path):
    (tmp_path / "real.ipynb").touch()
    (tmp_path / "link.ipynb").symlink_to("real.ipynb")
    linked = manager_of(tmp_path / "link.ipynb")
    linked.notebook_start()
    linked.notebook_complete()
    assert (tmp_path / "link.ipynb").is_symlink()
    assert len(nbformat.read(tmp_path / "real.ipynb", as_version=4).cells) == 30

    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    piped = manager_of(tmp_path / "pipe")
    piped.notebook_start()
    piped.notebook_complete()
    assert len(nbformat.reads(os.read(reader, 65536).decode(), as_version=4).cells) == 30
    os.close(reader)


def test_a_failure_is_told_also_where_there_is_no_room_to_save_it(tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0", execution_count=1)])
    error = nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])
    notebook.cells[0].outputs = [error]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papermill.iorw.LocalHandler.write", full)
    with pytest.raises(PapermillExecutionError) as caught:
        _raise_for_errors(notebook, tmp_path / "out.ipynb")
    assert (caught.value.ename, caught.value.evalue) == ("ZeroDivisionError", "division by zero")


def test_a_folder_that_became_read_only_is_told_in_a_sentence(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)

    with pytest.raises(RunError, match="cannot be saved as .*out.ipynb: Read-only file system"):
        manager_of(tmp_path / "out.ipynb").notebook_start()
