"""Images and figures as they are shown: in a resume they are the very objects, everywhere else what was seen of them."""

from __future__ import annotations

import base64
import io
import json

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

from szal_nb.api.past import diff, replay, verified
from szal_nb.app.cli import main
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.rendition import Shown
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.test_resume_promises import cut_in

CELLS = {
    "draw": "fig, ax = plt.subplots()\n_ = ax.plot([1, 3, 2])",
    "title": "_ = ax.set_title('late')",
    "look": "is_one = ax.figure is fig\nsize = [len(fig.axes), ax.get_title()]",
}


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store
    plt.close("all")


def flow(**changed):
    return CellFlow({**CELLS, **changed}, notebook="from matplotlib import pyplot as plt")


def pixels(value):
    bundle = value._repr_mimebundle_()
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))


DRAWN_ON = {
    "parts of the axes": ("axes[0].plot([1, 2])", "lines = axes[1].plot([2, 1])"),
    "names of the axes": ("ax = axes[0]\nax.plot([1, 2])", "for ax in axes.flat[1:]:\n    ax.plot([2, 1])"),
    "an array in one row": ("for ax in axes.ravel()[:1]:\n    ax.plot([1, 2])", "_ = axes.reshape(-1)[1].plot([2, 1])"),
    "the figure": ("fig.axes[0].plot([1, 2])", "fig.get_axes()[1].plot([2, 1])"),
    "a list of them": (
        "for ax in list(axes.ravel())[:1]:\n    ax.plot([1, 2])",
        "for k, ax in enumerate(axes):\n    if k:\n        ax.plot([2, 1])",
    ),
    "a function that is mapped": (
        "list(map(lambda ax: ax.plot([1, 2]), axes[:1]))",
        "_ = [ax.plot(y) for ax, y in zip(axes[1:], [[2, 1]])]",
    ),
    "a function of the notebook": ("draw(axes[0])", "draw(axes[1])"),
    "the current axes": ("plt.sca(axes[0])\nplt.plot([1, 2])", "plt.sca(axes[1])\nplt.plot([2, 1])"),
    "by pandas": ("df.plot(ax=axes[0])", "df.x.plot(ax=axes[1])"),
}


@pytest.mark.parametrize(("left", "right"), DRAWN_ON.values(), ids=DRAWN_ON)
def test_steps_that_draw_on_one_figure_wait_for_each_other_and_are_waited_for(left, right, store):
    cells = {
        "start": "fig, axes = plt.subplots(1, 2)\ndf = pd.DataFrame({'x': [1, 2]})",
        "left": left,
        "right": right,
        "end": "drawn = [len(ax.lines) for ax in axes]",
    }
    draw = "def draw(ax):\n    ax.plot([1, 2])"
    flow = CellFlow(cells, notebook=f"import pandas as pd\nfrom matplotlib import pyplot as plt\n{draw}")
    run = flow.run(store)

    assert (run.state, run.values.drawn) == ("completed", [1, 1])
    # Not by luck: one that does not wait is mostly the later one all the same.
    assert {("left", "right"), ("right", "end")} <= {(edge.source, edge.target) for edge in flow.graph().edges}


@pytest.mark.parametrize(
    "change", ["axes[0].plot([1, 2])", "for ax in axes.flat:\n    ax.plot([1, 2])", "draw(axes[1])"]
)
def test_a_figure_that_the_notebook_made_is_not_looked_at_while_its_axes_are_drawn_on(change, store):
    """What shows only at run time fails the run and names the steps and the flag to write."""
    notebook = (
        "from matplotlib import pyplot as plt\ndef draw(ax):\n    ax.plot([1, 2])\nfig, axes = plt.subplots(1, 2)"
    )
    look = "drawn = sum(len(ax.lines) for ax in fig.axes)"
    flow = CellFlow({"left": change, "look": look}, notebook=notebook)
    said = [step.error.message for step in flow.run(store).steps.values() if step.error is not None]
    ordered = CellFlow({"left": change, "look --after left": look}, notebook=notebook).run(store)

    assert all("'axes' of the notebook and 'fig' of the notebook share objects" in text for text in said)
    assert said
    assert ordered.values.drawn == (2 if "flat" in change else 1)


@pytest.mark.parametrize("step", ["title", "look"])
def test_a_resume_goes_on_with_the_figure_itself(store, step):
    uncut = flow().run(store)
    run_id = cut_in(store, flow(), step)
    plt.close("all")
    resumed = flow().resume(store, run_id)

    for run in (uncut, resumed):
        assert (run.state, run.values.is_one, run.values.size) == ("completed", True, [1, "late"])
    assert plt.get_fignums() == [], "what is read from the record opens no figure"
    shown = [{ref.name: ref.shown for ref in run["title"].refs if ref.shown} for run in (uncut, resumed)]
    assert shown[0] == shown[1]


def test_pictures_that_look_alike_are_no_difference_and_others_are(store):
    first, again = flow().run(store), flow().run(store)
    other = flow(draw=CELLS["draw"].replace("3", "4")).run(store)

    assert diff(store, first.id, again.id).is_same
    assert verified(store, first.id, again.id) == ()
    assert any(text.startswith("draw.fig: ") for text in verified(store, first.id, other.id))


def test_an_imported_run_shows_its_figures_in_replay_and_report(store, tmp_path, capsys):
    run = flow().run(store)
    target = tmp_path / "run.szal"
    export_run(store, run.id, target)
    theirs = tmp_path / "theirs" / "runs.db"
    with RunStore.open(theirs) as other:
        import_run(other, target)
        past = replay(other, run.id)
        assert isinstance(past.values.fig, Shown)
        assert pixels(past.values.fig).shape[2] == 4
        (output,) = past["draw"].outputs
        assert output.data["image/png"] == past.values.fig.data["image/png"]

    report = tmp_path / "run.html"
    assert main(["report", run.id, "-o", str(report), "--store", str(theirs)]) == 0
    assert output.data["image/png"] in report.read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["replay", run.id, "--store", str(theirs), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert output.data["image/png"] in [item["data"].get("image/png") for item in document["steps"][0]["outputs"]]
