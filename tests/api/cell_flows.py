"""Flows of cells without a notebook: for tests that change a cell and run again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from szal_nb.analysis.graph import Surroundings, build_graph
from szal_nb.api.fingerprints import fingerprinted
from szal_nb.api.fork import fork_of, inputs_of
from szal_nb.api.handle import RunHandle
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.api.reuse import reuse_from
from szal_nb.engine.body import CellBody, compile_cell
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Step
from szal_nb.notebook.document import parse_python
from szal_nb.notebook.flags import parse_rollback_line, parse_step_line
from szal_nb.notebook.surroundings import names_bound
from szal_nb.store.runs import RunStore

ROLLBACK = "rollback: "


class CellFlow:
    """A flow of cells, also such that undo a step. `deeds` has the steps whose bodies ran, in the order they ended."""

    def __init__(
        self,
        cells: Mapping[str, str],
        *,
        notebook: str = "",
        version: int = 1,
        name: str = "test",
        flow: Mapping[str, Any] | None = None,
    ) -> None:
        self.deeds: list[str] = []
        # Steps whose bodies fail instead of doing anything.
        self.fails: set[str] = set()
        # The installed packages as its runs record them.
        self.packages: dict[str, str] = {}
        undoes = {}
        for line, source in cells.items():
            if line.startswith(ROLLBACK):
                undo = parse_rollback_line(line.removeprefix(ROLLBACK))
                undoes[undo.step] = undo.compensation(source=source)
        steps = []
        for line, source in cells.items():
            if not line.startswith(ROLLBACK):
                step = parse_step_line(line)
                steps.append(step.step(source=source, rollback=undoes.get(step.name)))
        self.definition = FlowDefinition(name=name, version=version, steps=tuple(steps), **(flow or {}))
        self.space: dict[str, Any] = {"__name__": "__main__"}
        exec(notebook, self.space)
        names: dict[str, Any] = {}
        for statement in parse_python(notebook).body:
            names = names_bound(notebook, statement, names)
        self.around = Surroundings(names=names)

    def graph(self) -> FlowGraph:
        return fingerprinted(build_graph(self.definition, self.around), self.around)

    def bodies(self, graph: FlowGraph) -> dict[str, Any]:
        return {node.step.name: _Watched(self, node.step, node, self.space) for node in graph.nodes}

    def rollbacks(self, graph: FlowGraph) -> dict[str, Any]:
        """What undoes the steps of the graph."""
        return {
            node.step.name: CellBody(
                node.compensation, compile_cell(node.step.rollback.source, f"<undo {node.step.name}>"), self.space, {}
            )
            for node in graph.nodes
            if node.step.rollback is not None
        }

    def run(self, store: RunStore, inputs: Mapping[str, Any] | None = None, **options: Any) -> RunHandle:
        """A finished run; `reuse`, `must_run` and `fork=(run, step)` as for people."""
        return asyncio.run(self._run(store, inputs or {}, **options))

    def resume(self, store: RunStore, run_id: str, **options: Any) -> RunHandle:
        """A run that stopped, gone on with to its end; `on_plan` as of `resume_run`."""

        async def go_on() -> RunHandle:
            self.deeds.clear()
            graph = self.graph()
            handle = resume_run(run_id, graph, self.bodies(graph), self.space, self._surround(store, graph), **options)
            return await self.ended(handle)

        return asyncio.run(go_on())

    def _surround(self, store: RunStore, graph: FlowGraph) -> Surround:
        return Surround(store=store, packages=self.packages, definitions=self.space, rollbacks=self.rollbacks(graph))

    async def _run(
        self,
        store: RunStore,
        inputs: Mapping[str, Any],
        *,
        reuse: str | None = None,
        must_run: tuple[str, ...] = (),
        fork: tuple[str, str | None] | None = None,
        skipped: Mapping[str, str] | None = None,
    ) -> RunHandle:
        self.deeds.clear()
        graph = self.graph()
        found = {**{name: self.space[name] for name in graph.inputs if name in self.space}, **inputs}
        take: Any = None
        if reuse is not None:
            take = reuse_from(store, self.definition.name, reuse, must_run=must_run, packages=self.packages)
        if fork is not None:
            take = fork_of(store, *fork)
            found = inputs_of(store, take.run_id, graph, changed=inputs, live=self.space)
        handle = start_run(graph, self.bodies(graph), found, self._surround(store, graph), take=take, skipped=skipped)
        return await self.ended(handle)

    async def ended(self, handle: RunHandle) -> RunHandle:
        """The run, when it has ended."""
        return await handle.wait()


class _Watched(CellBody):
    def __init__(self, flow: CellFlow, step: Step, node: Any, space: Mapping[str, Any]) -> None:
        super().__init__(node, compile_cell(step.source, f"<{step.name}>"), space, {})
        self._flow = flow
        self._name = step.name

    def call(self, inputs: dict[str, Any]) -> Any:
        if self._name in self._flow.fails:
            raise RuntimeError("made to fail")
        try:
            return super().call(inputs)
        finally:
            self._flow.deeds.append(self._name)


def everything(run: RunHandle) -> dict[str, Any]:
    """What each step has put down, and what the names of the run hold in the end; only what can be compared."""
    recorded = {
        name: {
            ref.name: ref.hash
            for ref in step.values
            if ref.live is None and ref.format != "pickle" and not ref.name.startswith("<")
        }
        for name, step in run.snapshot.steps.items()
    }
    values = {name: run.values[name] for name in run.names()}
    return {
        "recorded": recorded,
        "values": {k: v for k, v in values.items() if isinstance(v, str | int | float | list)},
    }
