"""What no analysis can see shows at run time: hidden changes, sharing, dirty attempts, global state."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import threading
import types
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

import szal_nb
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.engine import contents, kinds
from szal_nb.engine.body import CellBody, compile_cell
from szal_nb.engine.contents import Contents
from szal_nb.engine.hidden import HiddenStates
from szal_nb.engine.shared_values import SharedValues
from szal_nb.engine.values import ValueTable
from szal_nb.engine.watch import Watch
from szal_nb.errors import ValueChanged
from szal_nb.model.flow import FlowDefinition, Guard
from szal_nb.model.graph import Binding, Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.step import RetryPolicy, Step
from szal_nb.model.value import ValueRef
from szal_nb.store.runs import RunStore


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as opened:
        yield opened


def step(name, source, *, reads=(), changes=(), gives=(), states=(), after=(), doubtful=(), **flags):
    """A node as an analysis would make it that sees what is said here, and nothing else. `reads`: "x<load"."""
    bindings = []
    for read in (*reads, *changes):
        local, _, giver = read.partition("<")
        bindings.append(Binding(name=local, step=giver or None, source=local))
    changed = tuple(read.partition("<")[0] for read in changes)
    node = StepNode(
        step=Step(name=name, source=source, **flags),
        bindings=tuple(bindings), gives=gives, changes=changed, states=states, needed=(*gives, *changed),
        doubtful=doubtful,
    )  # fmt: skip
    sources = dict.fromkeys([*after, *(b.step for b in bindings if b.step)])
    return node, [Edge(source=source, target=name, kind=EdgeKind.DATA) for source in sources]


def graph_of(*nodes, guard=Guard.FULL, inputs=(), max_parallel=None):
    flow = FlowDefinition(name="f", steps=tuple(node.step for node, _ in nodes), guard=guard, max_parallel=max_parallel)
    return FlowGraph(
        flow=flow, nodes=tuple(node for node, _ in nodes), edges=tuple(e for _, edges in nodes for e in edges),
        inputs=inputs,
    )  # fmt: skip


def bodies_of(graph, ambient):
    return {
        node.step.name: CellBody(node, compile_cell(node.step.source, node.step.name), {}, ambient)
        for node in graph.nodes
    }


def run(graph, store=None, inputs=None, **ambient):
    async def main():
        handle = start_run(graph, bodies_of(graph, ambient), inputs or {}, Surround(store=store))
        await handle.wait()
        return handle

    return asyncio.run(main())


def resume(run_id, graph, store, **ambient):
    async def main():
        handle = resume_run(run_id, graph, bodies_of(graph, ambient), {}, Surround(store=store))
        await handle.wait()
        return handle

    return asyncio.run(main())


LOAD = step("load", "xs = [3, 1, 2]", gives=("xs",))


# Guard


def test_a_change_that_nobody_declared_fails_the_run_and_names_all_who_ran():
    """On a difference fails the run, naming the steps that ran since and the flag."""
    graph = graph_of(
        LOAD,
        step("look", "n = len(xs)", reads=["xs<load"], gives=("n",)),
        step("sneak", "ys = sorted(xs); xs.sort()", reads=["xs<load"], gives=("ys",), after=["look"]),
    )
    error = run(graph)["sneak"].error

    assert error.type == "ValueChanged"
    assert "'xs' is not any more what step 'load' gave" in error.message
    assert "Steps that read it since: look, sneak" in error.message
    assert "--changes xs" in error.message


SNEAKING = (
    step("sneak", "xs.sort()", reads=["xs<load"]),
    step("last", "n = len(xs)", reads=["xs<load"], gives=("n",), after=["sneak"]),
)


def test_who_changes_a_small_value_is_known_before_the_change_is_lost_with_the_process(store):
    """On a difference fails the run, naming the steps that ran since and the flag."""
    done = run(graph_of(LOAD, *SNEAKING), store)

    assert done["sneak"].error.type == "ValueChanged"
    assert "Steps that read it since: sneak." in done["sneak"].error.message
    assert done["last"].state == "skipped"


@pytest.mark.parametrize(
    ("load", "sneak"),
    [
        ("xs = np.ones(100_000)", "xs[7] = 2"),
        ("xs = pd.DataFrame({'a': np.ones(20_000), 'b': 1})", "xs.iloc[7, 0] = 2"),
        ("xs = {'rate': 1, 'layers': [[1], [2, 3]]}", "xs['layers'][1].append(4)"),
    ],
)
def test_tables_of_some_size_and_settings_are_small(load, sneak, store):
    load = step("load", f"import numpy as np, pandas as pd\n{load}", gives=("xs",))
    last = step("last", "n = len(xs)", reads=["xs<load"], gives=("n",), after=["sneak"])

    done = run(graph_of(load, step("sneak", sneak, reads=["xs<load"]), last), store)

    assert done["sneak"].error.type == "ValueChanged"


HANDLED = (
    "import io, logging\nxs = io.StringIO()\nlogging.getLogger('szal.told').handlers[:] = [logging.StreamHandler(xs)]"
)


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("first", ["tell", "last"])
def test_what_a_logger_writes_into_a_value_is_found_whoever_has_read_it_before(first, is_recorded, store):
    """On a difference fails the run, naming the steps that ran since and the flag."""
    after = {"tell": ["load"] if first == "tell" else ["last"], "last": ["tell"] if first == "tell" else []}
    tell = step("tell", "import logging\nlogging.getLogger('szal.told').warning('x')", after=after["tell"])
    last = step("last", "n = xs.getvalue()", reads=["xs<load"], gives=("n",), after=after["last"])
    steps = (tell, last) if first == "tell" else (last, tell)
    try:
        done = run(graph_of(step("load", HANDLED, gives=("xs",)), *steps), *([store] * is_recorded))
    finally:
        logging.getLogger("szal.told").handlers.clear()

    assert done["tell"].error.type == "ValueChanged"
    assert "Also ran: tell" in done["tell"].error.message
    assert "--changes xs" in done["tell"].error.message


def test_who_says_that_it_writes_may_be_at_it_when_another_step_ends(monkeypatch, store):
    meeting = types.ModuleType("szal_meeting")
    meeting.written, meeting.seen = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "szal_meeting", meeting)
    load = step("load", "import csv, io\nxs = io.StringIO()\nw = csv.writer(xs)", gives=("xs", "w"))
    write = "import szal_meeting as m\nw.writerow([1])\nm.written.set()\nassert m.seen.wait(20)"
    graph = graph_of(
        load,
        step("write", write, changes=["w<load"]),
        step("beside", "import szal_meeting as m\nassert m.written.wait(20)", after=["load"]),
        step("tell", "import szal_meeting as m\nm.seen.set()", after=["beside"]),
        step("last", "n = xs.getvalue()", reads=["xs<load"], gives=("n",), after=["write", "tell"]),
    )

    assert {name: run_step.state for name, run_step in run(graph, store).steps.items()} == dict.fromkeys(
        ("load", "write", "beside", "tell", "last"), "completed"
    )


def test_of_a_large_value_only_the_last_reader_is_looked_after(store, monkeypatch):
    looks = Counter()
    compare = Contents.compare
    monkeypatch.setattr(
        Contents, "compare", lambda self, key, **more: (looks.update([key[1]]), compare(self, key, **more))
    )
    give = step("load", "xs, ys, n = list(range(1000)), [1], 5", gives=("xs", "ys", "n"))
    reading = [
        step(
            f"read{i}", "len(xs), len(ys), n", reads=["xs<load", "ys<load", "n<load"], after=[f"read{i - 1}"] * (i > 0)
        )
        for i in range(4)
    ]
    run(graph_of(give, *reading), store)

    assert looks == {"xs": 1, "ys": 4}


def test_the_guard_can_be_off():
    sneak = step("sneak", "xs.sort()", reads=["xs<load"])

    assert run(graph_of(LOAD, sneak, guard=Guard.OFF)).state == "completed"
    assert run(graph_of(LOAD, sneak)).state == "failed"


def test_large_values_are_left_alone_where_that_is_wanted(monkeypatch):
    monkeypatch.setattr("szal_nb.engine.contents.LARGE_BYTES", 1000)
    load = step("load", "import numpy as np\nsmall, large = np.zeros(5), np.zeros(5000)", gives=("small", "large"))

    def sneak(name):
        return step("sneak", f"{name}[0] = 1", reads=[f"{name}<load"])

    assert run(graph_of(load, sneak("large"), guard=Guard.LARGE_OFF)).state == "completed"
    assert run(graph_of(load, sneak("small"), guard=Guard.LARGE_OFF)).state == "failed"


def test_a_declared_change_is_no_fault_and_later_readers_see_it():
    graph = graph_of(
        LOAD,
        step("sort", "xs.sort()", changes=["xs<load"]),
        step("look", "first = xs[0]", reads=["xs<sort"], gives=("first",)),
    )
    done = run(graph)

    assert done.state == "completed"
    assert done.values.first == 1


def test_a_change_is_found_when_the_last_readers_end_before_the_record_says_that_either_has():
    graph = graph_of(
        LOAD,
        step("look", "n = len(xs)", reads=["xs<load"]),
        step("sneak", "xs.append(9)", reads=["xs<load"]),
    )
    table = ValueTable(graph, {}, {}, None)
    watch = Watch(graph, table, refs={}, is_ended=lambda i: i == 0)
    xs = [3, 1, 2]
    watch.begin(0, 1, lambda _: {})
    watch.finish(0, 1, {"xs": xs})
    table.objects[0, "xs"] = xs
    for reader in (1, 2):
        watch.begin(reader, 1, lambda _: {"xs": xs})

    watch.finish(1, 1, {})
    xs.append(9)
    with pytest.raises(ValueChanged):
        watch.finish(2, 1, {})


def test_a_value_that_was_changed_through_another_name_is_found_before_a_declared_changer_starts():
    graph = graph_of(
        step("load", "xs = [3, 1, 2]\nhidden = lambda xs=xs: xs.append(9)", gives=("xs", "hidden")),
        step("sneak", "hidden()", reads=["hidden<load"]),
        step("sort", "xs.sort()", changes=["xs<load"], after=["sneak"]),
    )
    done = run(graph)

    assert done.state == "failed"
    assert {step.error.type for step in done.steps.values() if step.error} == {"ValueChanged"}


class Engine:
    """Of a library that the guard knows nothing of."""

    def __init__(self):
        self.__dict__["gears"] = [1]


Engine.__module__ = "somewhere"


def test_what_the_guard_cannot_compare_is_recorded_so_and_a_library_can_teach_it(store):
    """Others by a registered comparer, else recorded as `unchecked`."""
    load = step("load", "engine = make()", gives=("engine",))
    graph = graph_of(
        load, step("sneak", "engine.gears.append(other)", reads=["engine<load", "other"]), inputs=("other",)
    )

    def found():
        done = run(graph, store, inputs={"other": Engine()}, make=Engine)
        taken = store.inputs(done.id)["other"]
        return done.state, store.snapshot(done.id).steps["load"].values[0].unchecked, taken.unchecked

    name = f"somewhere.{Engine.__qualname__}"
    assert found() == ("completed", (name,), (name,))
    szal_nb.register_comparer(Engine, lambda value: value.gears)
    try:
        assert found() == ("failed", (), ())
    finally:
        kinds._registered.pop(Engine)
        kinds.taker_of.cache_clear()


def test_an_input_of_the_run_is_guarded_too():
    graph = graph_of(step("sneak", "xs.append(1)", reads=["xs"]), inputs=("xs",))

    assert "'xs' is not any more what the notebook gave" in run(graph, inputs={"xs": [1]})["sneak"].error.message


def test_what_ran_while_nothing_could_change_is_known_when_something_is_given_that_can():
    """The short way of flows whose values are plain: no look is missed for it, and no step that ran."""
    graph = graph_of(
        step("one", "n = 1", gives=("n",)),
        step("two", "xs = [n]", reads=["n<one"], gives=("xs",)),
        step("look", "m = n + len(xs)", reads=["n<one", "xs<two"], gives=("m",)),
        step("add", "k = m + 1", reads=["m<look"], gives=("k",)),
        step("sneak", "xs.append(k)", reads=["xs<two", "k<add"]),
    )
    # Only where nobody watches the state of the process are values all that there is to look at.
    free = replace(graph, flow=replace(graph.flow, ordered=False))
    for error in (run(graph)["sneak"].error, run(free)["sneak"].error):
        assert error.type == "ValueChanged"
        assert "Steps that read it since: look, sneak" in error.message
        assert "Also ran: add" in error.message


def test_a_value_that_an_earlier_run_gave_is_guarded_though_nobody_here_saw_it_given():
    graph = graph_of(LOAD, step("sneak", "xs.append(9)", reads=["xs<load"]))
    free = replace(graph, flow=replace(graph.flow, ordered=False))
    table = ValueTable(free, {}, {}, None)
    watch = Watch(free, table, refs={})
    xs = table.objects[0, "xs"] = [3, 1, 2]
    watch.take(0, ())
    watch.begin(1, 1, lambda _: {"xs": xs})

    xs.append(9)
    with pytest.raises(ValueChanged):
        watch.finish(1, 1, {})


def test_spans_say_which_steps_ran_after_a_moment():
    spans = contents.Spans()
    for told in (0, 1, ~0, 2):
        spans.note(told)
    moment = spans.now
    for told in (~2, 0, ~0, 3):
        spans.note(told)

    assert spans.since(moment, besides=()) == [0, 1, 2, 3]
    assert spans.since(moment + 1, besides=(3,)) == [0, 1]
    assert spans.since(spans.now, besides=()) == [1, 3]
    assert spans.begun() == {0, 1, 2, 3}


def test_contents_are_never_compared_on_the_event_loop(monkeypatch):
    seen = set()
    real = contents.digest
    monkeypatch.setattr(contents, "digest", lambda *a, **k: seen.add(threading.current_thread()) or real(*a, **k))
    graph = graph_of(
        step("load", "import asyncio\nawait asyncio.sleep(0)\nxs = [[1]]", gives=("xs",)),
        step("look", "import asyncio\nawait asyncio.sleep(0)\nxs[0]", reads=["xs<load"]),
    )

    assert run(graph).state == "completed"
    assert seen
    assert threading.main_thread() not in seen


# Sharing


SHARING = step("split", "xs = [[1], [2]]\nhead = xs[0]", gives=("xs", "head"))


def test_sharing_between_a_change_and_a_reader_that_are_not_ordered_is_refused():
    """Sharing of memory or objects between values of steps that are not ordered to each other is found when a step completes."""
    graph = graph_of(
        SHARING,
        step("grow", "head.append(5)", changes=["head<split"]),
        step("look", "n = len(xs[0])", reads=["xs<split"], gives=("n",)),
    )
    error = run(graph)["split"].error

    assert error.type == "ValuesShared"
    assert "Step 'grow' changes the one in place, step 'look' uses the other" in error.message


def test_sharing_is_fine_where_the_steps_are_ordered():
    graph = graph_of(
        SHARING,
        step("grow", "head.append(5)", changes=["head<split"]),
        step("look", "n = len(xs[0])", reads=["xs<split"], gives=("n",), after=["grow"]),
    )

    assert run(graph).values.n == 2


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\na = np.zeros(9)\nb = a[3:]",
        "import numpy as np\na = np.zeros((3, 3))\nb = a.T",
        "import numpy as np\na = [np.zeros(9)]\nb = {'x': a[0].reshape(3, 3)[1:]}",
        "import numpy as np, pandas as pd\na = np.zeros(9)\nb = pd.Series(a, copy=False)",
    ],
)
def test_memory_that_two_arrays_share_is_found(source):
    graph = graph_of(
        step("split", source, gives=("a", "b")),
        step("change", "a[0]", changes=["a<split"]),
        step("look", "b", reads=["b<split"]),
    )

    assert run(graph)["split"].error.type == "ValuesShared"


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nz = np.zeros(9)\na, b = z[:3], z[5:]",
        "import numpy as np\na = np.zeros(9)\nb = a[3:].copy()",
        "import pandas as pd\na = pd.DataFrame({'x': [1, 2]})\nb = a[['x']]",
        "a, b = ['text'], ['text']",
    ],
)
def test_what_only_looks_like_sharing_is_not_refused(source):
    graph = graph_of(
        step("split", source, gives=("a", "b")),
        step("change", "a[0:1]", changes=["a<split"]),
        step("look", "b", reads=["b<split"]),
    )

    assert run(graph).state == "completed"


# What every code has that imports it.
EVERYBODYS = [
    "int", "str.upper", "list[int]", "int | None", "datetime.datetime.now", "collections.OrderedDict", "typing.List[int]",
    "json.dumps", "re.compile", "logging.getLogger('x')", "np.mean", "np.add", "np.linalg.norm", "np.random.default_rng",
    "pd.DataFrame", "pd.DataFrame.sum", "pd.offsets.BDay", "stats.norm", "stats.ttest_ind", "KMeans",
]  # fmt: skip
IMPORTS = """
import collections, datetime, json, logging, re, typing
import numpy as np, pandas as pd
from scipy import stats
from sklearn.cluster import KMeans
"""


@pytest.mark.parametrize("value", EVERYBODYS)
def test_what_everybody_has_is_nothing_that_two_values_share(value):
    """Tables of functions and classes (`{"mean": np.mean}`) are made in many steps, and grow in some."""
    graph = graph_of(
        step("one", f"{IMPORTS}\na = [{value}]", gives=("a",)),
        step("two", f"{IMPORTS}\nb = [{value}]", gives=("b",)),
        step("change", "a.append(1)", changes=["a<one"]),
        step("look", "b", reads=["b<two"]),
    )

    assert run(graph).state == "completed"


def test_a_function_of_the_notebook_that_keeps_something_is_shared():
    made = "def make(kept):\n    return lambda: kept.append(1)\na = [make([])]\nb = [a[0]]"
    graph = graph_of(
        step("split", made, gives=("a", "b")),
        step("change", "a[0]()", changes=["a<split"]),
        step("look", "b", reads=["b<split"]),
    )

    assert run(graph)["split"].error.type == "ValuesShared"


MAY_CHANGE = {
    "memory of arrays": "import numpy as np\na = np.zeros(9)\nb = a[3:]",
    "an object in a container": "a = [1, 2]\nb = {'x': a}",
    "an object in two containers": "inside = [1, 2]\na = [inside]\nb = {'x': inside}",
}


@pytest.mark.parametrize("source", MAY_CHANGE.values(), ids=MAY_CHANGE)
def test_a_call_of_unknown_effect_may_be_made_on_what_another_step_shares(source):
    graph = graph_of(
        step("split", source, gives=("a", "b")),
        step("call", "n = len(a)", changes=["a<split"], doubtful=("a",), gives=("n",)),
        step("look", "m = len(b)", reads=["b<split"], gives=("m",)),
    )

    assert run(graph).state == "completed"


@pytest.mark.parametrize("source", MAY_CHANGE.values(), ids=MAY_CHANGE)
@pytest.mark.parametrize("first", ["call", "look"])
def test_a_call_of_unknown_effect_that_reached_what_another_step_reads_fails(source, first):
    change = "x = a[0]\nif type(x) is list:\n    x.append(9)\nelse:\n    a[-1] = 9"
    steps = {
        "call": step("call", change, changes=["a<split"], doubtful=("a",)),
        "look": step("look", "m = len(b)", reads=["b<split"], gives=("m",)),
    }
    order = [first, *(name for name in steps if name != first)]
    done = run(graph_of(step("split", source, gives=("a", "b")), *(steps[name] for name in order), max_parallel=1))

    assert done["call"].error.type == "ValuesShared"
    assert "Step 'call' changes the one in place, step 'look' uses the other" in done["call"].error.message
    assert done.state == "failed"


@pytest.mark.parametrize(
    ("wrap", "call", "failing"),
    [
        pytest.param("a = {'x': keep[0]}", "n = len(a)", [], id="not changed"),
        pytest.param("a = {'x': keep[0]}", "a['x'].append(9)", ["call"], id="changed"),
        pytest.param("keep[0].append(5)\na = {'x': keep[0]}", "n = len(a)", ["wrap"], id="changed before"),
    ],
)
def test_what_nobody_compared_any_more_is_compared_again_where_it_turns_out_to_be_shared(wrap, call, failing):
    # The step that read it has ended by then. Which of the two comes first nothing says: it might have read the change.
    graph = graph_of(
        step("load", "b = [1, 2]\nkeep.append(b)", gives=("b",)),
        step("look", "m = len(b)", reads=["b<load"], gives=("m",), priority=1),
        step("wrap", wrap, gives=("a",), after=("load",)),
        step("call", call, changes=["a<wrap"], doubtful=("a",)),
        max_parallel=1,
    )
    done = run(graph, keep=[])

    assert [name for name, one in done.steps.items() if one.error is not None] == failing
    assert all(done[name].error.type == "ValuesShared" for name in failing)


OPAQUE = "import threading\nlock = threading.Lock()\na = [lock]\nb = {'x': lock}"


def test_a_call_of_unknown_effect_is_refused_where_nobody_could_see_what_it_did():
    graph = graph_of(
        step("split", OPAQUE, gives=("a", "b")),
        step("call", "n = len(a)", changes=["a<split"], doubtful=("a",), gives=("n",)),
        step("look", "m = len(b)", reads=["b<split"], gives=("m",)),
    )

    assert run(graph)["split"].error.type == "ValuesShared"


# Attempts


FLAKY = """
xs.append(len(xs))
tries.append(1)
if len(tries) < 3:
    raise OSError("again")
