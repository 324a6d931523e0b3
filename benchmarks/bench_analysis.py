"""What the analysis costs: a notebook of 500 cells, one changed cell of it, a flow of 10,000 steps.

Run it: `python benchmarks/bench_analysis.py`. Times are CPU seconds of this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.glance import forget_glances
from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import Step

CELLS = 500
TARGET_S = 0.5
STEPS = 10_000
STEPS_TARGET_S = 1.0

_SURROUNDINGS = Surroundings(
    {
        "pd": NotebookName("module", statement="import pandas as pd"),
        "plt": NotebookName("module", statement="import matplotlib.pyplot as plt"),
        "tidy": NotebookName("function", source="def tidy(frame):\n    frame = frame.dropna()\n    return frame"),
    }
)


def _cell(number: int) -> str:
    source = f"frame_{number - 1}" if number else "pd.read_csv('a.csv')"
    return f"""# the cell number {number}
frame_{number} = tidy({source}).assign(total_{number}=lambda d: d.price * d.count)
means_{number} = frame_{number}.groupby("region").agg({{"total_{number}": ["sum", "mean"]}})
for region, group in frame_{number}.groupby("region"):
    if len(group) > {number}:
        print(f"{{region}}: {{group.total_{number}.mean():.2f}}")
rows_{number} = [(name, value) for name, value in means_{number}.items() if value is not None]
"""


def notebook(cells: int = CELLS) -> FlowDefinition:
    """A flow of ordinary cells, each of which reads the one above it."""
    steps = tuple(Step(name=f"cell_{number}", source=_cell(number)) for number in range(cells))
    return FlowDefinition(name="bench", steps=steps)


def chain(steps: int = STEPS) -> FlowDefinition:
    """Steps of one and the same body, each of which reads the one above it."""
    first = Step(name="first", source="x = 1")
    return FlowDefinition(
        name="chain", steps=(first, *(Step(name=f"s{number}", source="y = x\nx = y") for number in range(steps)))
    )


def measure(work: Callable[[], object]) -> float:
    """CPU seconds that `work` takes, once."""
    start = time.process_time()
    work()
    return time.process_time() - start


def analysis_of_a_notebook() -> float:
    """Seconds for a notebook of 500 cells that was never seen before."""
    analyze_cell.cache_clear()
    forget_glances()
    flow = notebook()
    return measure(lambda: build_graph(flow, _SURROUNDINGS))


def analysis_of_a_changed_cell() -> float:
    """Seconds for the same notebook after one of its cells was changed."""
    flow = notebook()
    build_graph(flow, _SURROUNDINGS)
    steps = list(flow.steps)
    steps[CELLS // 2] = Step(name=steps[CELLS // 2].name, source=steps[CELLS // 2].source + "\nextra = 1\n")
    changed = FlowDefinition(name="bench", steps=tuple(steps))
    return measure(lambda: build_graph(changed, _SURROUNDINGS))


def analysis_of_many_steps() -> float:
    """Seconds for a chain of 10,000 steps."""
    flow = chain()
    return measure(lambda: build_graph(flow, _SURROUNDINGS))


def main() -> None:
    """Prints the figures and fails where one misses its target."""
    for name, work, target_s in (
        (f"{CELLS} cells, first time", analysis_of_a_notebook, TARGET_S),
        (f"{CELLS} cells, one of them changed", analysis_of_a_changed_cell, TARGET_S / 5),
        (f"{STEPS} steps in a chain", analysis_of_many_steps, STEPS_TARGET_S),
    ):
        seconds = min(work() for _ in range(3))
        print(f"{name:35} {seconds * 1000:8.1f} ms   target {target_s * 1000:6.0f} ms")
        assert seconds < target_s, f"{name} took {seconds:.3f} s"


if __name__ == "__main__":
    main()
