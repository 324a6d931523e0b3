from __future__ import annotations

from pathlib import Path

import pytest

from szal_nb.store.runs import RunStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".szal" / "runs.db"


@pytest.fixture
def store(path: Path):
    with RunStore.open(path) as opened:
        yield opened
