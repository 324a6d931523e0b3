"""A few pictures that stay as they are until somebody wants them otherwise; what was drawn goes to build/pictures.

`make pictures` renews them. Look at each before it is committed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from szal_nb.model.state import fold
from szal_nb.widget.history import history_view, timeline_view
from szal_nb.widget.view import view_state
from tests.chromium import CHROMIUM, chromium
from tests.widget.browser import picture_page, save_screenshot
from tests.widget.flows import (
    RUN_ID,
    SALES_EVENTS,
    T0,
    mapped,
    mapped_events,
    sales,
    sales_run,
    warehouse,
    warehouse_events,
)
from tests.widget.references import MOST_SQUARES, squares_that_differ, taken
from tests.widget.test_browser import sales_details

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed; `make e2e` installs it"),
]
HERE = Path(__file__).parent / "references"
DRAWN = Path(__file__).parents[2] / "build" / "pictures"
IS_RENEWED = bool(os.environ.get("SZAL_RENEW_PICTURES"))
NOW = T0 + 4.9


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@contextmanager
def steady(browser, graph, snapshot, **options):
    view = view_state(graph, snapshot, run_id=RUN_ID, now=NOW)
    with picture_page(browser, view, steady_at=NOW, width=900, height=600, **options) as page:
        yield page


@contextmanager
def running(browser, **options):
    with steady(browser, sales(), sales_run(10), **options) as page:
        yield page


@contextmanager
def details_in_the_dark(browser):
    with steady(browser, sales(), sales_run(), details=sales_details(), is_dark=True) as page:
        page.click('[data-step="summary"] .szal-card')
        page.click('[data-tab="why"]')
        page.wait_for_selector(".szal-why")
        # The drawing has made room, which takes a moment.
        page.wait_for_selector(".szal-scene.is-gliding")
        yield page


@contextmanager
def past(browser):
    history = {**history_view(sales(), SALES_EVENTS), "timeline": timeline_view(sales(), sales_run())}
    with steady(browser, sales(), sales_run(), history=history) as page:
        page.click('[data-tool="timeline"]')
        page.wait_for_selector(".szal-bar")
        page.focus(".szal-range")
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
        page.wait_for_selector('[data-step="by_region"][data-state="running"]')
        yield page


@contextmanager
def map_of_a_thousand(browser):
    with steady(browser, mapped(), fold(mapped_events())) as page:
        yield page


@contextmanager
def two_hundred(browser):
    graph = warehouse(200)
    with steady(browser, graph, fold(warehouse_events(graph))) as page:
        yield page


PICTURES = {found.__name__: found for found in (running, details_in_the_dark, past, map_of_a_thousand, two_hundred)}


def drawn(page, name) -> Image.Image:
    save_screenshot(page, DRAWN, f"reference_{name}")
    return taken(DRAWN / f"reference_{name}.png")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was(browser, name):
    with PICTURES[name](browser) as page:
        shown = drawn(page, name)
    if IS_RENEWED:
        HERE.mkdir(exist_ok=True)
        shown.quantize(128).save(HERE / f"{name}.png", optimize=True)

    with Image.open(HERE / f"{name}.png") as wanted:
        assert len(squares_that_differ(shown, wanted)) <= MOST_SQUARES, (
            "Look at build/pictures; `make pictures` renews."
        )


CHANGES = {
    "a state has another colour": ".szal-dag{--completed:#22857a !important}",
    "an icon is missing": '[data-step="load"] .szal-icon{visibility:hidden}',
    "a card is elsewhere": '[data-step="plot"]{margin-left:6px}',
    "an edge is missing": ".szal-edge.is-doubt{display:none}",
    "a text is another": ".szal-state::after{content:' for long'}",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_an_eye_sees_is_seen(browser, change):
    with running(browser) as page:
        page.add_style_tag(content=CHANGES[change])
        shown = drawn(page, "changed")

    with Image.open(HERE / "running.png") as wanted:
        assert len(squares_that_differ(shown, wanted)) > MOST_SQUARES


def test_letters_that_are_drawn_by_another_rule_make_no_difference(browser):
    with running(browser) as page:
        page.add_style_tag(content=".szal-dag{text-rendering:geometricPrecision}")
        shown = drawn(page, "changed")

    with Image.open(HERE / "running.png") as wanted:
        assert len(squares_that_differ(shown, wanted)) <= MOST_SQUARES
