"""What is recorded together while another step has begun to change a part of it."""

from __future__ import annotations

import string
from types import SimpleNamespace

import pytest

from szal_nb.engine.digest import digest
from szal_nb.engine.sharing import SharedParts
from szal_nb.engine.together import Together
from szal_nb.engine.usage import Usage
from tests.api.cell_flows import CellFlow

MODELS = {
    "data": "import string\ndata = [1]",
    "one": "one = string.Template('1')\none.data = data",
    "two": "two = string.Template('2')\ntwo.data = data",
    "fit_one": "fit_one = one.fit()",
    "fit_two": "fit_two = two.fit()",
    "look": "print(one, two)",
}


class Fit:
    """What is found out; it holds the model, and shows it."""

    def __init__(self, model):
        self.model = model


def together_of(cells, values):
    """What two steps have in common, of which both have ended or are under way."""
    usage, parts = Usage(CellFlow(cells).graph()), SharedParts()
    keyed = {(usage.names.index(step), name): value for (step, name), value in values.items()}
    for key, value in keyed.items():
        parts.add(key, digest(value))
    versions = SimpleNamespace(value=keyed.get, has=keyed.__contains__, superseded=set())
    return usage, Together(usage, versions, parts, lambda _: True)


@pytest.fixture
def models():
    data = [1]
    one, two = string.Template("1"), string.Template("2")
    one.data = two.data = data
    return {("data", "data"): data, ("one", "one"): one, ("two", "two"): two}


def test_models_of_the_same_data_do_not_wait_for_each_other(models):
    """Each may note what it finds; which one is killed meanwhile is nothing to the other."""
    usage, together = together_of(MODELS, {**models, ("fit_two", "fit_two"): Fit(models["two", "two"])})
    one, two = usage.names.index("fit_one"), usage.names.index("fit_two")
    assert usage.doubtful == {(one, (1, "one")), (two, (2, "two"))}

    together.set_changing(one, usage.changed[one])
    group = together.group_of(two, {"fit_two": object()})

    assert group.left == ()
    assert ("two", "two") in group.values


def test_what_is_changed_for_certain_is_not_recorded_as_a_part_of_what_holds_it_unseen(models):
    cells = {**MODELS, "fit_one": "data.append(2)"}
    usage, together = together_of(cells, {**models, ("fit_two", "fit_two"): Fit(models["two", "two"])})
    change, two = usage.names.index("fit_one"), usage.names.index("fit_two")

    together.set_changing(change, usage.changed[change])
    group = together.group_of(two, {"fit_two": object()})

    assert ("two", "two") in group.left
    assert group.values == {}
