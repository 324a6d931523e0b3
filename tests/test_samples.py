"""Whatever the README and docs/ show as code runs as it stands there: in order, in a folder with no more than it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.notebook.kernels import running_kernel
from tests.samples import PAGES, ROOT, samples

ORDERS = "region,product,month,revenue\nEU,tea,1,10\nEU,salt,1,5\nUS,tea,1,99\nEU,tea,2,20\nEU,salt,2,\n"

# Lines of a shell that no test can run, and why.
NOT_RUN = {"make lab": "it serves a person until they end it; tests/e2e drives JupyterLab"}
# Cells that a reader has above what a page shows.
ABOVE = {
    "README.md: When a run must be undone 1": """\
%load_ext szal_nb
flight = "LO 5"

def book_seat(flight):
    return f"14A of {flight}"

def release_seat(flight, seat):
    open("released.txt", "a").write(f"{seat}, {flight}")
""",
    "promises.md: Authoring in a notebook 1": "import pandas as pd\nurl = 'orders.csv'",
}
# Cells that they add to see what it did, and what the last one prints.
BELOW = {
    "README.md: Twenty lines 1": (
        ["print(run.state, products.to_dict(), months.to_dict())"],
        "completed {'salt': 5.0, 'tea': 30.0} {1: 15.0, 2: 20.0}\n",
    ),
    "README.md: When a run must be undone 1": (
        [
            "%%szal_step pay\n1 / len(seat[:0])",
            "run = %szal_run",
            "await run",
            "print(run.state, open('released.txt').read())",
        ],
        "rolled_back 14A of LO 5, LO 5\n",
    ),
    "promises.md: Authoring in a notebook 1": (
        ["await run", "print(run.state, run['report'].state, len(orders))"],
        "completed completed 3\n",
    ),
}

SAMPLES = [sample for page in PAGES for sample in samples(page)]
NOTEBOOKS = [sample for sample in SAMPLES if sample.is_notebook]
SCRIPTS = [sample for sample in SAMPLES if sample.language == "python" and not sample.is_notebook]
COMMANDS = [line for sample in SAMPLES if sample.language == "sh" for line in "".join(sample.blocks).splitlines()]


def without_comment(line):
    return line.partition("#")[0].strip()


def test_no_sample_is_left_out():
    told_of = {str(sample) for sample in NOTEBOOKS}

    assert [sample for sample in SAMPLES if sample.language not in ("", "python", "sh")] == []
    assert [str(sample) for sample in SAMPLES if not sample.language and not sample.is_notebook] == []
    assert ABOVE.keys() <= told_of == BELOW.keys()
    assert NOT_RUN.keys() <= {without_comment(line) for line in COMMANDS}


@pytest.mark.serial
@pytest.mark.parametrize("sample", NOTEBOOKS, ids=str)
def test_the_cells_run_in_a_kernel(sample, tmp_path):
    (tmp_path / "orders.csv").write_text(ORDERS)
    below, printed = BELOW[str(sample)]
    with running_kernel(tmp_path) as kernel:
        above = [kernel.run(ABOVE[str(sample)])] if str(sample) in ABOVE else []
        shown = [kernel.run(block) for block in sample.blocks]
        added = [kernel.run(cell) for cell in below]

    assert [cell.error for cell in above + shown] == [""] * len(above + shown)
    assert (added[-1].text, added[-1].error) == (printed, "")


@pytest.mark.parametrize("sample", SCRIPTS, ids=str)
def test_a_script_prints_what_stands_beside_it(sample, tmp_path):
    (block,) = sample.blocks
    (tmp_path / "script.py").write_text(block)

    command = [sys.executable, "-W", "error", "script.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    said = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert (ran.stdout.splitlines(), ran.stderr, ran.returncode) == (said, "", 0)


@pytest.mark.serial
@pytest.mark.parametrize("command", [c for line in COMMANDS if (c := without_comment(line)) not in NOT_RUN])
def test_a_command_ends_well(command):
    # As a person calls it, not as `make test` calls what it makes.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    ran = subprocess.run(
        command.split(), cwd=ROOT, env=outside, capture_output=True, text=True, timeout=120, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
