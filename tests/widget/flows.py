"""Flows and runs that the tests of the picture draw: made by hand, the same at every call."""

from __future__ import annotations

import math
import random

from szal_nb.model.event import (
    Event,
    RunCreated,
    RunFailed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepProgress,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Binding, Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.model.step import RetryPolicy, Step
from szal_nb.model.value import ElementEnd, ErrorInfo, Output, ValueRef

T0 = 1_700_000_000.0
RUN_ID = "20250101-120000-ab12"

# step: (what it reads as name -> giver, what it gives)
_SALES: dict[str, tuple[dict[str, str | None], tuple[str, ...]]] = {
    "load": ({"region": None}, ("orders",)),
    "clean": ({"orders": "load"}, ("orders",)),
    "by_region": ({"orders": "clean"}, ("regions",)),
    "by_month": ({"orders": "clean"}, ("months",)),
    "plot": ({"months": "by_month"}, ()),
    "summary": ({"regions": "by_region", "months": "by_month"}, ("text",)),
}


def sales() -> FlowGraph:
    """Six steps with a retry, branches, an edge in doubt and one that is implied."""
    steps = tuple(
        Step(
            name=name,
            raw=f"%%szal_step {name}\n{' = '.join(gives) or '_'} = f({', '.join(reads)})  # {name}",
            retry=RetryPolicy(retries=3 if name == "load" else 0),
            timeout_s=60 if name == "summary" else None,
            tags=("report",) if name == "summary" else (),
            cell_id=f"cell-{name}",
        )
        for name, (reads, gives) in _SALES.items()
    )
    nodes = tuple(
        StepNode(
            step=step,
            bindings=tuple(Binding(name=read, step=giver, source=read) for read, giver in _SALES[step.name][0].items()),
            gives=_SALES[step.name][1],
            needed=_SALES[step.name][1],
        )
        for step in steps
    )
    edges = [
        Edge(
            source=giver,
            target=name,
            kind=EdgeKind.DATA,
            names=(read,),
            rule="reads",
            reason=f"{name} reads {read}, which {giver} gives",
            line=2,
        )
        for name, (reads, _gives) in _SALES.items()
        for read, giver in reads.items()
        if giver is not None
    ]
    doubt = "plot calls f(months), whose effect is not known"
    edges += [
        Edge(source="plot", target="summary", kind=EdgeKind.DOUBT, rule="call", reason=doubt, remedy="--pure months"),
        Edge(source="clean", target="summary", kind=EdgeKind.DOUBT, rule="call", reason="clean calls f(orders)"),
    ]
    flow = FlowDefinition(name="sales", version=2, steps=steps)
    return FlowGraph(flow=flow, nodes=nodes, edges=tuple(edges), inputs=("region",))


def table(name: str, rows: int, size: int, **more: object) -> ValueRef:
    return ValueRef(name=name, type="DataFrame", shape=(rows, 4), size=size, needed=True, hash="ab", **more)  # type: ignore[arg-type]


SALES_EVENTS: tuple[Event, ...] = (
    RunCreated(
        at=T0,
        flow="sales",
        version=2,
        steps=tuple(_SALES),
        inputs=(ValueRef(name="region", type="str", summary="'EU'", size=4, hash="aa"),),
    ),
    RunStarted(at=T0 + 0.1),
    StepStarted(at=T0 + 0.1, step="load", attempt=1),
    StepRetrying(
        at=T0 + 1.2, step="load", attempt=1, error=ErrorInfo(type="TimeoutError", message="no answer"), delay_s=1
    ),
    StepStarted(at=T0 + 2.2, step="load", attempt=2),
    StepCompleted(at=T0 + 3.4, step="load", attempt=2, values=(table("orders", 10_000, 1_250_000),)),
    StepStarted(at=T0 + 3.4, step="clean", attempt=1),
    StepCompleted(at=T0 + 3.65, step="clean", attempt=1, values=(table("orders", 9_874, 1_210_000),)),
    StepStarted(at=T0 + 3.7, step="by_region", attempt=1),
    StepStarted(at=T0 + 3.7, step="by_month", attempt=1),
    StepFailed(
        at=T0 + 4.1,
        step="by_region",
        attempt=1,
        error=ErrorInfo(
            type="KeyError",
            message="'Region'",
            traceback="\x1b[31mKeyError\x1b[0m  Traceback (most recent call last)\nCell In[4], line 2\nKeyError: 'Region'",
            line=2,
        ),
    ),
    StepSkipped(at=T0 + 4.1, step="summary", reason="by_region failed"),
    StepCompleted(at=T0 + 5.0, step="by_month", attempt=1, values=(table("months", 12, 900),)),
    StepStarted(at=T0 + 5.0, step="plot", attempt=1),
    StepCompleted(at=T0 + 6.5, step="plot", attempt=1),
    RunFailed(at=T0 + 6.5),
)
OUTPUTS = (
    Output(type="stream", name="stdout", text="reading 12 files\n"),
    Output(type="stream", name="stdout", text="\x1b[32mok\x1b[0m 10,000 rows\n"),
    Output(type="stream", name="stderr", text="one file is old\n"),
    Output(
        type="display_data",
        data={
            "text/html": "<table><tr><th>product<th>revenue<tr><td>tea<td>1,204<tr><td>coffee<td>982</table>"
            "<script>parent.document.title = 'taken'</script>",
            "text/plain": "  product  revenue",
        },
    ),
)


def sales_run(events: int = len(SALES_EVENTS)) -> RunSnapshot:
    """The run of `sales` after its first `events` events: 10 is in the middle, all is failed."""
    return fold(SALES_EVENTS[:events])


def sales_waiting() -> RunSnapshot:
    """The run with a step that asks a person."""
    waiting = StepWaiting(at=T0 + 4, step="by_month", message="Send it to everybody?")
    return fold((*SALES_EVENTS[:9], waiting))


def mapped() -> FlowGraph:
    """A step for each of a thousand elements, between one that lists them and one that adds them up."""
    steps = (
        Step(name="find_files", raw="%%szal_step find_files\nfiles = sorted(folder.glob('*.csv'))"),
        Step(name="read", raw="%%szal_step read --map files --max-parallel 8\nrows = len(files)", map=("files",)),
        Step(name="add_up", raw="%%szal_step add_up\ntotal = sum(rows)"),
    )
    reads: tuple[dict[str, str], ...] = ({}, {"files": "find_files"}, {"rows": "read"})
    gives = (("files",), ("rows",), ("total",))
    nodes = tuple(
        StepNode(
            step=step,
            bindings=tuple(Binding(name=name, step=giver, source=name) for name, giver in read.items()),
            gives=given,
        )
        for step, read, given in zip(steps, reads, gives, strict=True)
    )
    edges = tuple(
        Edge(source=giver, target=step.name, kind=EdgeKind.DATA, names=(name,), reason=f"{step.name} reads {name}")
        for step, read in zip(steps, reads, strict=True)
        for name, giver in read.items()
    )
    return FlowGraph(flow=FlowDefinition(name="archive", version=1, steps=steps), nodes=nodes, edges=edges)


def mapped_events() -> tuple[Event, ...]:
    """The events of a run of `mapped` up to element 640, with three that failed."""
    files = ValueRef(name="files", type="list", shape=(1000,), size=42_000, needed=True, hash="ab")
    ends = tuple(
        ElementEnd(number, attempts=2 if number % 97 == 0 else 1, error="ValueError: no header", gave="")
        if number in (77, 305, 512)
        else ElementEnd(number, attempts=2 if number % 97 == 0 else 1, gave="int")
        for number in range(640)
    )
    return (
        RunCreated(at=T0, flow="archive", steps=("find_files", "read", "add_up")),
        RunStarted(at=T0),
        StepStarted(at=T0, step="find_files", attempt=1),
        StepCompleted(at=T0 + 0.2, step="find_files", attempt=1, values=(files,)),
        StepStarted(at=T0 + 0.2, step="read", attempt=1),
        StepProgress(at=T0 + 4.8, step="read", attempt=1, done=640, total=1000, elements=ends),
    )


_WORDS = [
    "load",
    "clean",
    "join",
    "merge",
    "orders",
    "users",
    "prices",
    "model",
    "train",
    "score",
    "report",
    "plot",
    "export",
    "daily",
    "weekly",
    "region",
    "month",
]


def warehouse(count: int, seed: int = 3) -> FlowGraph:
    """A flow of `count` steps in layers, as large notebooks have them."""
    chance = random.Random(seed)
    layers = max(4, round(math.sqrt(count) / 1.3))
    per_layer = max(1, math.ceil(count / layers))
    names = [f"{chance.choice(_WORDS)}_{chance.choice(_WORDS)}_{number}" for number in range(count)]
    nodes, edges = [], []
    for number, name in enumerate(names):
        sources: dict[int, None] = {}
        layer = number // per_layer
        for _ in range(1 + int(chance.random() * 2) if layer else 0):
            above = layer - (1 if chance.random() < 0.85 else chance.randint(1, min(3, layer)))
            place = number % per_layer + chance.randint(-2, 2)
            sources[above * per_layer + min(per_layer - 1, max(0, place))] = None
        for source in sources:
            kind = EdgeKind.DOUBT if chance.random() < 0.08 else EdgeKind.DATA
            given = (f"df_{source}",) if kind is EdgeKind.DATA else ()
            edges.append(Edge(source=names[source], target=name, kind=kind, names=given, reason=f"{name} reads"))
        bindings = tuple(Binding(name=f"df_{source}", step=names[source], source=f"df_{source}") for source in sources)
        step = Step(name=name, raw=f"%%szal_step {name}\ndf_{number} = 1")
        nodes.append(StepNode(step=step, bindings=bindings, gives=(f"df_{number}",)))
    flow = FlowDefinition(name="warehouse", version=3, steps=tuple(node.step for node in nodes))
    return FlowGraph(flow=flow, nodes=tuple(nodes), edges=tuple(edges))


def warehouse_events(graph: FlowGraph, share: float = 0.55, seed: int = 5) -> list[Event]:
    """The events of a run of `warehouse` up to the step at `share` of its length, with some failures."""
    chance = random.Random(seed)
    names = [node.step.name for node in graph.nodes]
    events: list[Event] = [
        RunCreated(at=T0, flow=graph.flow.name, version=3, steps=tuple(names)),
        RunStarted(at=T0),
    ]
    lost: set[str] = set()
    for number, name in enumerate(names[: int(len(names) * share) + 1]):
        at = T0 + number * 0.05
        if lost.intersection(graph.dependencies[name]):
            events.append(StepSkipped(at=at, step=name, reason="a step that it needs failed"))
            lost.add(name)
            continue
        events.append(StepStarted(at=at, step=name, attempt=1))
        if number > len(names) * share - max(2, len(names) * 0.04):
            continue
        if chance.random() < 0.025:
            error = ErrorInfo(type="ValueError", message="columns overlap")
            events.append(StepFailed(at=at + 1, step=name, attempt=1, error=error))
            lost.add(name)
        else:
            value = table(f"df_{number}", chance.randint(10, 99_999), chance.randint(100, 10**7))
            events.append(StepCompleted(at=at + chance.random() * 3, step=name, attempt=1, values=(value,)))
    return events
