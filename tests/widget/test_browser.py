"""The picture as a browser draws it. The screenshots go to `build/pictures`: look at them after a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from szal_nb.model.event import StepCompleted
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.state import fold
from szal_nb.model.step import Step
from szal_nb.widget.comparison import ToldRun, comparison_view
from szal_nb.widget.details import details_view
from szal_nb.widget.history import history_view, timeline_view
from szal_nb.widget.report import render_report
from szal_nb.widget.view import view_state
from tests.axe import findings
from tests.chromium import CHROMIUM, chromium
from tests.e2e.lab import until
from tests.odd_strings import ODD
from tests.widget.browser import picture_page, runs_page, save_screenshot
from tests.widget.flows import (
    OUTPUTS,
    RUN_ID,
    SALES_EVENTS,
    T0,
    mapped,
    mapped_events,
    sales,
    sales_run,
    sales_waiting,
    table,
    warehouse,
    warehouse_events,
)

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed; `make e2e` installs it"),
]
ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "pictures"

MOMENTS = {
    "idle": lambda: None,
    "running": lambda: sales_run(10),
    "retrying": lambda: sales_run(4),
    "waiting": sales_waiting,
    "failed": sales_run,
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def sales_view(moment: str):
    snapshot = MOMENTS[moment]()
    return view_state(sales(), snapshot, run_id=RUN_ID if snapshot else None, now=T0 + 4.9)


def sales_details():
    return {node.step.name: details_view(sales(), sales_run(), node.step.name, OUTPUTS) for node in sales().nodes}


def sales_history():
    return {**history_view(sales(), SALES_EVENTS), "timeline": timeline_view(sales(), sales_run())}


def shown_states(page) -> dict[str, str]:
    return page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('[data-step]')].map((n) => [n.dataset.step, n.dataset.state]))"
    )


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_is_drawn_and_axe_finds_nothing(browser, moment, is_dark):
    with picture_page(browser, sales_view(moment), details=sales_details(), is_dark=is_dark) as page:
        page.click('[data-step="by_region"] .szal-card')
        page.wait_for_selector(".szal-panel-body > *")
        assert page.locator(".szal-dag").get_attribute("data-theme") == ("dark" if is_dark else "light")
        save_screenshot(page, PICTURES, f"{moment}_{'dark' if is_dark else 'light'}")
        found = findings(page, ".szal-dag")
        page.click('[data-tool="timeline"]')
        for tab in ("code", "log", "attempts", "why"):
            page.click(f'[data-tab="{tab}"]')
            if moment == "failed":
                save_screenshot(page, PICTURES, f"details_{tab}_{'dark' if is_dark else 'light'}")
            found += findings(page, ".szal-dag")

    assert found == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_a_map_of_a_thousand_elements_is_one_node_with_a_list_and_axe_finds_nothing(browser, is_dark):
    graph, snapshot = mapped(), fold(mapped_events())
    view = view_state(graph, snapshot, run_id=RUN_ID, now=T0 + 4.9)
    details = {"read": details_view(graph, snapshot, "read")}
    with picture_page(browser, view, details=details, is_dark=is_dark) as page:
        page.click('[data-step="read"] .szal-card')
        page.click('[data-tab="attempts"]')
        page.wait_for_selector(".szal-elements")
        said = page.inner_text(".szal-panel-body h3 >> nth=0")
        first = page.inner_text(".szal-elements tr >> nth=0")
        save_screenshot(page, PICTURES, f"map_{'dark' if is_dark else 'light'}")
        found = findings(page, ".szal-dag")

    assert said == "640 of 1000 elements ended · 3 failed · 200 shown"
    assert first.split() == ["77", "failed", "ValueError:", "no", "header"]
    assert found == []


@pytest.mark.parametrize("width", [320, 430])
def test_in_a_narrow_cell_all_is_there_and_nothing_is_cut(browser, width):
    with picture_page(
        browser, sales_view("failed"), details=sales_details(), history=sales_history(), width=width, height=1100
    ) as page:
        page.click('[data-tool="timeline"]')
        page.wait_for_selector(".szal-bar")
        page.focus('[data-step="by_region"] .szal-card')
        page.keyboard.press("Enter")
        page.wait_for_selector(".szal-traceback")
        save_screenshot(page, PICTURES, f"narrow_{width}")
        spill = page.evaluate(
            """[...document.querySelectorAll('.szal-header *, .szal-panel > *, .szal-tab, .szal-timeline')].filter((part) =>
              part.getBoundingClientRect().right > document.querySelector('.szal-dag').getBoundingClientRect().right + 1
            ).map((part) => part.className)"""
        )
        found = findings(page, ".szal-dag")

    assert spill == []
    assert found == []


def runs_data():
    runs = {"one": SALES_EVENTS, "two": SALES_EVENTS[:10]}
    opened = {
        name: {
            "run": name,
            "view": view_state(sales(), fold(events), run_id=name, is_crashed=name == "two", now=T0 + 9),
            "attempts": timeline_view(sales(), fold(events)),
            **history_view(sales(), events),
        }
        for name, events in runs.items()
    }
    rows = [
        {
            "id": name, "flow": "coffee sales", "version": 2, "shown_state": view["view"]["run"]["state"], "reason": "",
            "params": {"region": "EU"}, "created": T0, "started": T0, "ended": view["view"]["run"]["ended"],
            "counts": view["view"]["run"]["counts"],
        }
        for name, view in opened.items()
    ]  # fmt: skip
    told = [ToldRun(name, sales(), fold(events)) for name, events in runs.items()]
    return {"rows": rows, "opened": opened, "comparison": comparison_view(*told)}


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_table_of_runs_and_two_compared_are_drawn_and_axe_finds_nothing(browser, is_dark):
    theme = "dark" if is_dark else "light"
    with runs_page(browser, runs_data(), is_dark=is_dark) as page:
        page.click('[data-run-row="one"] [data-part="open"]')
        page.wait_for_selector(".szal-runs-opened .szal-bar")
        save_screenshot(page, PICTURES, f"runs_{theme}")
        found = findings(page, ".szal-run-browser")
        page.click('[data-run-row="one"] [data-action="delete"]')
        found += findings(page, ".szal-run-browser")
        page.click('[data-action="keep"]')
        for box in page.locator('[data-part="choose"]').all():
            box.check()
        page.click('[data-action="compare"]')
        page.wait_for_selector(".szal-differences")
        save_screenshot(page, PICTURES, f"compared_{theme}")
        found += findings(page, ".szal-run-browser")

    assert found == []


@pytest.mark.parametrize("count", [50, 500, 2000])
def test_large_flows_are_on_the_screen_at_once(browser, count):
    graph = warehouse(count)
    view = view_state(graph, fold(warehouse_events(graph)), run_id="r")
    with picture_page(browser, view, height=900) as page:
        save_screenshot(page, PICTURES, f"steps_{count}")

        box = page.locator(".szal-scene").bounding_box()
        cards = page.evaluate(
            "[...document.querySelectorAll('.szal-node')].map((n) => n.getBoundingClientRect().toJSON())"
        )

    assert len(cards) == count
    assert min(card["left"] for card in cards) >= box["x"]
    assert max(card["right"] for card in cards) <= box["x"] + box["width"]
    assert max(card["bottom"] for card in cards) <= box["y"] + box["height"]


def test_cards_never_overlap_and_their_text_stays_inside(browser):
    graph = warehouse(50)
    with picture_page(browser, view_state(graph, fold(warehouse_events(graph)))) as page:
        overlaps, spills = page.evaluate(
            """() => {
              const boxes = [...document.querySelectorAll('.szal-card')].map((card) => card.getBoundingClientRect());
              const overlaps = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
                a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
              const spills = [...document.querySelectorAll('.szal-card')].filter((card) => {
                const box = card.getBoundingClientRect();
                return [...card.children].some((part) => part.getBoundingClientRect().right > box.right + 0.5);
              });
              return [overlaps.length, spills.length];
            }"""
        )

    assert (overlaps, spills) == (0, 0)


def test_the_panel_leaves_the_whole_drawing_in_sight_and_gives_its_room_back(browser):
    ends = "[...document.querySelectorAll('.szal-card')].map((card) => card.getBoundingClientRect().right)"
    with picture_page(browser, sales_view("failed"), details=sales_details()) as page:
        before = max(page.evaluate(ends))
        page.click('[data-step="plot"] .szal-card')
        edge = page.locator(".szal-panel").bounding_box()["x"]
        until(page, lambda: max(page.evaluate(ends)) <= edge)
        page.keyboard.press("Escape")
        until(page, lambda: max(page.evaluate(ends)) == before)

    assert before > edge


def test_what_has_no_room_goes_as_a_whole_and_a_long_name_keeps_its_end(browser):
    events = (*SALES_EVENTS[:5], StepCompleted(at=T0 + 3, step="load", attempt=2, values=(table("o", 10**9, 10**6),)))
    flow = warehouse(50)
    with picture_page(browser, view_state(sales(), fold(events), run_id="r")) as page:
        shown = page.locator('[data-step="load"] .szal-fact').evaluate(
            """(fact) => {
              const range = document.createRange();
              const box = fact.getBoundingClientRect();
              const seen = [...fact.firstChild.data].filter((_, at) => {
                range.setStart(fact.firstChild, at);
                range.setEnd(fact.firstChild, at + 1);
                const { top, bottom } = range.getBoundingClientRect();
                return (top + bottom) / 2 < box.bottom;
              });
              return [seen.join('').replaceAll('\u00a0', ' ').trim(), fact.scrollWidth <= fact.clientWidth];
            }"""
        )
    with picture_page(browser, view_state(flow, fold(warehouse_events(flow)), run_id="r")) as page:
        ends = page.evaluate(
            "[...document.querySelectorAll('.szal-name span:last-child')].map((end) =>"
            " end.getBoundingClientRect().right <= end.closest('.szal-name').getBoundingClientRect().right + 0.5)"
        )

    assert shown == ["completed · try 2", True]
    assert ends
    assert all(ends)


def test_a_double_click_meets_the_same_node_twice_and_nothing_moves_under_the_pointer(browser):
    with picture_page(browser, sales_view("failed"), details=sales_details()) as page:
        before = page.locator('[data-step="plot"]').bounding_box()
        page.dblclick('[data-step="plot"] .szal-card')

        assert page.locator('[data-step="plot"]').bounding_box() == before
        assert page.inner_text(".szal-panel-name") == "plot"


def test_everything_can_be_done_by_keyboard(browser):
    with picture_page(browser, sales_view("failed"), details=sales_details()) as page:
        page.focus('[data-step="load"] .szal-card')
        if page.get_attribute(".szal-scene", "data-direction") == "TB":
            page.keyboard.press("t")
        for key in ("ArrowRight", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        page.wait_for_selector(".szal-traceback, .szal-table")
        opened = page.inner_text(".szal-panel-name")
        page.keyboard.press("Escape")
        closed = page.is_hidden(".szal-panel")
        page.keyboard.press("/")
        page.keyboard.type("summ")
        page.keyboard.press("Enter")
        found = page.evaluate("document.activeElement.closest('[data-step]').dataset.step")

    assert opened in ("by_region", "by_month")
    assert closed
    assert found == "summary"


def test_the_slider_moves_the_whole_picture_through_the_run(browser):
    with picture_page(browser, sales_view("failed"), details=sales_details(), history=sales_history()) as page:
        page.click('[data-tool="timeline"]')
        page.wait_for_selector(".szal-bar")
        page.focus(".szal-range")
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
        page.wait_for_selector('[data-step="by_region"][data-state="running"]')
        past = shown_states(page)
        save_screenshot(page, PICTURES, "time_travel")
        page.click("text=Back to the end")
        page.wait_for_selector('.szal-dag[data-run-state="failed"]')
        present = shown_states(page)

    assert past == {
        "load": "completed",
        "clean": "completed",
        "by_region": "running",
        "by_month": "running",
        "plot": "pending",
        "summary": "pending",
    }
    assert present["by_region"] == "failed"


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "\u202egnp.exe",
    "x" * 1_000_000,
    "日本語" * 200,
    "a\u0300" * 500,
    "'\"`${alert(1)}",
    "__proto__",
    "constructor",
    "",
]


def test_hostile_names_and_texts_run_nothing_and_break_nothing(browser):
    steps = []
    for name in HOSTILE:
        step = Step(name="plain", raw=name, tags=(name,))
        object.__setattr__(step, "name", name)
        steps.append(step)
    nodes = tuple(StepNode(step=step, gives=(step.name,), notes=(step.name,)) for step in steps)
    edges = tuple(
        Edge(source=HOSTILE[0], target=name, kind=EdgeKind.DATA, names=(name,), reason=name, remedy=name)
        for name in HOSTILE[1:]
    )
    flow = FlowDefinition(name=HOSTILE[3], steps=tuple(steps))
    view = view_state(FlowGraph(flow=flow, nodes=nodes, edges=edges), None)
    with picture_page(browser, view) as page:
        for number in range(len(HOSTILE)):
            page.click(f'.szal-node[data-node="{number}"] .szal-card', force=True)
            for tab in ("result", "code", "log", "attempts", "why"):
                page.click(f'[data-tab="{tab}"]')
            page.keyboard.press("Escape")
        page.wait_for_timeout(50)
        save_screenshot(page, PICTURES, "hostile")
        width = page.evaluate("document.documentElement.scrollWidth")
        scripts = page.evaluate("document.querySelectorAll('.szal-dag script, .szal-dag img').length")

    assert width <= 1040
    assert scripts == 0


def odd_view():
    """A picture in which every text is odd, each text once."""
    steps = []
    for number, text in enumerate(ODD):
        step = Step(name=f"s{number}", raw=text, approve=text, tags=(text,))
        object.__setattr__(step, "name", f"{number} {text}")
        steps.append(step)
    nodes = tuple(StepNode(step=step, gives=(text,), notes=(text,)) for step, text in zip(steps, ODD, strict=True))
    edges = tuple(
        Edge(source=a.name, target=b.name, kind=EdgeKind.DOUBT, names=(text,), rule=text, reason=text, remedy=text)
        for a, b, text in zip(steps[:-1], steps[1:], ODD, strict=False)
    )
    flow = FlowDefinition(name=ODD[60], steps=tuple(steps))
    return view_state(FlowGraph(flow=flow, nodes=nodes, edges=edges), None)


def test_five_hundred_odd_texts_run_nothing_and_break_nothing(browser):
    assert len(ODD) == 515
    made = (
        "script, img, iframe, style, base, object, embed, math, input:not(.szal-search), [onload], [onerror], [onclick]"
    )
    with picture_page(browser, odd_view()) as page:
        for number in range(0, len(ODD), 5):
            page.dispatch_event(f'.szal-node[data-node="{number}"] .szal-card', "click")
            for tab in ("code", "why"):
                page.click(f'[data-tab="{tab}"]')
            found = page.evaluate(
                f"document.querySelectorAll('.szal-panel :is({made}), .szal-scene :is({made})').length"
            )
            assert page.inner_text(".szal-panel-name").startswith(str(number))
            assert found == 0, ODD[number]
            page.keyboard.press("Escape")
        assert page.evaluate("typeof hacked") == "undefined"
        assert page.evaluate("document.documentElement.scrollWidth") <= 1040


def test_a_kernel_that_is_gone_leaves_the_last_picture_with_an_explanation(browser):
    with picture_page(browser, sales_view("running")) as page:
        page.evaluate("window.isDead = true")
        page.click('.szal-header [data-action="cancel"]')
        page.wait_for_selector(".szal-message:not([hidden])", timeout=6000)
        save_screenshot(page, PICTURES, "no_kernel")
        disabled = page.is_disabled('.szal-header [data-action="cancel"]')

        page.evaluate("window.isDead = false; window.change({ cancelling: true })")
        page.wait_for_selector(".szal-message", state="hidden")

    assert disabled


def test_drawing_the_changes_of_two_thousand_steps_takes_milliseconds(browser):
    graph = warehouse(2000)
    with picture_page(browser, view_state(graph, fold(warehouse_events(graph)), run_id="r")) as page:
        median = page.evaluate(
            """async () => {
              const states = [...window.states()];
              window.drawn_ms = [];
              for (let round = 0; round < 40; round++) {
                for (let at = 0; at < 40; at++) states[(at * 37 + round * 11) % 2000] = "prtwcfsx"[(at + round) % 8];
                window.change({ states: states.join("") });
                await new Promise((done) => setTimeout(done, 20));
              }
              return window.drawn_ms.sort((a, b) => a - b)[Math.floor(window.drawn_ms.length / 2)];
            }"""
        )
    print(f"median of drawing 40 changes among 2,000 steps: {median:.1f} ms")

    assert median < 20


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_works_from_a_file_with_no_network_and_axe_finds_nothing(browser, tmp_path, theme):
    path = tmp_path / "run.html"
    path.write_text(render_report(sales(), SALES_EVENTS, run_id=RUN_ID), encoding="utf-8")
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 800}, offline=True, color_scheme=theme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".szal-bar")
    page.click('[data-step="by_region"] .szal-card')
    page.wait_for_selector(".szal-traceback")
    save_screenshot(page, PICTURES, f"report_{theme}")
    found = findings(page, "html")
    buttons = page.locator("button[data-action]:visible").count()
    states = shown_states(page)
    context.close()

    assert found == []
    assert asked == [path.as_uri()]
    assert wrong == []
    assert buttons == 0
    assert states["by_region"] == "failed"


def test_the_widget_leaves_nothing_when_it_ends(browser):
    with picture_page(browser, sales_view("running")) as page:
        page.evaluate("window.end()")

        assert page.locator(".szal-dag").count() == 0
