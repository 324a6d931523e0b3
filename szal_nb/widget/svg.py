"""The picture without a program: a self-contained SVG and a plain text, both from `view_state`'s JSON. Pure.

Everything that comes from a notebook is escaped. Icons are paths; a state is always told by its icon and its word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from szal_nb.model.duration import format_duration
from szal_nb.widget.layout import Placement, place
from szal_nb.widget.view import STATE_OF_CODE, is_over
from szal_nb.widget.wording import count_line, fact_line, one_line, state_word, time_spent

JsonObject = Mapping[str, Any]

NODE_WIDTH = 200
NODE_HEIGHT = 48
_RANK_GAP = 64
_ROW_GAP = 20
_MARGIN = 20
_HEADER = 52
_WIDEST_LEFT_TO_RIGHT = 1300
_NODES_DRAWN = 400
_NAME_SIZE = 13
_FACT_SIZE = 11.5
_TEXT_WIDTH = NODE_WIDTH - 38 - 10

# Each icon is drawn in a box of 16 by 16 with round strokes of 1.75.
ICONS: dict[str, str] = {
    "pending": "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11",
    "running": "M13.5 8a5.5 5.5 0 1 1-3.8-5.2M8 6.8a1.2 1.2 0 1 0 0 2.4a1.2 1.2 0 1 0 0-2.4",
    "retrying": "M13.2 8a5.2 5.2 0 1 1-1.7-3.9M11.8 1.6v2.8h-2.8",
    "waiting": "M5.6 3.5v9M10.4 3.5v9",
    "completed": "M3 8.6l3.4 3.4L13 4.6",
    "failed": "M4 4l8 8M12 4l-8 8",
    "skipped": "M3.5 4l4.5 4l-4.5 4M8.5 4l4.5 4l-4.5 4",
    "cancelled": "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M4.2 11.8L11.8 4.2",
    "rolled_back": "M6.5 3.5l-3.5 3.5l3.5 3.5M3.2 7h6.3a3.3 3.3 0 0 1 0 6.5h-2",
}
_LIGHT = {
    "canvas": "#fbfaf8",
    "card": "#ffffff",
    "ink": "#22262b",
    "muted": "#5d6670",
    "line": "#d5d3ce",
    "edge": "#a9adb1",
    "pending": "#6b747d",
    "running": "#1f5fbf",
    "retrying": "#8a5a00",
    "waiting": "#7a4fb5",
    "completed": "#1d7148",
    "failed": "#b83227",
    "skipped": "#6b747d",
    "cancelled": "#77606a",
    "rolled_back": "#77606a",
}
_DARK = {
    "canvas": "#17191c",
    "card": "#202327",
    "ink": "#e8e6e1",
    "muted": "#a0a7ae",
    "line": "#3a3f45",
    "edge": "#686f77",
    "pending": "#939ba3",
    "running": "#7fb0ff",
    "retrying": "#e3b052",
    "waiting": "#c3a1f2",
    "completed": "#62c596",
    "failed": "#ff8a7d",
    "skipped": "#939ba3",
    "cancelled": "#b99aa6",
    "rolled_back": "#b99aa6",
}
_NARROW, _WIDE = frozenset("ijltfr1I.,:;'|!()[]{} ·-"), frozenset("mwMW@%")
_UNDRAWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def render_svg(view: JsonObject) -> str:
    """The picture of `view_state(...)` as one SVG text, for a file, an `<img>` or a page; follows light and dark.

    Of a flow with more than 400 steps the first 400 are drawn, and the picture says so.
    """
    graph, run = view["graph"], view["run"]
    nodes = graph["nodes"][:_NODES_DRAWN]
    edges = [
        edge
        for edge in graph["edges"]
        if not edge.get("implied") and edge["source"] < len(nodes) and edge["target"] < len(nodes)
    ]
    placement = place(len(nodes), [(edge["source"], edge["target"]) for edge in edges])
    frame = _Frame(placement)
    title = _title(graph, run)
    left_out = len(graph["nodes"]) - len(nodes)
    drawn = [
        _opening(frame, title, run),
        f"<title>{_text(title)}</title>",
        f"<style>{_style()}</style>",
        f'<rect class="canvas" x=".5" y=".5" width="{frame.width - 1}" height="{frame.height - 1}" rx="10"/>',
        _header(graph, run, frame.width, left_out),
        *(_edge(edge, placement.bends[number], frame, placement) for number, edge in enumerate(edges)),
        *(_node(number, node, run, frame, placement) for number, node in enumerate(nodes)),
        "</svg>",
    ]
    return "".join(drawn)


def render_text(view: JsonObject, *, times: bool = False) -> str:
    """The picture as plain text: a line for the run, a line for each step with what it waits for.

    The same for the same states; `times` adds how long finished steps took.
    """
    graph, run = view["graph"], view["run"]
    names = [one_line(node["name"], 60) for node in graph["nodes"]]
    states = [state_word(str(STATE_OF_CODE[code])) for code in run["states"]]
    if run["state"] == "idle":
        states = ["" for _ in states]
    name_width = max(map(len, names), default=0)
    state_width = max(map(len, states), default=0)
    sources: dict[int, dict[int, list[str]]] = {}
    for edge in graph["edges"]:
        if not edge.get("implied"):
            said = sources.setdefault(edge["target"], {}).setdefault(edge["source"], [])
            said += edge.get("names") or ["in doubt" if edge["kind"] == "doubt" else "order"]
    lines = [_title(graph, run)]
    for number, name in enumerate(names):
        waits = [
            f"{names[source]} ({', '.join(one_line(word, 40) for word in dict.fromkeys(words))})"
            for source, words in sources.get(number, {}).items()
        ]
        line = f"  {name:<{name_width}}  {states[number]:<{state_width}}"
        facts = run["steps"].get(str(number), {})
        if times and facts.get("ended") is not None:
            line = f"{line}  {format_duration(facts['ended'] - facts['started'])}"
        if waits:
            line = f"{line}  <- {', '.join(waits)}"
        if facts.get("rebuilds"):
            line = f"{line.rstrip()}  rebuilds on resume"
        if "error" in facts:
            line = f"{line.rstrip()}  {one_line(facts['error'], 120)}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _opening(frame: _Frame, title: str, run: JsonObject) -> str:
    size = f'viewBox="0 0 {frame.width} {frame.height}" width="{frame.width}" height="{frame.height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_attribute(title)}" class="szal" '
        f'data-run="{_attribute(run["run"] or "")}" data-run-state="{_attribute(run["state"])}" '
        'font-family="system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">'
    )


class _Frame:
    """Turns ranks and positions across into points; chooses the direction that keeps the picture narrow."""

    def __init__(self, placement: Placement) -> None:
        depth, breadth = max(placement.depth, 1), placement.breadth
        row = NODE_HEIGHT + _ROW_GAP
        column = NODE_WIDTH + _ROW_GAP
        along = depth * NODE_WIDTH + (depth - 1) * _RANK_GAP
        down = column * breadth + NODE_WIDTH
        self.is_left_to_right = along <= _WIDEST_LEFT_TO_RIGHT or along <= down
        if self.is_left_to_right:
            width, height = float(along), row * breadth + NODE_HEIGHT
        else:
            width, height = down, depth * NODE_HEIGHT + (depth - 1) * _RANK_GAP
        self.width = round(max(width, 300) + 2 * _MARGIN)
        self.height = round(height + 2 * _MARGIN + _HEADER)
        self._left = _MARGIN + (max(width, 300) - width) / 2

    def corner(self, rank: int, across: float) -> tuple[float, float]:
        """The upper left corner of a node."""
        if self.is_left_to_right:
            x, y = float(rank * (NODE_WIDTH + _RANK_GAP)), across * (NODE_HEIGHT + _ROW_GAP)
        else:
            x, y = across * (NODE_WIDTH + _ROW_GAP), rank * (NODE_HEIGHT + _RANK_GAP)
        return self._left + x, y + _MARGIN + _HEADER

    def ports(self, rank: int, across: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where edges enter and leave a node, or pass a bend."""
        x, y = self.corner(rank, across)
        if self.is_left_to_right:
            return (x, y + NODE_HEIGHT / 2), (x + NODE_WIDTH, y + NODE_HEIGHT / 2)
        return (x + NODE_WIDTH / 2, y), (x + NODE_WIDTH / 2, y + NODE_HEIGHT)


