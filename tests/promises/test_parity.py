"""One notebook, run by hand, by `szal run` and by papermill, gives the same record and the same saved outputs."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.notebook.kernels import running_kernel
from tests.promises.shell import Shell, write_notebook

pytestmark = pytest.mark.serial

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PAPERMILL = [str(Path(sys.executable).with_name("papermill")), "--no-progress-bar", "--engine", "szal"]

SMALL = (
    "%load_ext szal_nb\n%szal_flow sales --version 2",
    "import pandas as pd\nfrom IPython.display import display",
    {"source": "rows: int = 2  # how many\nflag = True\nname = 'EU'", "metadata": {"tags": ["parameters"]}},
    "%%szal_step load\norders = pd.DataFrame({'price': range(rows), 'place': name})\nprint('loaded', len(orders), flag)",
    "#| step: clean\norders = orders.dropna()\norders['double'] = orders.price * 2\norders",
    "def total_of(column):\n    return int(orders[column].sum())",
    "%%szal_step total\ntotal = total_of('double')\ndisplay(total)\ntotal + 1",
    "%%szal_step count\ncount = len(orders)\nprint('counted')",
    '%%szal_step never --when "count > 1000"\nnothing = count',
    "run = %szal_run",
    "await run\nprint(total, count)\nrun['total'].value",
)


def small(folder):
    return (
        write_notebook(folder / "nb.ipynb", *SMALL),
        {"rows": "4", "flag": "false", "name": "7"},
        ('# Parameters\nrows = 4\nflag = False\nname = "7"\n'),
    )


def quickstart(folder):
    path = Path(shutil.copy(NOTEBOOKS / "quickstart.ipynb", folder / "nb.ipynb"))
    return path, {"invested": "5000"}, "# Parameters\ninvested = 5000\n"


def by_hand(folder, path, injected):
    """The outputs of each cell when a person executes one after the other."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    place = next(n for n, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", ()))
    cells.insert(place + 1, {"id": "injected", "source": injected})
    with running_kernel(folder, JPY_SESSION_NAME=str(path)) as kernel:
        executed = {cell["id"]: kernel.run("".join(cell["source"]), cell_id=cell["id"]) for cell in cells}
        kernel.settle()
        errors = {name: cell.error for name, cell in executed.items() if cell.error}
    assert errors == {}
    return {
        name: stable(shown_at_last(executed.values(), cell)) for name, cell in executed.items() if name != "injected"
    }


def shown_at_last(cells, wanted):
    """What stands below a cell in the end, as a front end has it."""
    updates = {
        message["content"]["transient"]["display_id"]: message["content"]
        for cell in cells
        for message in cell.outputs
        if message["msg_type"] == "update_display_data"
    }
    outputs, is_to_clear = [], False
    for message in wanted.outputs:
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            is_to_clear = True
            continue
        if kind == "update_display_data":
            continue
        if is_to_clear:
            outputs, is_to_clear = [], False
        newest = updates.get((content.get("transient") or {}).get("display_id"), content)
        if kind == "stream" and outputs and outputs[-1].get("name") == content["name"]:
            outputs[-1]["text"] += content["text"]
        else:
            outputs.append({"output_type": kind, **content, **{key: newest[key] for key in ("data",) if key in newest}})
    return outputs


def saved(path):
    """The outputs of each cell of a saved notebook."""
    cells = json.loads(Path(path).read_text())["cells"]
    injected = [cell["id"] for cell in cells if "injected-parameters" in cell["metadata"].get("tags", ())]
    return {
        cell["id"]: stable(cell["outputs"])
        for cell in cells
        if cell["cell_type"] == "code" and cell["id"] not in injected
    }


def stable(outputs):
    """Outputs without what differs from run to run: ids and durations."""
    found = []
    for output in outputs:
        if output["output_type"] == "stream":
            found.append((output["name"], masked(output["text"])))
            continue
        data = {kind: masked(value) for kind, value in output["data"].items()}
        if "application/vnd.jupyter.widget-view+json" in data:
            # The picture: its still image holds the durations in its drawing.
            data = {kind: data[kind] if kind == "text/plain" else "" for kind in data}
        found.append((output["output_type"], data))
    return found


def masked(value):
    text = value if isinstance(value, str) else "".join(value) if isinstance(value, list) else json.dumps(value)
    text = re.sub(r"\b[0-9a-f]{12}\b", "RUN", text)
    return re.sub(r"\b\d+(\.\d+)? (ms|s)\b|\b\d+m \d\ds\b", "TIME", text)


def record(shell, run):
    """What the store says: states, where values came from, and the content hash of every value and input."""
    document = shell.show(run)
    return {
        "flow": (document["flow"], document["version"], document["state"]),
        "inputs": {value["name"]: value["hash"] for value in document["inputs"]},
        "steps": {
            step["name"]: (
                step["state"],
                step["origin"],
                len(step["attempts"]),
                {value["name"]: (value["hash"], value["live"]) for value in step["values"]},
            )
            for step in document["steps"]
        },
    }


@pytest.mark.parametrize("notebook", [small, quickstart], ids=["small", "quickstart"])
def test_by_hand_by_szal_run_and_by_papermill_one_notebook_gives_one_record(notebook, tmp_path):
    """The same notebook, unchanged, runs headless (`szal run`, papermill), on a schedule, on a cluster, and on Binder."""
    path, parameters, injected = notebook(tmp_path)
    shell = Shell(tmp_path)
    pairs = [word for name, value in parameters.items() for word in ("-p", name, value)]

    hand = by_hand(tmp_path, path, injected)
    code, _, err = shell.call("run", "nb.ipynb", "-o", "szal.ipynb", *pairs)
    assert code == 0, err
    code, _, err = shell.call("nb.ipynb", "papermill.ipynb", *pairs, program=PAPERMILL)
    assert code == 0, err

    by_papermill, by_szal, one_by_one = shell.runs()
    assert record(shell, by_szal["id"]) == record(shell, one_by_one["id"])
    assert record(shell, by_papermill["id"]) == record(shell, one_by_one["id"])
    assert by_szal["params"] == by_papermill["params"]
    assert {by_szal["notebook"], by_papermill["notebook"], one_by_one["notebook"]} == {str(path)}
    assert saved(tmp_path / "szal.ipynb") == hand
    assert saved(tmp_path / "papermill.ipynb") == hand
