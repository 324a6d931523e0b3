"""What the reading magics show: one run, a list of runs, the reasons of a step's place. Static: text and HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.widget.svg import render_svg, render_text
from szal_nb.widget.view import view_state


class Report:
    """Something to look at, as text and as HTML."""

    def __init__(self, text: str, markup: str) -> None:
        self._text = text
        self._markup = markup

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._markup


def one_run(graph: FlowGraph, snapshot: RunSnapshot, run_id: str, *, is_crashed: bool = False) -> Report:
    """A run's picture of this moment, and the errors of its failed steps."""
    view = view_state(graph, snapshot, run_id=run_id, is_crashed=is_crashed)
    failed = [(step.name, str(step.error)) for step in snapshot.steps.values() if step.error is not None]
    image = base64.b64encode(render_svg(view).encode()).decode()
    text = "\n".join([render_text(view), *(f"{step}: {error}" for step, error in failed)])
    errors = "".join(f"<li><b>{html.escape(step)}</b> {html.escape(error)}</li>" for step, error in failed)
    markup = f'<img alt="run {html.escape(run_id)}" src="data:image/svg+xml;base64,{image}" style="max-width:100%">'
    return Report(text, markup + (f"<ul>{errors}</ul>" if errors else ""))


def run_table(runs: Sequence[Any]) -> Report:
    """Stored runs, one a line."""
    if not runs:
        return Report("no runs", "<i>no runs</i>")
    rows = [("run", "flow", "version", "state", "created")]
    rows += [(run.id, run.flow, str(run.version), run.shown_state, _moment(run.created_at)) for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    head, *body = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    lines = "".join(f"<tr>{row}</tr>" for row in body)
    return Report(text, f"<table><thead><tr>{head.replace('td>', 'th>')}</tr></thead><tbody>{lines}</tbody></table>")


def _moment(at: Any) -> str:
    if isinstance(at, int | float):
        at = datetime.fromtimestamp(at, UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S") if isinstance(at, datetime) else str(at or "")