def _title(graph: JsonObject, run: JsonObject) -> str:
    name = f"{one_line(graph['flow'], 60)} version {graph['version']}"
    total = len(graph["nodes"])
    if run["state"] == "idle":
        return f"{name}: {total} step{'' if total == 1 else 's'}"
    return f"{name}: {state_word(run['state'])}, {count_line(run['counts'], total)}"


def _header(graph: JsonObject, run: JsonObject, width: int, left_out: int) -> str:
    """The flow's name, what happened, and a seam with one stitch a step."""
    total = max(len(run["states"]), 1)
    said = count_line(run["counts"], len(run["states"]))
    if run["state"] == "idle":
        said = f"{len(graph['nodes'])} steps"
    elif is_over(run["state"]) and run.get("ended") and run.get("started"):
        said += f" · {format_duration(run['ended'] - run['started'])}"
    if left_out:
        said += f" ({left_out} more steps not drawn)"
    seam_width = width - 2 * _MARGIN
    gap = 3 if total <= 60 else 0
    stitch = (seam_width + gap) / total
    seam = []
    for state, start, count in _stretches(run["states"], is_joined=not gap):
        seam.append(
            f'<rect class="stitch {state}" x="{_MARGIN + start * stitch:.1f}" y="44" '
            f'width="{max(count * stitch - gap, 0.5):.1f}" height="4" rx="2"/>'
        )
    word = "" if run["state"] == "idle" else state_word(run["state"])
    room = width - 2 * _MARGIN
    name = _fitting(graph["flow"], room * 0.5, 15)
    left = room - _width(name, 16) - _width(word, _FACT_SIZE) - 24
    return (
        f'<text class="name big" x="{_MARGIN}" y="31">{_text(name)}'
        f'<tspan class="fact" dx="8">{_text(word)}</tspan></text>'
        f'<text class="fact" x="{width - _MARGIN}" y="31" text-anchor="end">'
        f"{_text(_fitting(said, left, _FACT_SIZE))}</text>{''.join(seam)}"
    )


