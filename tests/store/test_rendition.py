"""What is shown of figures and charts is kept beside them, and is all that a stranger gets."""

from __future__ import annotations

import base64
import io
import sys
from types import SimpleNamespace

import matplotlib as mpl
import pytest

mpl.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

from szal_nb.api.shown import pictures_of, with_pictures
from szal_nb.errors import ValueUnavailable
from szal_nb.model.event import RunCompleted, StepCompleted, StepOutput, StepStarted
from szal_nb.model.value import Output, ValueRef
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.rendition import Shown, rendition_of, subject_of
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run

RUN = "aaaaaaaaaaaa"


class Chart:
    """As charts of plotly and altair are: JSON that a front end draws, and a page of HTML besides."""

    def _repr_mimebundle_(self, **_):
        return {"application/vnd.plotly.v1+json": {"data": [1]}, "text/html": "<script>", "text/plain": "Chart"}, {}


class Drawn:
    def _repr_png_(self):
        return b"png"


class Vector:
    def _repr_svg_(self):
        return "<svg/>", {"width": 3}


class Broken:
    def _repr_png_(self):
        raise SystemError("no display")


class Closed(Drawn):
    def __reduce__(self):
        raise TypeError("it holds a window")


@pytest.fixture
def figure():
    figure, axes = plt.subplots()
    axes.plot([1, 3, 2])
    yield figure
    plt.close("all")


def record(store, values, needed=(), run_id=RUN):
    journal = store.begin(new_run(run_id))
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    refs = journal.keep("load", 1, values, needed)
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs), RunCompleted(at=4.0)])
    journal.close()
    return {ref.name: ref for ref in refs}


def test_what_a_front_end_would_draw_is_what_is_shown():
    assert rendition_of(Chart()) == {"application/vnd.plotly.v1+json": {"data": [1]}}
    assert rendition_of(Drawn()) == {"image/png": base64.b64encode(b"png").decode()}
    assert rendition_of(Vector()) == {"image/svg+xml": "<svg/>"}
    for value in (Broken(), Broken, object(), {"a": 1}, plt.figure()):
        assert rendition_of(value) is None


def test_a_base_of_charts_is_no_picture_and_shows_no_error(monkeypatch):
    """As altair has it: what is shown of a chart that is not complete is its traceback, in the cell."""
    shown = []

    class TopLevelMixin:
        def __init__(self, spec):
            self.spec = spec

        def to_dict(self, context):
            assert context == {"pre_transform": False}
            if "mark" not in self.spec:
                raise ValueError("'mark' is a required property")
            return self.spec

        def _repr_mimebundle_(self, **_):
            shown.append("traceback")

    altair = SimpleNamespace(TopLevelMixin=TopLevelMixin)
    altair.renderers = SimpleNamespace(
        get=lambda: lambda spec: {"application/vnd.vegalite.v6+json": spec, "text/plain": ""}
    )
    monkeypatch.setitem(sys.modules, "altair", altair)

    assert rendition_of(TopLevelMixin({"encoding": {}})) is None
    assert rendition_of(TopLevelMixin({"mark": "bar"})) == {"application/vnd.vegalite.v6+json": {"mark": "bar"}}
    assert shown == []


def test_a_figure_is_kept_as_it_is_shown_and_as_it_is(store, figure):
    refs = record(store, {"fig": figure, "ax": figure.axes[0]}, {"fig"})

    assert [refs[name].format for name in ("fig", "ax", "<shown fig>")] == ["pickle", "pickle", "json"]
    assert refs["fig"].shown == refs["ax"].shown == refs["<shown fig>"].hash
    assert "<shown ax>" not in refs, "one picture is kept once"
    (output,) = pictures_of(list(refs.values()), (), store.loader(RUN).load)
    image = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert image.size[0] > 300
    again = store.value(RUN, "load", "fig")
    assert again.axes[0].lines[0].get_ydata().tolist() == [1, 3, 2]


def test_a_figure_that_pyplot_had_open_opens_no_window_where_it_is_read(store, figure):
    record(store, {"fig": figure, "all": [figure]})
    plt.close("all")

    again = store.value(RUN, "load", "fig"), store.value(RUN, "load", "all")[0]
    assert plt.get_fignums() == []
    assert [len(each.axes) for each in again] == [1, 1]


def test_a_stranger_sees_the_figure_and_no_code_is_run(store, figure, tmp_path):
    record(store, {"fig": figure, "other": Broken()})
    target = tmp_path / "run.szal"
    export_run(store, RUN, target)

    with RunStore.open(tmp_path / "other" / "runs.db") as other:
        import_run(other, target)
        seen = other.value(RUN, "load", "fig")
        assert isinstance(seen, Shown)
        assert seen._repr_mimebundle_()["image/png"] == rendition_of(figure)["image/png"]
        assert repr(seen) == "<fig as it was shown: image/png>"
        with pytest.raises(ValueUnavailable, match="--trust"):
            other.value(RUN, "load", "other")
        assert len(other.value(RUN, "load", "fig", trust=True).axes) == 1


def test_no_step_ever_reads_a_picture_in_place_of_the_figure(store, figure, tmp_path):
    refs = record(store, {"fig": figure})
    target = tmp_path / "run.szal"
    export_run(store, RUN, target)

    with RunStore.open(tmp_path / "other" / "runs.db") as other:
        import_run(other, target)
        journal = other.take_over(RUN)
        for load in (journal.load, journal.load_fresh):
            with pytest.raises(ValueUnavailable, match="--trust"):
                load(refs["fig"])


def test_what_cannot_be_stored_is_shown_all_the_same(store):
    refs = record(store, {"window": Closed()})

    assert (refs["window"].live, refs["window"].hash) == ("it holds a window", None)
    seen = store.value(RUN, "load", "window")
    assert isinstance(seen, Shown)
    assert seen.data == rendition_of(Drawn())


def test_pictures_are_collected_with_the_last_run_that_names_them(store, figure):
    refs = record(store, {"fig": figure})
    record(store, {"fig": figure}, run_id="bbbbbbbbbbbb")
    collect(store, [RUN])
    assert isinstance(store.value("bbbbbbbbbbbb", "load", "<shown fig>"), dict)

    collect(store, ["bbbbbbbbbbbb"])
    assert store.reader.fetch("SELECT count(*) FROM blobs WHERE hash = ?", (refs["<shown fig>"].hash,)) == [(0,)]


def test_what_a_step_showed_itself_is_not_shown_twice(store, figure):
    refs = record(store, {"fig": figure})
    load = store.loader(RUN).load
    events = store.events(RUN)

    told = with_pictures(events, load)
    assert [type(event) for event in told[3:]] == [StepOutput, StepCompleted, RunCompleted]
    assert told[3].items == pictures_of([refs["fig"]], (), load)
    own = StepOutput(at=2.5, step="load", attempt=1, items=(Output(type="display_data", data={"image/png": "x"}),))
    assert with_pictures([*events[:3], own, *events[3:]], load) == [*events[:3], own, *events[3:]]
    gone = ValueRef(name="fig", shown="0" * 32)
    assert pictures_of([gone], (), load) == ()


def test_axes_are_drawn_as_their_figure(figure):
    assert subject_of(figure.axes[0]) is figure
    assert subject_of(figure) is figure
