"""One server for all tests, one browser for those of a module; screenshots go to build/screenshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.lab import browser_page, jupyter_server

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with jupyter_server(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="module")
def _page():
    with browser_page() as page:
        yield page


@pytest.fixture
def page(_page):
    _page.problems.clear()
    return _page


@pytest.fixture
def screenshot():
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=SCREENSHOTS / f"{name}.png")
