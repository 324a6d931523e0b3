"""What holds for every test: where it stands says how it may run."""

from __future__ import annotations

from pathlib import Path

import pytest

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
