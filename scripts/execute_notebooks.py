"""Runs notebooks from the top, as stock nbclient does, and saves them with their outputs.

What belongs to one machine or one session is taken out: times, the folder in tracebacks, and live widgets, for which
no kernel would be there; the picture and the text beside them stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = f"{Path(__file__).resolve().parent.parent}/"
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> None:
    """Runs the notebook in its own folder and writes it back; an error that no tag allows stops everything."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
    ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
            if "traceback" in output:
                output.traceback = [frame.replace(ROOT, "") for frame in output.traceback]
    # The kernel reports its exact Python here; which one ran them last is no property of the notebooks.
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name)
        execute(Path(name))
