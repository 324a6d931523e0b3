"""What axe-core finds wrong for those who see little or nothing; its script comes with the front end's packages."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = Path(__file__).parents[1] / "extension" / "node_modules" / "axe-core" / "axe.min.js"


def findings(page: Page, selector: str) -> list[tuple[str, list[str]]]:
    """Each rule that something below `selector` breaks, with up to three of the elements that do."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_SCRIPT.read_text(encoding="utf-8"))
    found = page.evaluate("(selector) => axe.run(selector, { iframes: false })", selector)
    return [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found["violations"]]
