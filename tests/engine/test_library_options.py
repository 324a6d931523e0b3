"""Options of libraries are after a resume what completed steps had made of them, each of them and no other."""

from __future__ import annotations

import sys

import matplotlib as mpl
import pandas as pd
import polars as pl
import pytest

from szal_nb.engine.library_options import LIBRARY_OPTIONS
from tests.engine.made_up_libraries import Altair, Torch, Xarray


@pytest.fixture(autouse=True)
def as_it_was():
    kept = {state: LIBRARY_OPTIONS[state][0]() for state in ("pandas options", "pyplot", "polars options")}
    yield
    for state, options in kept.items():
        LIBRARY_OPTIONS[state][1](options)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda torch: torch.set_default_dtype("float64"), id="numbers"),
        pytest.param(lambda torch: torch.set_num_threads(1), id="threads"),
        pytest.param(lambda torch: torch.use_deterministic_algorithms(True), id="algorithms"),
        pytest.param(lambda torch: torch.set_float32_matmul_precision("medium"), id="precision"),
        pytest.param(lambda torch: torch.set_grad_enabled(False), id="gradients"),
        pytest.param(lambda torch: torch.set_default_device("meta"), id="device"),
    ],
)
def test_what_torch_calculates_with_is_put_back(monkeypatch, change):
    monkeypatch.setitem(sys.modules, "torch", Torch())
    read, write = LIBRARY_OPTIONS["torch options"]
    change(sys.modules["torch"])
    kept = read()
    monkeypatch.setitem(sys.modules, "torch", Torch())
    assert read() != kept

    write(kept)

    assert read() == kept


def test_only_what_differs_is_set_in_xarray(monkeypatch):
    # Some of its options warn whenever they are set.
    monkeypatch.setitem(sys.modules, "xarray", Xarray())
    read, write = LIBRARY_OPTIONS["xarray options"]
    before = read()
    sys.modules["xarray"].set_options(display_style="text")
    assert before["display_style"] == "html"

    write(before)

    assert read() == before


@pytest.mark.parametrize("name", ["data_transformers", "renderers", "theme", "themes"])
def test_how_altair_draws_is_put_back(monkeypatch, name):
    themes = name if name.startswith("theme") else "theme"
    monkeypatch.setitem(sys.modules, "altair", Altair(themes))
    read, write = LIBRARY_OPTIONS["altair options"]
    getattr(sys.modules["altair"], name).enable("own", max_rows=9)
    kept = read()
    monkeypatch.setitem(sys.modules, "altair", Altair(themes))

    write(kept)

    registry = getattr(sys.modules["altair"], name)
    assert (registry.active, registry.options) == ("own", {"max_rows": 9})


def test_an_option_of_polars_that_was_set_since_is_as_if_it_never_was():
    read, write = LIBRARY_OPTIONS["polars options"]
    before = read()
    pl.Config.set_tbl_rows(3)

    write(before)

    assert read() == before


def test_where_figures_are_drawn_is_no_setting_of_a_step():
    # Another backend closes the figures that there are.
    read, write = LIBRARY_OPTIONS["pyplot"]
    kept = read()
    backend = "svg" if mpl.get_backend().lower() != "svg" else "pdf"
    with mpl.rc_context():
        mpl.rcParams["backend"] = backend
        write(kept)

        assert mpl.rcParams["backend"] == backend


def test_an_option_that_this_pandas_has_not_is_left_out():
    read, write = LIBRARY_OPTIONS["pandas options"]
    pd.set_option("display.max_rows", 7)
    kept = {**read(), "display.of_another_version": 1}
    pd.set_option("display.max_rows", 8)

    write(kept)

    assert pd.get_option("display.max_rows") == 7
