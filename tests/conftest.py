"""What holds for every test: where it stands says how it may run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Hypothesis tries the same examples each time, as its own profile for CI does: what goes red was broken by the change.
# `make torture` sets SZAL_DRAW_ANEW and tries others.
settings.register_profile("repeatable", derandomize=True, database=None, print_blob=True)
if not os.environ.get("SZAL_DRAW_ANEW"):
    settings.load_profile("repeatable")

_HERE = Path(__file__).parent
_ALONE = ("e2e",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in tests/e2e need the machine for themselves."""
    for item in items:
        room = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        if room in _ALONE:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.serial)


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests has set for their own runs does not count."""
    for name in ("SZAL_STORE", "SZAL_WAIT"):
        monkeypatch.delenv(name, raising=False)