def _stretches(states: str, *, is_joined: bool) -> list[tuple[str, int, int]]:
    """(state, first step, number of steps); neighbours of one state are one stretch if `is_joined`."""
    found: list[tuple[str, int, int]] = []
    for number, code in enumerate(states):
        state = str(STATE_OF_CODE[code])
        if is_joined and found and found[-1][0] == state:
            found[-1] = (state, found[-1][1], found[-1][2] + 1)
        else:
            found.append((state, number, 1))
    return found


def _edge(edge: JsonObject, bends: Sequence[tuple[int, float]], frame: _Frame, placement: Placement) -> str:
    source, target = edge["source"], edge["target"]
    start = frame.ports(placement.ranks[source], placement.across[source])[1]
    end = frame.ports(placement.ranks[target], placement.across[target])[0]
    path = [f"M{start[0]:.1f} {start[1]:.1f}"]
    at = start
    for rank, across in bends:
        into, out = frame.ports(rank, across)
        path += [_curve(at, into, frame), f"L{out[0]:.1f} {out[1]:.1f}"]
        at = out
    path.append(_curve(at, end, frame))
    said = ", ".join(edge.get("names", ())) or edge.get("reason", "")
    return f'<path class="edge {edge["kind"]}" d="{"".join(path)}"><title>{_text(one_line(said, 200))}</title></path>'


def _curve(start: tuple[float, float], end: tuple[float, float], frame: _Frame) -> str:
    if frame.is_left_to_right:
        half = (start[0] + end[0]) / 2
        return f"C{half:.1f} {start[1]:.1f} {half:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    half = (start[1] + end[1]) / 2
    return f"C{start[0]:.1f} {half:.1f} {end[0]:.1f} {half:.1f} {end[0]:.1f} {end[1]:.1f}"