"""


def test_what_another_step_is_about_to_record_is_not_left_out_of_what_is_recorded_together():
    graph = graph_of(step("hold", "", gives=("b", "shows")), step("other", "", gives=("c",)), inputs=("a",))
    a, shows = [1], [threading.Lock()]
    table = ValueTable(graph, {"a": a}, {}, None)
    table.put(0, {"b": a, "shows": shows}, ())
    watch = Watch(graph, table, refs={}, load=lambda _: None)
    watch.take_inputs([ValueRef(name="a", hash="1")])
    watch.look_at_inputs()
    for name, value in (("b", a), ("shows", shows)):
        watch.contents.track((0, name), value)
    shared = SharedValues({("", "a"): a, ("hold", "b"): a, ("hold", "shows"): shows}, 1)

    # A step that changes it has begun: from now on it is on record only, and here as it was.
    del table.objects[0, "b"]

    groups = list(watch.smaller_groups(1, (), shared, lambda value: value is not shows))

    assert [sorted(name for _, name in group.values) for group in groups] == [["a", "b", "shows"], ["a", "b"], ["a"]]
    assert groups[1].values["hold", "b"] is a
    # What others have recorded together since the whole was made is newer than any part of the whole.
    assert [group.number for group in groups] == [shared.number] * 3


@pytest.mark.parametrize("has_store", [True, False])
def test_each_attempt_begins_with_the_value_as_it_was_given(has_store, store):
    """Each attempt of a step that changes a value begins from the stored version of it."""
    graph = graph_of(
        step("load", "xs = [0]", gives=("xs",)),
        step("grow", FLAKY, changes=["xs<load"], retry=RetryPolicy(retries=2, delay_s=0)),
    )
    done = run(graph, store if has_store else None, tries=[])

    assert done.values.xs == [0, 1]
    assert len(done["grow"].attempts) == 3


@pytest.mark.parametrize("has_store", [True, False])
def test_what_shares_parts_with_the_value_goes_on_doing_so_after_a_retry(has_store, store):
    graph = graph_of(
        step("load", "xs = [0]\nholder = {'xs': xs}", gives=("xs", "holder")),
        step("grow", FLAKY, changes=["xs<load"], retry=RetryPolicy(retries=2, delay_s=0)),
        step("look", "same = holder['xs'] is xs", reads=["holder<load", "xs<grow"], gives=("same",)),
    )
    done = run(graph, store if has_store else None, tries=[])

    assert (done.values.same, done.values.holder) == (True, {"xs": [0, 1]})


def test_views_of_one_array_are_copied_as_views():
    graph = graph_of(
        step("load", "import numpy as np\nxs = np.zeros(4)\ntail = xs[2:]", gives=("xs", "tail")),
        step(
            "grow",
            "xs += 1\ntries.append(1)\nassert len(tries) > 1",
            changes=["xs<load"],
            retry=RetryPolicy(retries=1, delay_s=0),
        ),
        step("look", "seen = tail.tolist()", reads=["tail<load"], gives=("seen",), after=["grow"]),
    )

    assert run(graph, tries=[]).values.seen == [1.0, 1.0]


def test_a_thread_that_was_abandoned_works_on_objects_that_nobody_else_sees():
    go = threading.Event()
    late = threading.Event()
    source = """
