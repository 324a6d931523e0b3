"""A run as one file: the picture with its timeline, slider, sources, logs and values, drawn by the widget's own code.

The file needs no network and may use none: its content security policy runs the one script whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from szal_nb.model.event import Event, StepOutput
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import fold
from szal_nb.widget.details import details_view
from szal_nb.widget.history import history_view, log_view, timeline_view
from szal_nb.widget.svg import render_svg, render_text
from szal_nb.widget.view import JsonObject, view_state

_SCRIPT = Path(__file__).parent / "static" / "report.js"
_PAGE_STYLE = (
    ":root{color-scheme:light dark}body{margin:0;padding:24px;background:#fff}"
    "main,body>header{max-width:1320px;margin:0 auto}img{max-width:100%}"
    "h1{margin:0 0 12px;font:500 13px/1.4 system-ui,sans-serif;color:#5d6670;overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{background:#121416}h1{color:#a3aab1}}"
)


def render_report(
    graph: FlowGraph,
    events: Sequence[Event],
    *,
    run_id: str,
    is_crashed: bool = False,
    now: float | None = None,
    shown: Sequence[Event] | None = None,
) -> str:
    """The HTML text of the report on the run that `events` tell; `is_crashed` if its process died in it.

    `now` is the moment of which it tells, by default that of the last event. `shown` are events that tell what the
    steps showed, where those tell more.
    """
    snapshot = fold(events)
    now = now if now is not None or not events else events[-1].at
    view = view_state(graph, snapshot, run_id=run_id, is_crashed=is_crashed, now=now)
    data = _data(graph, events, view, events if shown is None else shown)
    script = _SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = html.escape(render_text(view).splitlines()[0])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_PAGE_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{html.escape(_heading(graph, run_id, events))}</h1></header>\n"
        f'<main id="szal-report"><noscript>{render_svg(view)}</noscript></main>\n'
        f'<script type="application/json" id="szal-data">{_embedded(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _heading(graph: FlowGraph, run_id: str, events: Sequence[Event]) -> str:
    """Which run of what, and when; the picture says how it stands."""
    begun = f", {datetime.fromtimestamp(events[0].at, UTC):%Y-%m-%d %H:%M} UTC" if events else ""
    return f"Run {run_id} of {graph.flow.name}, version {graph.flow.version}{begun}"


def _data(graph: FlowGraph, events: Sequence[Event], view: JsonObject, shown: Sequence[Event]) -> JsonObject:
    snapshot = fold(events)
    by_step: dict[str, list[Event]] = {}
    for event in shown:
        if isinstance(event, StepOutput):
            by_step.setdefault(event.step, []).append(event)
    logs = {name: log_view(found, name) for name, found in by_step.items()}
    details = {}
    for node, drawn in zip(graph.nodes, view["graph"]["nodes"], strict=True):
        name = node.step.name
        # What it showed is in `logs`, with the moments.
        details[name] = details_view(graph, snapshot, name)
        if drawn["source"] == details[name]["source"]:
            del details[name]["source"]
    return {
        **view,
        **history_view(graph, events),
        "timeline": timeline_view(graph, snapshot),
        "details": details,
        "logs": logs,
    }


def _embedded(data: JsonObject) -> str:
    """JSON that stays inside its element, whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