def _node(number: int, node: JsonObject, run: JsonObject, frame: _Frame, placement: Placement) -> str:
    state = str(STATE_OF_CODE[run["states"][number]])
    facts = run["steps"].get(str(number), {})
    is_idle = run["state"] == "idle"
    fact = ", ".join(node["gives"]) if is_idle else fact_line(state, facts)
    # A picture that stands still tells no time that goes on.
    time = "" if state in ("running", "retrying") else time_spent(state, facts, 0)
    name_width = _TEXT_WIDTH - (_width(time, _FACT_SIZE) + 8 if time else 0)
    x, y = frame.corner(placement.ranks[number], placement.across[number])
    tip = f"{node['name']}: {state_word(state)}" + (f". {facts['error']}" if "error" in facts else "")
    if facts.get("rebuilds"):
        tip += ". Rebuilds on resume"
    return (
        f'<g class="node {state}" data-step="{_attribute(node["name"])}" data-state="{state}" '
        f'transform="translate({x:.1f} {y:.1f})"><title>{_text(one_line(tip, 400))}</title>'
        f'<rect class="card" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8"/>'
        f'<path class="icon" transform="translate(12 16)" d="{ICONS[state]}"/>'
        f'<text class="name" x="38" y="20">{_text(_fitting(node["name"], name_width, _NAME_SIZE))}</text>'
        f'<text class="fact" x="{NODE_WIDTH - 12}" y="20" text-anchor="end">{_text(time)}</text>'
        f'<text class="fact" x="38" y="37">{_text(_fitting(fact, _TEXT_WIDTH, _FACT_SIZE))}</text></g>'
    )


def _style() -> str:
    light = ";".join(f"--{name}:{colour}" for name, colour in _LIGHT.items())
    dark = ";".join(f"--{name}:{colour}" for name, colour in _DARK.items())
    states = "".join(f".szal .{state}{{--state:var(--{state})}}" for state in ICONS)
    return (
        f".szal{{{light}}}@media (prefers-color-scheme:dark){{.szal{{{dark}}}}}{states}"
        ".szal .canvas{fill:var(--canvas);stroke:var(--line)}"
        ".szal .card{fill:var(--card);stroke:var(--line)}"
        ".szal .running .card,.szal .failed .card,.szal .retrying .card,.szal .waiting .card{stroke:var(--state)}"
        ".szal .skipped .card,.szal .cancelled .card{stroke-dasharray:4 3}"
        ".szal .icon{fill:none;stroke:var(--state);stroke-width:1.75;stroke-linecap:round;stroke-linejoin:round}"
        ".szal .stitch{fill:var(--state)}.szal .stitch.pending{fill:var(--line)}"
        ".szal .name{fill:var(--ink);font-size:13px;font-weight:600}.szal .big{font-size:15px}"
        ".szal .fact{fill:var(--muted);font-size:11.5px;font-weight:400}"
        ".szal .edge{fill:none;stroke:var(--edge);stroke-width:1.4}"
        ".szal .doubt{stroke-dasharray:5 4}.szal .order,.szal .parent{stroke-dasharray:1.5 3.5;stroke-linecap:round}"
    )


def _width(text: str, size: float) -> float:
    """About how wide a line is, in the widest of the usual fonts: nobody can measure in a file."""
    return size * sum(
        0.4 if char in _NARROW else 1.02 if char in _WIDE or ord(char) > 0x2E7F else 0.68 if char.isupper() else 0.615
        for char in text
    )


def _fitting(text: str, width: float, size: float) -> str:
    """As much of `text` as fits in one line of `width`."""
    line = one_line(text, 80)
    if _width(line, size) <= width:
        return line
    while line and _width(line, size) > width - size:
        line = line[:-1]
    return f"{line.rstrip(' ·')}…"


def _text(text: str) -> str:
    return escape(_UNDRAWABLE.sub("\ufffd", text), quote=False)


def _attribute(text: str) -> str:
    return escape(_UNDRAWABLE.sub("\ufffd", text))
