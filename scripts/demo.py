"""`make demo`: runs the quickstart headless and names what it wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import szal_nb as szal
from szal_nb.widget.svg import render_svg
from szal_nb.widget.view import view_state

NOTEBOOK = Path("notebooks/quickstart.ipynb")
OUT = Path("build/demo")


def main() -> int:
    """Gives the exit code of `szal run`."""
    OUT.mkdir(parents=True, exist_ok=True)
    executed, store, picture = OUT / NOTEBOOK.name, OUT / "runs.db", OUT / "quickstart.svg"
    command = ["run", str(NOTEBOOK), "-o", str(executed), "--store", str(store)]
    print("$ szal", *command, flush=True)
    code = subprocess.run([sys.executable, "-m", "szal_nb.app.cli", *command], check=False).returncode
    if not store.exists():
        return code
    with szal.open_store(store) as opened:
        run = opened.runs(limit=1)[0]
        picture.write_text(render_svg(view_state(opened.graph(run.id), opened.snapshot(run.id), run_id=run.id)))
    print(f"  picture   {picture.resolve()}")
    print("\n`make lab` opens the notebooks in JupyterLab; `szal show` tells more about a run:")
    print(f"$ .venv/bin/szal show {run.id} --store {store}")
    return code


if __name__ == "__main__":
    sys.exit(main())
