"""A past run is shown as it was, its bodies give the same again, and what was changed in a record is named.

Flows are drawn at random, each from its number: 500 of them, and 100 changes of records (`SZAL_TORTURE` of each).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import msgspec
import pytest

from szal_nb.analysis import comparison
from szal_nb.api.fork import inputs_of
from szal_nb.api.handle import RunHandle
from szal_nb.api.past import diff, replay, verified
from szal_nb.api.run import Run
from szal_nb.model.event import Event, RunCreated, StepCompleted, StepFailed, StepOutput
from szal_nb.model.graph import FlowGraph
from szal_nb.model.value import ErrorInfo, ValueRef, is_about_the_process
from szal_nb.store.bundle import Bundle, read_bundle, write_bundle
from szal_nb.store.runs import RunStore, new_run_id
from tests.api.cell_flows import CellFlow, everything

TORTURE = int(os.environ.get("SZAL_TORTURE", "0"))
FLOWS, CHANGES = TORTURE or 500, TORTURE or 100
NOTEBOOK = "import random\nimport math\nk = {k}\ndef helper(n):\n    return n + {h}\n"
NAMES = ("load", "clean", "join", "total", "report")


@pytest.fixture(scope="module")
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


def drawn(number: int) -> CellFlow:
    """The flow of this number: lists that are made, read, changed in place, shared and shown."""
    chance = random.Random(number)
    cells: dict[str, str] = {}
    for position, name in enumerate(NAMES[: chance.randint(2, len(NAMES))]):
        above = [f"v_{other}" for other in NAMES[:position]]
        lines = ["random.seed(4)"] if not position else []
        lines.append(f"v_{name} = [{chance.randrange(4)}, {chance.random():.3f}]")
        lines += [_line(chance, name, above) for _ in range(chance.randrange(4))]
        cells[name] = "\n".join(lines)
    return CellFlow(cells, notebook=NOTEBOOK.format(k=chance.randrange(3), h=chance.randrange(3)))


def _line(chance: random.Random, name: str, above: list[str]) -> str:
    own = f"v_{name}"
    other = chance.choice(above or [own])
    return chance.choice(
        [
            f"{own} = {own} + {other}",
            f"{own} = {other}[:2] + [k]",
            f"{other}.append({chance.randrange(3)})",
            f"{own} = list(map(helper, {other}))",
            f"{own}.append(random.randrange(9))",
            f"d_{name} = {{'sum': math.fsum({other}), 'all': tuple({other}), 'none': None, 'nan': math.nan}}",
            f"print('{name} has', len({own}), 'of', {other}[0])",
            f"same_{name} = {other}",
            f"len({own})",
        ]
    )


def ran_again(flow: CellFlow, store: RunStore, record: str) -> tuple[str, ...]:
    """What `--verify` finds: the run's bodies once more, with its inputs, compared with its record."""
    inputs = inputs_of(store, record, flow.graph(), changed={}, live={})
    return verified(store, record, flow.run(store, inputs).id)


def test_random_flows_are_replayed_without_a_difference(store):
    """Replay: no step body runs at all; values and outputs come from the record; `--verify` runs them again and compares hashes, naming what differs."""
    wrong = {}
    for number in range(FLOWS):
        flow = drawn(number)
        run = flow.run(store)
        flow.deeds.clear()
        if not is_replayed(run, replay(store, run.id)) or flow.deeds:
            wrong[number] = ("replayed otherwise", flow.deeds)
        elif found := ran_again(flow, store, run.id):
            wrong[number] = found
    assert wrong == {}


def is_replayed(run: RunHandle, past: Run) -> bool:
    """Whether the past run is shown with the values and the outputs that it had."""
    logs = [[one[step].logs for step in run.snapshot.steps] for one in (past, run)]
    return past.state == "completed" and everything(past) == everything(run) and logs[0] == logs[1]


def test_a_replay_of_what_is_not_as_it_was_is_found_out(store):
    flow = CellFlow({"load": "x = [1]\ny = [2]\nprint('loaded')"})
    run = flow.run(store)
    bundle = read_bundle(store, run.id)
    (values,) = (event.values for event in bundle.events if isinstance(event, StepCompleted))
    swapped = tuple(msgspec.structs.replace(ref, name={"x": "y", "y": "x"}.get(ref.name, ref.name)) for ref in values)
    said = msgspec.structs.replace(
        bundle, events=[event for event in bundle.events if not isinstance(event, StepOutput)]
    )

    assert is_replayed(run, replay(store, written(store, bundle)))
    assert not is_replayed(run, replay(store, written(store, _with_values(bundle, "load", lambda _: swapped))))
    assert not is_replayed(run, replay(store, written(store, said)))


def written(store: RunStore, bundle: Bundle) -> str:
    """The record as a run of its own."""
    run_id = new_run_id()
    named = msgspec.structs.replace(bundle, run=msgspec.structs.replace(bundle.run, id=run_id))
    write_bundle(store, named, (), is_imported=False)
    return run_id


def test_a_body_that_gives_something_else_each_time_is_named(store):
    flow = CellFlow({"load": "import time\nx = [1]\nt = time.perf_counter_ns()", "clean": "y = [x, t]"})
    found = ran_again(flow, store, flow.run(store).id)

    assert [line.partition(":")[0] for line in found] == ["load.t", "clean.y"]


# What may become of a record: each gives the bundle, changed, and the step and the name that must be told of.
_Changed = tuple[Bundle, str, str]


def _with_events(bundle: Bundle, change: Callable[[Event], Event]) -> Bundle:
    return msgspec.structs.replace(bundle, events=[change(event) for event in bundle.events])


