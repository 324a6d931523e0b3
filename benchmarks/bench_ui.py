"""What the live picture costs: messages and bytes of a run, the kernel's time, first paint, drawing, a click.

Run: python -m benchmarks.bench_ui [--check]. A run of N steps that takes five seconds sends its events through a
`DagWidget` (by a simulated clock), then the committed bundle is drawn in Chromium. `--check` fails where a target is
missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from playwright.sync_api import CDPSession, Page

from szal_nb.model.event import Event, RunCreated, RunStarted, StepCompleted, StepStarted
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.widget.dag import DagWidget
from szal_nb.widget.view import view_state
from tests.chromium import chromium
from tests.widget.browser import picture_page
from tests.widget.flows import T0, warehouse, warehouse_events

SIZES = (50, 500, 2000, 5000)
RUN_S = 5.0
# The targets, at sizes up to 2,000 steps where no other is named.
MOST_MESSAGES_A_SECOND = 20.5
MOST_KB_A_SECOND = 100.0
MOST_DRAW_MS = 2.0
# Of the page's thread, all told: script, style, layout and paint. Before cards shared one layer it was 50.
MOST_FRAME_MS = 30.0
MOST_PAINT_OF_500_MS = 500.0
MOST_CLICK_MS = 200.0
MOST_MB_GROWN = 10.0

DRAW = """async () => {
  const states = [...window.states()];
  window.drawn_ms = [];
  for (let round = 0; round < 60; round++) {
    for (let at = 0; at < states.length / 50; at++) {
      states[(at * 37 + round * 11) % states.length] = "prtwcfsx"[(at + round) % 8];
    }
    window.change({ states: states.join("") });
    await new Promise((done) => setTimeout(done, 20));
  }
  const drawn = window.drawn_ms.sort((a, b) => a - b);
  return [drawn[Math.floor(drawn.length / 2)], drawn.length];
}"""
CLICK = """async () => {
  const answer = async () => {
    const start = performance.now();
    const sent = window.sent.length;
    (document.querySelector('[data-step] .szal-card') ?? document.querySelector('[data-tool="timeline"]')).click();
    while (window.sent.length === sent) await new Promise((done) => setTimeout(done, 0));
    await new Promise((done) => setTimeout(done, 2));
    return performance.now() - start;
  };
  const before = performance.memory?.usedJSHeapSize ?? 0;
  for (let round = 0; round < 10000; round++) window.change({});
  await new Promise((done) => setTimeout(done, 100));
  // Where nodes are marks the timeline's button is clicked, which asks only when it opens.
  const clicks = document.querySelector('[data-step] .szal-card') ? 20 : 1;
  const answers = [];
  for (let click = 0; click < clicks; click++) answers.push(await answer());
  return [Math.max(...answers), ((performance.memory?.usedJSHeapSize ?? 0) - before) / 1e6];
}"""


class Loop:
    """A loop whose time the benchmark moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        """Keeps `callback` until its time comes."""
        self.due.append((self.now + delay, callback))

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:
        """Calls at once."""
        callback(*args)

    def move(self, now: float) -> None:
        """Sets the time and calls what is due."""
        self.now = now
        due, self.due = [at for at in self.due if at[0] <= now], [at for at in self.due if at[0] > now]
        for _at, callback in due:
            callback()


class Counted(DagWidget):
    """Counts what would go over the wire."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.messages, self.bytes = 0, 0
        super().__init__(*args, **kwargs)
        self.first_bytes, self.messages, self.bytes = len(json.dumps(self.get_state()["graph"])), 0, 0

    def _send(self, msg: object, buffers: object = None) -> None:
        self.messages += 1
        self.bytes += len(json.dumps([msg, buffers]))


def traffic(count: int) -> tuple[float, float, float, float]:
    """Messages and kilobytes a second, kernel milliseconds a message, kilobytes of the graph, of a run of `count`."""
    graph = warehouse(count)
    names = [node.step.name for node in graph.nodes]
    loop = Loop()
    widget = Counted(graph, loop=loop, clock=lambda: T0)
    snapshot = RunSnapshot()
    events: list[Event] = [RunCreated(at=T0, flow="warehouse", steps=tuple(names)), RunStarted(at=T0)]
    for name in names:
        events += [StepStarted(at=T0, step=name, attempt=1), StepCompleted(at=T0 + 1, step=name, attempt=1)]
    spent = 0.0
    for number, event in enumerate(events):
        snapshot.apply(event)
        start = time.perf_counter()
        widget.show(snapshot, run_id="r")
        loop.move(number / len(events) * RUN_S)
        spent += time.perf_counter() - start
    per_second = (widget.messages / RUN_S, widget.bytes / RUN_S / 1e3)
    return (*per_second, spent / widget.messages * 1e3, widget.first_bytes / 1e3)


def drawing(page: Page) -> tuple[float, float]:
    """Milliseconds an update: the median of the picture's own script, and of all that its page does for it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = _thread_s(session)
    draw_ms, updates = page.evaluate(DRAW)
    return float(draw_ms), (_thread_s(session) - before) / updates * 1e3


def _thread_s(session: CDPSession) -> float:
    return next(
        float(metric["value"])
        for metric in session.send("Performance.getMetrics")["metrics"]
        if metric["name"] == "ThreadTime"
    )


def main() -> int:
    """Prints the table; 1 if `--check` is asked for and a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    is_checked = parser.parse_args().check
    missed = []
    titles = ("graph kB", "msg/s", "kB/s", "kernel ms", "paint ms", "draw ms", "frame ms", "click max", "MB/10k")
    print(" steps " + " ".join(f"{title:>9}" for title in titles))
    with chromium() as browser:
        for count in SIZES:
            messages, kilobytes, kernel_ms, graph_kb = traffic(count)
            graph = warehouse(count)
            view = view_state(graph, fold(warehouse_events(graph)), run_id="r")
            with picture_page(browser, view, height=900) as page:
                paint_ms = float(page.get_attribute("html", "data-painted_ms") or "inf")
                draw_ms, frame_ms = drawing(page)
                click_ms, grown_mb = page.evaluate(CLICK)
            figures = (graph_kb, messages, kilobytes, kernel_ms, paint_ms, draw_ms, frame_ms, click_ms, grown_mb)
            print(f"{count:6} " + " ".join(f"{figure:9.2f}" for figure in figures))
            targets = (
                ("messages a second", messages, MOST_MESSAGES_A_SECOND),
                ("kB a second", kilobytes, MOST_KB_A_SECOND if count <= 2000 else float("inf")),
                ("ms to draw", draw_ms, MOST_DRAW_MS if count <= 2000 else float("inf")),
                ("ms of the page's thread an update", frame_ms, MOST_FRAME_MS if count <= 2000 else float("inf")),
                ("ms to acknowledge the slowest click", click_ms, MOST_CLICK_MS),
                ("MB more after 10,000 updates", grown_mb, MOST_MB_GROWN),
                ("ms to first paint", paint_ms, MOST_PAINT_OF_500_MS if count <= 500 else float("inf")),
            )
            missed += [
                f"{count} steps: {value:.1f} {name}, at most {most}" for name, value, most in targets if value > most
            ]
    for line in missed:
        print(f"missed: {line}")
    return 1 if is_checked and missed else 0


if __name__ == "__main__":
    sys.exit(main())
