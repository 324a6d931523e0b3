"""Two kernels on one notebook, as two tabs have them: what each says of the other's run, and does with it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from szal_nb.store.doctor import Level, examine
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import Notebook
from tests.notebook.test_lifecycle import write_notebook

pytestmark = pytest.mark.serial

CELLS = {
    "head": "%load_ext szal_nb\n%szal_flow f\nimport asyncio, os, time\nfrom pathlib import Path",
    "one": "%%szal_step one\nPath(f'one-{os.getpid()}').touch()\na = 1",
    "ask": "%%szal_step ask --approve 'go on?'\nb = a + 1",
    "two": "%%szal_step two\nwhile Path('hold').exists():\n    time.sleep(0.05)\nc = b + 1",
    "bad": "%%szal_step bad\nif not Path('mended').exists():\n    raise OSError('not yet')\nd = c + 1",
}


@pytest.fixture
def tabs(tmp_path):
    """The notebook in two kernels, all steps defined in both."""
    write_notebook(tmp_path / "nb.ipynb", CELLS)
    with ExitStack() as ends:
        place = {"JPY_SESSION_NAME": str(tmp_path / "nb.ipynb")}
        kernels = [ends.enter_context(running_kernel(tmp_path, **place)) for _ in range(2)]
        notebooks = [Notebook(kernel) for kernel in kernels]
        for notebook in notebooks:
            for key, code in CELLS.items():
                notebook.ok(code, cell_id=key)
        yield notebooks


def reaches(notebook, expression, value):
    notebook.kernel.until(lambda: notebook.value(expression) == value)


def test_what_two_kernels_do_with_the_runs_of_each_other(tabs, tmp_path):
    """Two kernels on one file: one owner each, said by name; what was left goes on in the other; no step runs twice."""
    first, second = tabs
    (tmp_path / "hold").touch()
    first.ok("run = %szal_run", cell_id="run")
    reaches(first, "run['ask'].state", "waiting")
    run, owner = first.value("run.id"), first.value("os.getpid()")

    # The run lives: the second kernel shows it, says who has it, and leaves it alone.
    assert "running, 1 of 4 completed" in second.ok(f"%szal_show {run}").plain
    for line in ("%szal_resume", f"%szal_resume {run}"):
        assert f"RunOwned: Run {run} is being run by process {owner}. Wait for it" in second.cell(line).error
    for line in (f"%szal_status {run}", f"%szal_cancel {run}"):
        told = second.cell(line).error
        assert f"Run {run} is not going on in this kernel: process {owner} runs it, and there it is cancelled." in told

    # Both run the flow at once.
    second.ok("run = %szal_run", cell_id="run")
    for notebook in tabs:
        reaches(notebook, "run['ask'].state", "waiting")
        notebook.ok("run.approve('ask')")
        reaches(notebook, "run['two'].state", "running")

    # The first one is killed: the second goes on with its run, though one of its own is newer and has ended.
    first.kernel.kill()
    second.kernel.until(lambda: "crashed" in second.ok("%szal_runs").plain)
    second.ok("%szal_cancel", cell_id="cancel")
    reaches(second, "run.is_active", False)
    told = second.cell(f"%szal_status {run}").error
    assert f"Run {run} is not going on in this kernel: it is crashed; %szal_resume {run} goes on with it." in told
    (tmp_path / "hold").unlink()
    went = second.ok(f"again = %szal_resume {run}\nawait again.wait()", cell_id="resume")
    assert "Going on: one, ask kept, two, bad to run." in went.text
    assert second.value("[again.state, [len(again[step].attempts) for step in ('one', 'ask', 'two', 'bad')]]") == [
        "failed",
        [1, 1, 2, 1],
    ]
    assert len(list(tmp_path.glob("one-*"))) == 2
    assert [found for found in examine(tmp_path / ".szal" / "runs.db") if found.level is Level.PROBLEM] == []
