"""Flows for the engine's tests, written as text: "clean <- load" is a step that waits for another."""

from __future__ import annotations

import pytest

from tests.engine.simulation import flow_of as make_flow


@pytest.fixture
def flow_of():
    return make_flow
