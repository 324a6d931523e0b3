"""Settings that a library keeps for each thread: what a body leaves is what the next one finds."""

from __future__ import annotations

import sys

import pytest

from szal_nb.engine.thread_settings import changed_settings, read_thread_settings, set_thread_settings
from tests.engine.made_up_libraries import Sklearn, Torch


@pytest.fixture
def torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", Torch())
    return sys.modules["torch"]


@pytest.fixture
def sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", Sklearn())
    return sys.modules["sklearn"]


def test_gradients_and_the_device_go_from_thread_to_thread(torch):
    before = read_thread_settings()
    torch.set_grad_enabled(False)
    torch.set_default_device("cuda:1")
    changed = changed_settings(before)
    torch.set_grad_enabled(True)
    torch.set_default_device("cpu")

    set_thread_settings(changed)

    assert (torch.has_gradients, torch.devices[-1]) == (False, "cuda:1")


def test_no_device_is_set_where_none_was(torch):
    # To set one makes every call of torch slow, for good.
    torch.set_grad_enabled(False)
    kept = read_thread_settings()
    torch.set_grad_enabled(True)

    set_thread_settings(kept)

    assert (torch.has_gradients, torch.devices) == (False, [])


def test_what_a_body_sets_in_a_library_that_it_is_the_first_to_import_counts_for_all(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    before = read_thread_settings()
    monkeypatch.setitem(sys.modules, "sklearn", Sklearn())
    sys.modules["sklearn"].set_config(transform_output="pandas")

    assert changed_settings(before)["sklearn"]["transform_output"] == "pandas"


def test_what_is_as_it_should_be_is_not_set_again(sklearn):
    set_thread_settings(read_thread_settings())

    assert sklearn.calls == 0
    assert changed_settings(read_thread_settings()) == {}
