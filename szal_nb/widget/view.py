"""What the picture shows, as plain JSON: the only contract between Python and TypeScript (`dag/state.ts`).

Pure. `graph_view` is sent once; `states_view` is compact: one character a node, facts only of steps that did something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from szal_nb.analysis.doubt import doubted
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.state import RunSnapshot, RunState, StepSnapshot, StepState
from szal_nb.model.step import Backoff, Executor, MapMode, OnConditionError, OnError, RetryPolicy, Step, Trigger
from szal_nb.model.value import ErrorInfo, ValueRef, for_people, rebuilt_on_resume

JsonObject = dict[str, Any]

SCHEMA = 1

STATE_CODES: dict[StepState, str] = {
    StepState.PENDING: "p",
    StepState.RUNNING: "r",
    StepState.RETRYING: "t",
    StepState.WAITING: "w",
    StepState.COMPLETED: "c",
    StepState.FAILED: "f",
    StepState.SKIPPED: "s",
    StepState.CANCELLED: "x",
    StepState.ROLLED_BACK: "b",
}
STATE_OF_CODE: dict[str, StepState] = {code: state for state, code in STATE_CODES.items()}

SOURCE_CHARS = 20_000
_ALL_SOURCES_CHARS = 1_000_000
_LINE_CHARS = 300
_VALUES_SHOWN = 8


def view_state(
    graph: FlowGraph,
    snapshot: RunSnapshot | None,
    *,
    run_id: str | None = None,
    is_crashed: bool = False,
    now: float | None = None,
) -> JsonObject:
    """The whole picture: `{"graph": graph_view(...), "run": states_view(...)}`."""
    return {
        "graph": graph_view(graph),
        "run": states_view(graph, snapshot, run_id=run_id, is_crashed=is_crashed, now=now),
    }


def graph_view(graph: FlowGraph) -> JsonObject:
    """What does not change during a run: nodes in document order, edges between their indexes, inputs of the run.

    An edge is `implied` if other edges already say it and it carries no names: it is listed, not drawn.
    Sources past a total of one million characters are left out; `details.details_view` gives them.
    """
    index = {node.step.name: number for number, node in enumerate(graph.nodes)}
    edges = _merged(graph.edges)
    implied = _implied(edges, index)
    left = _ALL_SOURCES_CHARS
    nodes = []
    for node in graph.nodes:
        source = cut(source_of(node.step), SOURCE_CHARS)
        left -= len(source)
        nodes.append(_node_view(node, graph.flow, source if left >= 0 else None))
    return {
        "schema": SCHEMA,
        "flow": graph.flow.name,
        "version": graph.flow.version,
        "mode": str(graph.flow.mode),
        "nodes": nodes,
        "edges": [_edge_view(edge, index, is_implied=edge in implied) for edge in edges],
        "inputs": list(graph.inputs),
    }


def states_view(
    graph: FlowGraph,
    snapshot: RunSnapshot | None,
    *,
    run_id: str | None = None,
    is_crashed: bool = False,
    now: float | None = None,
) -> JsonObject:
    """What changes: the run's own state, one state character a node, and the facts of every step that has any.

    `steps` is keyed by the node's index as text. `now` is the clock by which running durations are counted.
    """
    states = states_text(graph, snapshot)
    view = run_view(snapshot, states, run_id=run_id, is_crashed=is_crashed, now=now)
    view["steps"] = {}
    if snapshot is not None:
        for number, node in enumerate(graph.nodes):
            step = snapshot.steps.get(node.step.name)
            facts = step_facts(step) if step is not None else {}
            if facts:
                view["steps"][str(number)] = facts
    return view


def run_view(
    snapshot: RunSnapshot | None,
    states: str,
    *,
    run_id: str | None = None,
    is_crashed: bool = False,
    now: float | None = None,
) -> JsonObject:
    """The run without its steps' facts; `states` is what `states_text` gave. State `idle`: nothing has been run."""
    if snapshot is None:
        return {"run": run_id, "state": "idle", "states": states, "counts": count_states(states), "now": now}
    view: JsonObject = {
        "run": run_id,
        "state": "crashed" if is_crashed and not snapshot.state.is_final else str(snapshot.state),
        "states": states,
        "counts": count_states(states),
        "now": now,
        "created": snapshot.created_at,
        "started": snapshot.started_at,
        "ended": snapshot.ended_at,
        "epoch": snapshot.epoch,
        "events": snapshot.events,
    }
    if snapshot.reason:
        view["reason"] = cut(snapshot.reason, _LINE_CHARS)
    if snapshot.is_cancelling:
        view["cancelling"] = True
    if snapshot.is_interrupted:
        view["interrupted"] = True
    if snapshot.state is RunState.FAILED and (step := doubted(snapshot)) is not None:
        view["doubted"] = step.name
    return view


