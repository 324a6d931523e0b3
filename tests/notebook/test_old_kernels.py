"""One pass through the older kernels that people have: Colab and Elyra (6.x), Binder's base image (7.0.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environments import environment_of
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import Notebook

pytestmark = pytest.mark.serial

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["6.31.0", "7.0.1"])
def old_kernel(request, tmp_path_factory):
    """A kernel of this version of ipykernel; its environment is made once and kept."""
    python = environment_of(f"ipykernel=={request.param}")
    with running_kernel(tmp_path_factory.mktemp("old"), str(python), PYTHONPATH=str(ROOT)) as kernel:
        yield request.param, kernel


def test_steps_run_beside_the_kernel_show_where_they_stand_and_give_their_values(old_kernel):
    version, kernel = old_kernel
    notebook = Notebook(kernel)
    notebook.ok("%load_ext szal_nb\nimport asyncio, time, ipykernel", cell_id="a")
    assert notebook.value("ipykernel.__version__") == version
    load = notebook.step("load --retries 1", "print('loading')\nold_x = 20", cell_id="b")
    notebook.step("wait", "await asyncio.sleep(0.01)\nold_y = old_x + 1\nold_y", cell_id="c")
    broken = notebook.step("broken", "fine = 1\n1 / 0", cell_id="d")
    notebook.ok("run = %szal_run", cell_id="e")

    assert notebook.value("1 + 1") == 2
    failed = notebook.cell("await run", cell_id="f")
    kernel.settle()

    assert failed.error.startswith("RunFailed")
    assert notebook.value("(old_x, old_y, run['wait'].value)") == (20, 21, 21)
    assert load.text == "loading\n"
    assert "line 3" in broken.tracebacks


def test_headless_it_waits_and_an_interrupt_ends_the_run(old_kernel):
    _, kernel = old_kernel
    notebook = Notebook(kernel)
    notebook.ok("%szal_flow second", cell_id="g")
    notebook.step("endless", "while True:\n    time.sleep(0.05)", cell_id="h")
    cell = notebook.begin("run = %szal_run\n", cell_id="i", may_ask=False)
    kernel.settle(1.0)

    kernel.interrupt()
    kernel.until(lambda: cell.is_idle and cell.reply, timeout_s=5)
    kernel.until(
        lambda: (
            notebook.value("get_ipython().find_line_magic('szal_run').__self__.runs.find(None).state") == "cancelled"
        ),
        timeout_s=5,
    )

    assert "CancelledError" in cell.error
