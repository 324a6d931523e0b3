"""What Python and TypeScript agree on, in files that both sides' tests read.

`SZAL_WRITE_CONTRACT=1 pytest tests/contract` writes them anew; then `npm test` in `extension/` must agree.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from szal_nb.model.duration import format_duration
from szal_nb.model.event import StepOutput
from szal_nb.model.state import StepState, fold
from szal_nb.model.value import Output
from szal_nb.widget.command import ACTIONS, QUESTIONS
from szal_nb.widget.details import details_view
from szal_nb.widget.history import history_view, log_view, timeline_view
from szal_nb.widget.layout import place
from szal_nb.widget.svg import ICONS
from szal_nb.widget.view import STATE_CODES, view_state
from szal_nb.widget.wording import count_line, fact_line, format_shape, format_size, one_line, time_spent
from tests.widget.flows import OUTPUTS, RUN_ID, SALES_EVENTS, T0, sales, sales_run, sales_waiting, warehouse

HERE = Path(__file__).parent
NOW = T0 + 4.9

GRAPHS = {
    "nothing": (0, []),
    "one": (1, []),
    "chain": (3, [(0, 1), (1, 2)]),
    "diamond": (4, [(0, 1), (0, 2), (1, 3), (2, 3)]),
    "long edge": (4, [(0, 1), (1, 2), (2, 3), (0, 3)]),
    "late source": (4, [(0, 1), (1, 2), (3, 2)]),
    "two parts": (5, [(0, 1), (2, 3), (2, 4)]),
    "crossing": (6, [(0, 5), (1, 4), (2, 3), (0, 4)]),
    "a cycle draws": (4, [(0, 1), (1, 2), (2, 1), (2, 3)]),
    "a name read twice": (2, [(0, 1), (0, 1)]),
}
FACTS = (
    ("pending", {}),
    ("running", {"attempts": 1, "started": T0}),
    ("running", {"attempts": 3, "started": T0 + 4.65}),
    ("retrying", {"attempts": 1, "started": T0, "ended": T0 + 1, "retry_at": T0 + 12, "error": "ValueError: no"}),
    ("waiting", {"reason": "Send it?"}),
    ("waiting", {"reason": "Really\u202e send\n<b>all</b> of it, " * 10}),
    ("completed", {"reason": "it stopped the run: nothing new"}),
    ("completed", {"attempts": 1, "started": T0, "ended": T0 + 75}),
    ("completed", {"attempts": 2, "started": T0, "ended": T0 + 1, "values": [{"name": "x", "type": "int", "size": 8}]}),
    ("completed", {"values": [{"name": "x", "type": "str", "size": 900}, {"name": "y", "type": "str", "size": 300}]}),
    ("completed", {"values": [{"name": "x", "type": "list", "size": 900, "shape": [12]}]}),
    ("completed", {"origin": "cached", "values": [{"name": "d", "type": "DataFrame", "size": 9, "shape": [10000, 4]}]}),
    ("failed", {"attempts": 1, "started": T0, "ended": T0 + 1, "error": "KeyError: 'Region'"}),
    ("failed", {}),
    ("skipped", {"reason": "load failed"}),
    ("cancelled", {"attempts": 1, "started": T0, "ended": T0 + 2}),
    ("rolled_back", {}),
    (
        "completed",
        {"attempts": 2, "values": [{"name": "x", "type": "str", "size": 9000}], "rollback_error": "OSError: no bank"},
    ),
    ("running", {"started": T0, "done": 417.9, "total": 1000, "note": "reading"}),
    ("running", {"started": T0, "done": 3}),
    ("running", {"started": T0, "done": 0.256, "total": 1}),
    ("running", {"started": T0, "done": 2, "total": 2.5}),
    ("completed", {"elements_failed": 1}),
    ("completed", {"values": [{"name": "y", "type": "list", "size": 9, "shape": [5000]}], "elements_failed": 1200}),
    ("completed", {"started": T0, "ended": T0 + 1, "done": 1000, "total": 1000}),
)
LINES = (
    "plain",
    "two\nlines\tand  more",
    "a" * 50,
    "evil \u202etxt.exe",
    "\x1b[31mred\x1b[0m\x00",
    '<b>bold</b> & "so"',
)


def layout() -> object:
    cases = [{"name": name, "count": count, "edges": edges} for name, (count, edges) in GRAPHS.items()]
    for count in (50, 200):
        graph = warehouse(count)
        index = {node.step.name: number for number, node in enumerate(graph.nodes)}
        edges = [(index[edge.source], index[edge.target]) for edge in graph.edges]
        cases.append({"name": f"warehouse of {count}", "count": count, "edges": edges})
    for case in cases:
        placed = place(case["count"], case["edges"])
        case["ranks"], case["across"], case["bends"] = placed.ranks, placed.across, placed.bends
    return cases


def wording() -> object:
    seconds = (0, 0.0004, 0.25, 0.9994, 1, 3.14159, 59.94, 60, 75, 3599, 3725, 90_000)
    sizes = (0, 999, 1000, 1049, 99_949, 99_950, 1_250_000, 999_949_999, 999_950_000, 10**13)
    return {
        "durations": [[second, format_duration(second)] for second in seconds],
        "sizes": [[size, format_size(size)] for size in sizes],
        "shapes": [[shape, format_shape(shape)] for shape in ([], [1], [3000], [10_000, 4], [1, 2, 3])],
        "lines": [[line, one_line(line, 30)] for line in LINES],
        "counts": [
            [counts, 9, count_line(counts, 9)]
            for counts in ({}, {"completed": 9}, {"pending": 4, "failed": 1, "running": 2, "completed": 2})
        ],
        "facts": [
            {"state": state, "facts": facts, "said": fact_line(state, facts), "time": time_spent(state, facts, NOW)}
            for state, facts in FACTS
        ],
        "now": NOW,
    }


def names() -> object:
    return {
        "states": {code: str(state) for state, code in STATE_CODES.items()},
        "icons": ICONS,
        "actions": ACTIONS,
        "questions": QUESTIONS,
    }


def sales_details() -> object:
    return {node.step.name: details_view(sales(), sales_run(), node.step.name, OUTPUTS) for node in sales().nodes}


def sales_log() -> object:
    first = StepOutput(at=T0 + 1, step="load", attempt=1, items=(Output(type="stream", name="stdout", text="old\n"),))
    said = [StepOutput(at=T0 + 3 + n / 10, step="load", attempt=2, items=(item,)) for n, item in enumerate(OUTPUTS)]
    return log_view((*SALES_EVENTS[:3], first, *SALES_EVENTS[3:5], *said, *SALES_EVENTS[5:]), "load")


def sales_history() -> object:
    graph = sales()
    ends = (0, 1, 4, 5, 10, len(SALES_EVENTS))
    views = {end: view_state(graph, fold(SALES_EVENTS[:end]))["run"] for end in ends}
    return {
        **history_view(graph, SALES_EVENTS),
        "timeline": timeline_view(graph, sales_run()),
        "moments": [
            {"position": end, "states": view["states"], "state": view["state"], "facts": view["steps"]}
            for end, view in views.items()
        ],
    }


CONTRACTS = {
    "layout": layout,
    "wording": wording,
    "names": names,
    "sales_idle": lambda: view_state(sales(), None),
    "sales_running": lambda: view_state(sales(), sales_run(10), run_id=RUN_ID, now=NOW),
    "sales_waiting": lambda: view_state(sales(), sales_waiting(), run_id=RUN_ID, now=NOW),
    "sales_failed": lambda: view_state(sales(), sales_run(), run_id=RUN_ID, now=NOW),
    "sales_crashed": lambda: view_state(sales(), sales_run(10), run_id=RUN_ID, is_crashed=True, now=NOW),
    "sales_details": sales_details,
    "sales_history": sales_history,
    "sales_log": sales_log,
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_contract_file_says_what_python_sends(name):
    sent = json.dumps(CONTRACTS[name](), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path = HERE / f"{name}.json"
    if os.environ.get("SZAL_WRITE_CONTRACT"):
        path.write_text(sent, encoding="utf-8")

    assert path.read_text(encoding="utf-8") == sent


def test_every_state_has_a_code_and_an_icon():
    assert set(STATE_CODES) == set(StepState)
    assert set(ICONS) == {str(state) for state in StepState}
    assert len(set(STATE_CODES.values())) == len(STATE_CODES)