mine = xs
tries.append(1)
if len(tries) == 1:
    go.wait(10)
    mine.append("late")
    late.set()
else:
    mine.append("in time")
"""
    graph = graph_of(
        step("load", "xs = [0]", gives=("xs",)),
        step("grow", source, changes=["xs<load"], retry=RetryPolicy(retries=1, delay_s=0), timeout_s=0.2),
        step("look", "go.set(); assert late.wait(10); seen = list(xs)", reads=["xs<grow"], gives=("seen",)),
    )

    assert run(graph, tries=[], go=go, late=late).values.seen == [0, "in time"]


def test_retries_are_refused_where_no_copy_can_be_made():
    graph = graph_of(
        step("load", "import threading\nxs = [threading.Lock()]", gives=("xs",)),
        step("grow", "xs.append(1)", changes=["xs<load"], retry=RetryPolicy(retries=1)),
    )
    error = run(graph)["grow"].error

    assert error.type == "NoCleanStart"
    assert "Remove --retries and --timeout" in error.message


def test_a_failed_attempt_that_changed_what_it_only_reads_is_not_tried_again():
    graph = graph_of(
        LOAD, step("look", "xs.append(4)\nraise OSError", reads=["xs<load"], retry=RetryPolicy(retries=5, delay_s=0))
    )
    done = run(graph)

    assert done["look"].error.type == "ValueChanged"
    assert len(done["look"].attempts) == 1


def test_the_giver_s_values_stay_what_was_given(store):
    done = run(graph_of(LOAD, step("sort", "xs.sort()", changes=["xs<load"])), store)

    assert done["load"].values.xs == [3, 1, 2]
    assert done["sort"].values.xs == [1, 2, 3]
    assert done.values.xs == [1, 2, 3]


# Hidden state


def test_a_hidden_draw_beside_a_step_that_draws_fails_the_run():
    graph = graph_of(
        step("draw", "x = random.random()", gives=("x",), states=("random",)),
        step("sneak", "y = draw_hidden()", gives=("y",)),
        max_parallel=1,
    )
    failed = run(graph, random=random, draw_hidden=random.random)

    assert failed["sneak"].error.type == "HiddenStateUsed"
    assert "changed the random generator of the process" in failed["sneak"].error.message
    assert "`--changes random`" in failed["sneak"].error.message
    # The engine's own lines are none of the cell.
    assert failed["sneak"].error.line is None


def test_a_hidden_draw_that_cannot_meet_another_is_none_of_our_business():
    graph = graph_of(step("sneak", "y = draw_hidden()", gives=("y",)))

    assert run(graph, draw_hidden=np.random.rand).state == "completed"


# As `rich.style`, which draws 24 bits when it is imported, and which much imports: sklearn, httpx, keras.
def _import_that_draws(monkeypatch, generator):
    monkeypatch.setitem(sys.modules, "rich.style", object())
    generator.getrandbits(24)


def _side_by_side(*names):
    """Steps whose bodies call what has their name, at the same time, with what they wait for each other by."""
    meet = threading.Barrier(len(names))
    return [step(name, f"meet.wait(); {name}(); meet.wait()") for name in names], meet


@pytest.mark.parametrize("index", [None, 624], ids=["within a block", "at its end"])
def test_what_an_import_draws_no_step_has_drawn(monkeypatch, index):
    monkeypatch.delitem(sys.modules, "rich.style", raising=False)
    if index is not None:
        version, (*key, _), gauss = random.getstate()
        random.setstate((version, (*key, index), gauss))
    steps, meet = _side_by_side("fit", "plot")
    done = run(graph_of(*steps), meet=meet, fit=lambda: _import_that_draws(monkeypatch, random), plot=lambda: None)

    assert done.state == "completed"


def test_a_draw_beside_an_import_that_draws_is_found(monkeypatch):
    monkeypatch.delitem(sys.modules, "rich.style", raising=False)
    steps, meet = _side_by_side("fit", "plot")
    failed = run(graph_of(*steps), meet=meet, fit=lambda: _import_that_draws(monkeypatch, random), plot=random.random)

    assert "HiddenStateUsed" in {failed[name].error.type for name in ("fit", "plot") if failed[name].error}


@pytest.mark.parametrize(
    ("drawn", "changed"),
    [("in the cell", ()), ("before it", ("random",)), ("after it", ("random",)), ("by a step that ends in it", ())],
)
def test_what_a_cell_draws_while_steps_run_is_not_theirs(drawn, changed):
    hidden = HiddenStates()
    hidden.enter(0, ())
    hidden.enter(1, ())
    if drawn == "before it":
        random.random()
    hidden.look_away()
    if drawn in {"in the cell", "by a step that ends in it"}:
        random.random()
    if drawn == "by a step that ends in it":
        hidden.leave(0)
    else:
        hidden.look_again()
        hidden.leave(0)
    if drawn == "after it":
        random.random()

    assert hidden.leave(1) == (changed, (), (0, 1))


@pytest.mark.parametrize("is_beside", [False, True])
@pytest.mark.parametrize(
    ("bound", "is_seen"), [("by a step", True), ("in a cell", False), ("by a resume", False), ("as before", False)]
)
def test_a_class_that_a_step_binds_something_in_is_seen(bound, is_seen, is_beside):
    kind = type("Net", (), {"__module__": "__main__", "rate": 1})
    hidden = HiddenStates()
    if is_beside:
        hidden.enter(1, ())
    hidden.enter(0, (kind(),))
    if bound == "in a cell":
        hidden.look_away()
    with hidden.aside() if bound == "by a resume" else nullcontext():
        kind.rate = 1 if bound == "as before" else 2
    kind.__slotnames__ = []
    hidden.look_again()
    if is_beside:
        assert hidden.leave(1)[0] == ()

    assert hidden.leave(0)[0] == ((kind,) if is_seen else ())


def test_a_setting_that_a_lone_step_changed_before_a_cell_began_is_its_own(monkeypatch):
    hidden = HiddenStates()
    hidden.enter(0, ())
    monkeypatch.setenv("SZAL_SET_BY_STEP", "1")
    hidden.look_away()
    monkeypatch.setenv("SZAL_SET_BY_CELL", "1")
    hidden.look_again()

    assert hidden.leave(0) == (("environment",), (), (0,))


@pytest.mark.parametrize(
    ("pure", "state"),
    [((), "failed"), (("fit",), "failed"), (("fit", "plot"), "completed")],
    ids=["nobody says", "one says", "both say"],
)
def test_steps_may_say_that_nothing_of_theirs_depends_on_what_they_draw(pure, state):
    """As the jitter of a retry: what is fetched side by side need not go one after another for it."""
    meet = threading.Barrier(2)
    steps = [
        step(name, f"meet.wait(); {name}(); meet.wait()", pure=("random",) if name in pure else ())
        for name in ("fit", "plot")
    ]
    done = run(graph_of(*steps), meet=meet, fit=random.random, plot=random.random)

    assert done.state == state


def test_what_disturbs_the_numbers_of_another_step_is_found_whatever_it_says():
    draw = step("draw", "x = random.random()", gives=("x",), states=("random",))
    jitter = step("jitter", "sneak()", pure=("random",))
    failed = run(graph_of(draw, jitter, max_parallel=1), random=random, sneak=random.random)

    assert failed["jitter"].error.type == "HiddenStateUsed"
    assert "write `--pure random` on all of them" in failed["jitter"].error.message


def test_what_an_import_draws_from_the_numbers_of_another_step_is_found(monkeypatch):
    monkeypatch.delitem(sys.modules, "rich.style", raising=False)
    draw = step("draw", "x = random.random()", gives=("x",), states=("random",))
    failed = run(
        graph_of(draw, step("fit", "fit()"), max_parallel=1),
        random=random, fit=lambda: _import_that_draws(monkeypatch, random),
    )  # fmt: skip

    assert failed["fit"].error.type == "HiddenStateUsed"


def test_a_step_that_leaves_the_process_elsewhere_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = [step("move", "go()"), step("look", "1")]
    error = run(graph_of(*steps, max_parallel=1), go=lambda: os.chdir("/"))["move"].error

    assert error.type == "HiddenStateUsed"
    assert "`--changes working-directory`" in error.message


def test_an_import_may_set_what_it_likes(monkeypatch):
    monkeypatch.delenv("SZAL_SET_BY_IMPORT", raising=False)

    def go():
        monkeypatch.setitem(sys.modules, "szal_made_up", object())
        monkeypatch.setenv("SZAL_SET_BY_IMPORT", "1")

    assert run(graph_of(step("move", "go()"), step("look", "1"), max_parallel=1), go=go).state == "completed"


def test_draws_go_on_after_a_resume_where_they_stopped(store):
    def graph(source):
        return graph_of(
            step("first", "a = random.random()", gives=("a",), states=("random",)),
            step("second", source, gives=("b",), states=("random",), after=["first"]),
        )

    random.seed(5)
    expected = [random.random(), random.random()]
    random.seed(5)
    cut = run(graph("raise OSError"), store, random=random)
    random.seed("another process")
    done = resume(cut.id, graph("b = random.random()"), store, random=random)

    assert [done.values.a, done.values.b] == expected
