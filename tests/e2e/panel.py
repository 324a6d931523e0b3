"""The side panel as a test finds it on the page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from tests.e2e.lab import command

PANEL = "#szal-flows-and-runs"


def show_panel(page: Page, width: int | None = None) -> None:
    """Opens the panel; `width` in pixels."""
    command(page, "szal-nb:show-panel")
    page.wait_for_selector(f"{PANEL} .szal-side")
    if width is None:
        return
    box = page.locator(PANEL).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] + 1, 500)
    page.mouse.down()
    page.mouse.move(box["x"] + width, 500, steps=4)
    page.mouse.up()


def in_panel(page: Page, selector: str) -> Locator:
    """The element of the panel's picture or table."""
    return page.locator(PANEL).locator(selector)


def wait_shown(page: Page, state: str) -> None:
    """Returns when the panel shows a run in this state."""
    page.wait_for_selector(f'{PANEL} [data-run-state="{state}"]')