def _places(bundle: Bundle) -> list[tuple[str, ValueRef]]:
    return [
        (event.step, ref)
        for event in bundle.events
        if isinstance(event, StepCompleted)
        for ref in event.values
        if not is_about_the_process(ref.name) and ref.hash is not None
    ]


def _with_values(bundle: Bundle, step: str, change: Callable[[tuple[ValueRef, ...]], tuple[ValueRef, ...]]) -> Bundle:
    def of(event: Event) -> Event:
        if isinstance(event, StepCompleted) and event.step == step:
            return msgspec.structs.replace(event, values=change(event.values))
        return event

    return _with_events(bundle, of)


def another_content(bundle: Bundle, chance: random.Random) -> _Changed:
    step, ref = chance.choice(_places(bundle))
    others = [other for _, other in _places(bundle) if other.hash != ref.hash]
    if not others:
        return a_lost_value(bundle, chance)
    other = chance.choice(others)
    changed = msgspec.structs.replace(ref, hash=other.hash, content=other.content, format=other.format, size=other.size)
    return _with_values(bundle, step, lambda refs: tuple(changed if r is ref else r for r in refs)), step, ref.name


def a_lost_value(bundle: Bundle, chance: random.Random) -> _Changed:
    step, ref = chance.choice(_places(bundle))
    return _with_values(bundle, step, lambda refs: tuple(r for r in refs if r is not ref)), step, ref.name


def an_added_value(bundle: Bundle, chance: random.Random) -> _Changed:
    step, ref = chance.choice(_places(bundle))
    added = msgspec.structs.replace(ref, name="added")
    return _with_values(bundle, step, lambda refs: (*refs, added)), step, "added"


def a_value_said_to_be_live(bundle: Bundle, chance: random.Random) -> _Changed:
    step, ref = chance.choice(_places(bundle))
    live = ValueRef(name=ref.name, type=ref.type, live="a generator")
    return _with_values(bundle, step, lambda refs: tuple(live if r is ref else r for r in refs)), step, ref.name


def a_failure(bundle: Bundle, chance: random.Random) -> _Changed:
    step = [event.step for event in bundle.events if isinstance(event, StepCompleted)][-1]
    error = ErrorInfo(type="ValueError", message="no")

    def of(event: Event) -> Event:
        if isinstance(event, StepCompleted) and event.step == step:
            return StepFailed(at=event.at, step=step, attempt=event.attempt, error=error)
        return event

    return _with_events(bundle, of), step, "state"


def another_input(bundle: Bundle, chance: random.Random) -> _Changed:
    (created,) = (event for event in bundle.events if isinstance(event, RunCreated))
    _, other = chance.choice(_places(bundle))
    own = [ref for ref in created.inputs if not is_about_the_process(ref.name)]
    if not own:
        return an_added_value(bundle, chance)
    ref = chance.choice(own)
    changed = msgspec.structs.replace(ref, hash=other.hash, content=other.content, format=other.format, size=other.size)
    inputs = tuple(changed if r is ref else r for r in created.inputs)
    return (
        _with_events(bundle, lambda e: msgspec.structs.replace(e, inputs=inputs) if e is created else e),
        "",
        ref.name,
    )


def another_code(bundle: Bundle, chance: random.Random) -> _Changed:
    node = chance.choice(bundle.graph.nodes)
    parts = tuple((name, "changed" if name == "code" else part) for name, part in dict(node.parts).items())
    nodes = tuple(msgspec.structs.replace(n, parts=parts) if n is node else n for n in bundle.graph.nodes)
    graph = FlowGraph(flow=bundle.graph.flow, nodes=nodes, edges=bundle.graph.edges, inputs=bundle.graph.inputs)
    return msgspec.structs.replace(bundle, graph=graph), node.step.name, "code"


KINDS = (another_content, a_lost_value, an_added_value, a_value_said_to_be_live, a_failure, another_input, another_code)


def unnamed_changes(store: RunStore, count: int = CHANGES) -> list[tuple[int, str]]:
    """The changes of records, of so many, that a comparison with the record as it was does not name."""
    missed = []
    for number in range(count):
        kind, chance = KINDS[number % len(KINDS)], random.Random(number)
        run = drawn(number).run(store)
        bundle, step, name = kind(read_bundle(store, run.id), chance)
        if (step, name) not in named(store, run.id, written(store, bundle)):
            missed.append((number, kind.__name__))
    return missed


def named(store: RunStore, record: str, other: str) -> set[tuple[str, str]]:
    """Steps with what `szal diff` says of them; inputs stand with no step."""
    found = diff(store, record, other)
    text = str(found)
    pairs = {("", value.name) for value in found.inputs}
    for step in found.steps:
        pairs |= {(step.step, value.name) for value in step.values}
        pairs |= {(step.step, part) for part in step.code}
        if step.states[0] != step.states[1]:
            pairs.add((step.step, "state"))
    return {(step, name) for step, name in pairs if name in text and step in text}


def test_every_change_of_a_record_is_named(store):
    assert unnamed_changes(store) == []


def test_a_comparison_that_looks_at_names_only_is_found_out(store, monkeypatch):
    same = comparison.value_diffs
    monkeypatch.setattr(
        comparison,
        "value_diffs",
        lambda a, b, _=None: tuple(v for v in same(a, b) if v.before is None or v.after is None),
    )

    assert {kind for _, kind in unnamed_changes(store, 14)} >= {"another_content", "a_value_said_to_be_live"}
