"""What a cached property of a notebook's class gave a step is what it gives later steps, also behind a kill."""

from __future__ import annotations

import pytest

from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

NET = "import functools\nclass Net:\n    def __init__(self, held):\n        self.held = held\n    @functools.cached_property\n    def size(self):\n        return [len(self.held)]\n"
ONE = f"{NET}net = Net([1])"
# Each computes the property, changes what it was made from, and asks for it again.
COMPUTED = {
    "the object is changed": [ONE, "print(net.size)", "net.held.append(2)", "print(net.size)"],
    "an attribute is given anew": [ONE, "n = len(net.size)", "net.held = [1, 2, 3]", "print(net.size, n)"],
    "what it holds is changed": [f"{NET}b = [1]\nnet = Net(b)", "print(net.size)", "b.append(2)", "print(net.size, net.held is b)"],
    "what it gave is changed": [ONE, "print(net.size)", "net.size.append(3)", "net.held.append(2)", "print(net.size)"],
    "it is asked for by a function": [ONE, "def ask():\n    return net.size\nprint(ask())", "net.held.append(2)", "print(net.size)"],
    "it is thrown away": [ONE, "print(net.size)", "del net.size\nnet.held.append(2)", "print(net.size)"],
    "two ask for it": [ONE, "print(net.size)", "m = net.size[0]", "net.held.append(2)", "print(net.size, m)"],
    "it is in a list": [f"{ONE}\nnets = [net, Net([1, 2])]", "print([n.size for n in nets])", "nets[0].held.append(2)", "print([n.size for n in nets], net.size)"],
    "of two, one each": [f"{ONE}\nother = Net([])", "print(net.size)", "print(other.size)", "net.held.append(2)\nother.held.append(2)", "print(net.size, other.size)"],
    "it goes into a name": [ONE, "size = net.size", "net.held.append(2)", "size.append(4)", "print(net.size, size is net.size)"],
}  # fmt: skip


@pytest.mark.parametrize("cells", COMPUTED.values(), ids=COMPUTED)
def test_what_was_computed_before_a_change_is_there_after_it(cells, store):  # noqa: F811
    """A resumed run equals an uncut one."""
    assert {check(cells, seed, store) for seed in range(4)} <= {"same", "refused"}
    assert check(cells, 0, store) == "same"


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


def test_another_attempt_begins_with_what_was_computed(record):
    """Each attempt of a step that changes a value begins from the stored version of it."""
    change = "import szal_nb as szal\nnet.held.append(2)\nassert szal.context().attempt > 2"
    cells = {
        "make": ONE,
        "ask": "n = net.size[0]",
        "grow --retries 2": change,
        "tell": "told = (*net.size, *net.held, n)",
    }

    run = CellFlow(cells).run(record)

    assert run.values.told == (1, 1, 2, 1)


def shared_by(run):
    return [name for name, step in run.snapshot.steps.items() for ref in step.values if ref.name == "<shared>"]


def test_what_nobody_changes_any_more_is_not_recorded_once_more(record):
    reading = {"make": ONE, "ask": "n = net.size[0]", "tell": "told = net.size[0] + n"}
    changing = {**reading, "ask": "n = net.size[0]", "grow": "net.held.append(2)", "tell": "told = net.size[0] + n"}

    assert shared_by(CellFlow(reading).run(record)) == []
    assert shared_by(CellFlow(changing).run(record)) == ["ask", "grow"]


LIVE = f"import threading\n{NET}net = Net([1])\nnet.lock = threading.Lock()"


def test_what_was_computed_in_a_live_value_is_computed_again_where_it_was(record):
    """A needed value that cannot be stored (an open file, a connection, a generator) is `live` too: the step completes, marked *rebuilds on resume* in chip, picture and record; a resume whose missing steps need it runs that step again as a new attempt and says so first."""
    flow = CellFlow(
        {"make": LIVE, "ask": "n = net.size[0]", "grow": "net.held.append(2)", "tell": "told = (*net.size, n)"}
    )
    flow.fails = {"tell"}
    run = flow.run(record)
    flow.fails = set()
    plans = []
    resumed = flow.resume(record, run.id, on_plan=plans.append)

    assert (resumed.values.told, flow.deeds) == ((1, 1), ["make", "ask", "grow", "tell"])
    assert set(plans[0].rebuilt) == {"make", "ask", "grow"}


def test_who_only_reads_a_live_value_does_not_run_again(record):
    flow = CellFlow(
        {"make": LIVE, "ask": "n = len(net.held)", "grow": "net.held.append(2)", "tell": "told = (*net.size, n)"}
    )
    flow.fails = {"tell"}
    run = flow.run(record)
    flow.fails = set()

    assert (flow.resume(record, run.id).values.told, flow.deeds) == ((2, 1), ["make", "grow", "tell"])