def states_text(graph: FlowGraph, snapshot: RunSnapshot | None) -> str:
    """One character of `STATE_CODES` for each node, in order."""
    if snapshot is None:
        return "p" * len(graph.nodes)
    steps = snapshot.steps
    codes = STATE_CODES
    return "".join(
        [codes[step.state] if (step := steps.get(node.step.name)) is not None else "p" for node in graph.nodes]
    )


def count_states(states: str) -> dict[str, int]:
    """How many steps are in each state, by the state's name; states without steps are left out."""
    counts = Counter(states)
    return {str(state): counts[code] for state, code in STATE_CODES.items() if counts[code]}


def step_facts(step: StepSnapshot) -> JsonObject:
    """What a step did so far; empty for one that did nothing."""
    facts: JsonObject = {}
    values = for_people(step.values)
    if step.attempts:
        facts["started"] = _ms(step.started_at)
    optional: Mapping[str, object] = {
        "attempts": step.attempt if step.attempt > 1 else None,
        "ended": _ms(step.ended_at),
        "error": error_line(step.error) if step.error is not None else None,
        "reason": cut(step.reason, _LINE_CHARS),
        "origin": step.origin if step.origin != "ran" else None,
        "retry_at": _ms(step.retry_at),
        "values": [value_view(value) for value in _shown_values(values)],
        "more_values": max(0, len(values) - _VALUES_SHOWN),
        "done": step.done,
        "total": step.total,
        "note": cut(step.note, _LINE_CHARS),
        "elements_failed": len(step.failed_elements),
        "rollback_error": error_line(step.rollback_error) if step.rollback_error is not None else None,
        "rebuilds": bool(rebuilt_on_resume(step.values)),
    }
    facts.update({key: value for key, value in optional.items() if value})
    return facts


def value_view(value: ValueRef) -> JsonObject:
    """A value as the picture names it; never its content."""
    view: JsonObject = {"name": value.name, "type": cut(value.type, 80), "size": value.size}
    if value.shape is not None:
        view["shape"] = list(value.shape)
    if value.summary:
        view["summary"] = cut(value.summary, _LINE_CHARS)
    if value.live:
        view["live"] = cut(value.live, _LINE_CHARS)
    if value.needed:
        view["needed"] = True
    return view


def error_line(error: ErrorInfo) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or [error.type]
    return cut(lines[0], _LINE_CHARS)


def _node_view(node: StepNode, flow: FlowDefinition, source: str | None) -> JsonObject:
    step = node.step
    view: JsonObject = {
        "name": step.name,
        "kind": str(step.kind),
        "source": source,
        "reads": [
            {"name": binding.name, "step": binding.step, "source": binding.source or binding.name}
            for binding in node.reads
        ],
        "gives": list(node.gives),
    }
    optional: Mapping[str, object] = {
        "changes": list(node.changes),
        "tags": list(step.tags),
        "flags": _flags(step, flow),
        "notes": list(node.notes),
        "cell": step.cell_id,
        "parent": step.parent,
        "map": list(step.map),
        "approve": step.approve,
        "is_async": node.is_async,
        "is_main_thread": node.is_main_thread,
    }
    view.update({key: value for key, value in optional.items() if value})
    return view


