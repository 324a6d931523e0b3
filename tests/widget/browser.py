"""The committed bundles in a real browser, without Jupyter: a page, a model that answers, and nothing from a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from playwright.sync_api import Browser, Page, Route

from szal_nb.widget.dag import STATIC

ADDRESS = "http://picture.test/"
POLICY = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; font-src 'self'"
# Fonts that come with a package of `requirements/lock.txt`: what is installed on a machine makes no difference.
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
_FACES = (
    ("Steady", 400, "DejaVuSans.ttf"),
    ("Steady", 700, "DejaVuSans-Bold.ttf"),
    ("SteadyMono", 400, "DejaVuSansMono.ttf"),
)
_SAME_EVERYWHERE: dict[str, Any] = {"reduced_motion": "reduce", "locale": "en-GB", "timezone_id": "UTC"}
_STEADY = (
    "".join(f"@font-face{{font-family:{name};font-weight:{weight};src:url(/{file})}}" for name, weight, file in _FACES)
    + "body{--jp-ui-font-family:Steady;--jp-code-font-family:SteadyMono}"
)

# What anywidget gives a widget, with a kernel that acknowledges and tells details.
MODEL = """
import widget from "/dag.js";
const nextFrame = window.requestAnimationFrame.bind(window);
window.drawn_ms = [];
window.requestAnimationFrame = (draw) => nextFrame((at) => {
  const start = performance.now();
  draw(at);
  window.drawn_ms.push(performance.now() - start);
});
const data = await (await fetch("/data.json")).json();
const { steps, ...run } = data.view.run;
const traits = {
  graph: data.view.graph,
  run: { ...run, seq: 0, delta: {} },
  facts: { seq: 0, steps },
  actions: ["run", "pause", "resume", "cancel", "retry", "approve", "reject", "skip", "fork", "only"],
};
const listeners = {};
const emit = (event, value) => [...(listeners[event] ?? [])].forEach((listener) => listener(value));
const answer = (message) => {
  emit("msg:custom", { type: "ack", id: message.id, action: message.action });
  const details = data.details[message.step];
  if (message.action === "details" && details) emit("msg:custom", { type: "details", id: message.id, step: message.step, details });
  if (message.action === "history") emit("msg:custom", { type: "history", id: message.id, run: traits.run.run, first: 0, attempts: data.timeline, frames: data.frames });
  if (message.action === "log") emit("msg:custom", { type: "log", id: message.id, step: message.step, pieces: data.logs?.[message.step] ?? [] });
};
window.sent = [];
window.isDead = false;
const model = {
  get: (name) => traits[name],
  on: (event, listener) => (listeners[event] ??= new Set()).add(listener),
  off: (event, listener) => listeners[event]?.delete(listener),
  send: (message) => { window.sent.push(message); if (!window.isDead) setTimeout(() => answer(message), 1); },
};
window.states = () => traits.run.states;
window.change = (changes) => { traits.run = { ...traits.run, delta: {}, ...changes, seq: traits.run.seq + 1 }; emit("change:run"); };
const start = performance.now();
const element = document.getElementById("host");
const ends = [widget.initialize({ model }), widget.render({ model, el: element })];
window.end = () => ends.forEach((end) => end?.());
requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.painted_ms = performance.now() - start; }));
if (traits.run.now) emit("change:run");
"""


# The same for the table of runs, with a kernel that opens and compares.
RUNS_MODEL = """
import widget from "/runs.js";
const data = await (await fetch("/data.json")).json();
const listeners = {};
const emit = (event, value) => [...(listeners[event] ?? [])].forEach((listener) => listener(value));
const traits = { rows: data.rows, actions: ["resume", "delete"] };
const answer = (message) => {
  if (message.action === "open") emit("msg:custom", { type: "opened", id: message.id, ...data.opened[message.run] });
  if (message.action === "compare") emit("msg:custom", { type: "compared", id: message.id, comparison: data.comparison,
    opened: [data.opened[message.run], data.opened[message.other]] });
};
const model = {
  get: (name) => traits[name],
  on: (event, listener) => (listeners[event] ??= new Set()).add(listener),
  off: (event, listener) => listeners[event]?.delete(listener),
  send: (message) => setTimeout(() => answer(message), 1),
};
widget.render({ model, el: document.getElementById("host") });
document.documentElement.dataset.painted_ms = "0";
"""


@contextmanager
def runs_page(browser: Browser, data: dict[str, Any], *, is_dark: bool = False) -> Iterator[Page]:
    """A page with the table of the runs in `data`, each of which can be opened."""
    with _page(browser, RUNS_MODEL, "runs.js", data, is_dark=is_dark, width=1200, height=900) as page:
        yield page


@contextmanager
def picture_page(
    browser: Browser,
    view: dict[str, Any],
    *,
    details: dict[str, Any] | None = None,
    history: dict[str, Any] | None = None,
    is_dark: bool = False,
    steady_at: float | None = None,
    width: int = 1040,
    height: int = 760,
) -> Iterator[Page]:
    """A page with the widget on `view`, painted; fails at the end if anything in it failed or asked for a network.

    `steady_at`: the same pixels at every call. The clock stands at this time, nothing moves, fonts are our own.
    """
    data = {"view": view, "details": details or {}, **(history or {"timeline": [], "frames": []})}
    with _page(
        browser, MODEL, "dag.js", data, is_dark=is_dark, width=width, height=height, steady_at=steady_at
    ) as page:
        yield page


@contextmanager
def _page(
    browser: Browser,
    model: str,
    bundle: str,
    data: dict[str, Any],
    *,
    is_dark: bool,
    width: int,
    height: int,
    steady_at: float | None = None,
) -> Iterator[Page]:
    background = "#111318" if is_dark else "#ffffff"
    style = f"body{{margin:16px;background:{background}}}" + (_STEADY if steady_at is not None else "")
    page_text = (
        f'<!doctype html><html lang="en"><title>Picture</title><style>{style}</style>'
        '<main id="host"></main><script type="module" src="/model.js"></script>'
    )
    texts: dict[str, tuple[str, str | bytes]] = {
        "": ("text/html", page_text),
        "model.js": ("text/javascript", model),
        bundle: ("text/javascript", (STATIC / bundle).read_text(encoding="utf-8")),
        "data.json": ("application/json", json.dumps(data)),
        **{file: ("font/ttf", (FONTS / file).read_bytes()) for _name, _weight, file in _FACES},
    }
    wrong: list[str] = []

    def answer(route: Route) -> None:
        kind, text = texts.get(route.request.url.removeprefix(ADDRESS), ("", ""))
        if not kind:
            wrong.append(f"asked for {route.request.url}")
            route.abort()
            return
        route.fulfill(body=text, content_type=f"{kind}; charset=utf-8", headers={"Content-Security-Policy": POLICY})

    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if is_dark else "light",
        device_scale_factor=1.5 if steady_at is None else 2,
        **(_SAME_EVERYWHERE if steady_at is not None else {}),
    )
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"a dialog opened: {dialog.message}"))
        page.route("**/*", answer)
        if steady_at is not None:
            page.clock.set_fixed_time(steady_at * 1000)
        page.goto(ADDRESS)
        page.wait_for_selector("html[data-painted_ms]")
        page.evaluate("document.fonts.ready")
        yield page
        assert wrong == []
    finally:
        context.close()


def save_screenshot(page: Page, folder: Path, name: str) -> None:
    """Keeps what the page shows, for a person to judge."""
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
