"""What `%load_ext szal_nb` adds to a kernel, beside what `import ipywidgets` adds to the same kernel.

Run: python -m benchmarks.bench_import [--check]. CPU time of a kernel that has IPython loaded, in s, the best of some
kernels; all modules are compiled before, as an installer does. `--check` fails if it takes longer than the limit.
"""

from __future__ import annotations

import argparse
import os
import sys

import nbformat
from nbclient import NotebookClient

LIMIT_S = 0.25
KERNELS = 4
_CELL = """
import time
began = time.process_time()
{}
print(time.process_time() - began)
"""


def loading_s() -> tuple[float, float]:
    """CPU time of loading the extension and of `import ipywidgets`, each the first to be loaded in its kernel."""
    found = []
    for statement in ("%load_ext szal_nb", "import ipywidgets"):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(_CELL.format(statement))])
        NotebookClient(notebook, kernel_name="python3").execute()
        found.append(float("".join(output.get("text", "") for output in notebook.cells[0].outputs)))
    return found[0], found[1]


def main() -> int:
    """Prints the figures; 1 if `--check` is asked for and loading takes longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"fail if loading takes over {LIMIT_S} s")
    is_checked = parser.parse_args().check
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    own, floor = (min(times) for times in zip(*(loading_s() for _ in range(KERNELS)), strict=True))
    print(f"%load_ext szal_nb {own:.3f} s of CPU, import ipywidgets {floor:.3f} s: {own / floor:.2f} times")
    return int(is_checked and own > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