def _flags(step: Step, flow: FlowDefinition) -> list[str]:
    """The rules that the author gave the step, in the spelling of its magic, but for those seen elsewhere."""
    retry, where = step.retry, flow.executor_of(step)
    said = (
        (retry.retries > 0, f"--retries {retry.retries}"),
        (retry.delay_s != RetryPolicy().delay_s, f"--delay {retry.delay_s:g}s"),
        (retry.backoff is not Backoff.FIXED, f"--backoff {retry.backoff}"),
        (retry.max_delay_s is not None, f"--max-delay {retry.max_delay_s or 0:g}s"),
        (retry.jitter > 0, f"--jitter {retry.jitter:g}"),
        (bool(retry.retry_on), f"--retry-on {','.join(retry.retry_on)}"),
        (bool(retry.no_retry_on), f"--no-retry-on {','.join(retry.no_retry_on)}"),
        (step.timeout_s is not None, f"--timeout {step.timeout_s or 0:g}s"),
        (step.timeout_total_s is not None, f"--timeout-total {step.timeout_total_s or 0:g}s"),
        (step.when is not None, f"--when {cut(step.when or '', 80)}"),
        (step.on_condition_error is not OnConditionError.FAIL, f"--on-condition-error {step.on_condition_error}"),
        (step.trigger is not Trigger.ALL, f"--trigger {step.trigger}"),
        (bool(step.map), f"--map {' '.join(step.map)}"),
        (step.map_mode is not MapMode.ZIP, f"--map-mode {step.map_mode}"),
        (step.map_errors != "fail", f"--map-errors {step.map_errors}"),
        (step.max_parallel is not None, f"--max-parallel {step.max_parallel}"),
        (step.on_error is not OnError.FAIL, f"--on-error {step.on_error}"),
        (where is not Executor.THREAD, f"--executor {where}"),
        (step.priority != 0, f"--priority {step.priority}"),
        (bool(step.requires), f"--requires {cut(' '.join(step.requires), 80)}"),
        (bool(step.out), f"--out {cut(' '.join(step.out), 80)}"),
        (step.cache, "--cache"),
        (step.once, "--once"),
        (step.strict, "--strict"),
    )
    return [flag for is_set, flag in said if is_set]


def _merged(edges: Sequence[Edge]) -> list[Edge]:
    """Edges in order, without exact repetitions (a step may read one thing by several rules)."""
    return list(dict.fromkeys(edges))


def _implied(edges: Sequence[Edge], index: Mapping[str, int]) -> set[Edge]:
    """The edges without names whose order already follows from the others. Sets of nodes are bits of an integer."""
    sources: dict[int, list[int]] = {}
    for edge in edges:
        sources.setdefault(index[edge.target], []).append(index[edge.source])
    above = [0] * len(index)
    above_sources = [0] * len(index)
    for number in _topological(len(index), sources):
        bits = 0
        for source in sources.get(number, ()):
            bits |= above[source]
        above_sources[number] = bits
        for source in sources.get(number, ()):
            bits |= 1 << source
        above[number] = bits
    return {
        edge
        for edge in edges
        if edge.kind in (EdgeKind.ORDER, EdgeKind.DOUBT) and above_sources[index[edge.target]] >> index[edge.source] & 1
    }


def _topological(count: int, sources: Mapping[int, Sequence[int]]) -> list[int]:
    """All nodes, sources first. A checked graph has no cycle."""
    targets: dict[int, list[int]] = {}
    missing = [0] * count
    for target, found in sources.items():
        missing[target] = len(found)
        for source in found:
            targets.setdefault(source, []).append(target)
    ready = [number for number in range(count) if not missing[number]]
    for number in ready:
        for target in targets.get(number, ()):
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return ready


def _edge_view(edge: Edge, index: Mapping[str, int], *, is_implied: bool) -> JsonObject:
    view: JsonObject = {"source": index[edge.source], "target": index[edge.target], "kind": str(edge.kind)}
    optional: Mapping[str, object] = {
        "names": list(edge.names),
        "rule": edge.rule,
        "reason": edge.reason,
        "line": edge.line,
        "remedy": edge.remedy,
        "implied": is_implied,
    }
    view.update({key: value for key, value in optional.items() if value})
    return view


def _shown_values(values: Sequence[ValueRef]) -> list[ValueRef]:
    """The values that later steps read come first."""
    return sorted(values, key=lambda value: not value.needed)[:_VALUES_SHOWN]


def source_of(step: Step) -> str:
    """What the author wrote."""
    return step.raw or step.source


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _ms(at: float | None) -> float | None:
    """Milliseconds are what a picture shows; more digits would be most of a frame's bytes."""
    return None if at is None else round(at, 3)


def is_over(state: str) -> bool:
    """Whether a run shown with this state ends by itself no more: final, crashed or never begun."""
    return state in ("idle", "crashed") or RunState(state).is_final
