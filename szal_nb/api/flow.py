"""Flows written in Python: `Flow` collects functions as steps, and starts runs of them."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any, TypeVar, cast, overload

from szal_nb.analysis.comparison import RunDiff
from szal_nb.analysis.explaining import Explanation
from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.analysis.migration import MigrationPlan
from szal_nb.api.environment import packages
from szal_nb.api.fingerprints import functions_fingerprinted
from szal_nb.api.fork import fork_of, inputs_of
from szal_nb.api.handle import RunHandle
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.api.migration import NewVersion, apply, plan
from szal_nb.api.options import compensation, function_step
from szal_nb.api.options import limits as limits_of
from szal_nb.api.options import rollback_on as rollback_ends
from szal_nb.api.past import diff as diff_in
from szal_nb.api.past import replay as replay_in
from szal_nb.api.past import verified
from szal_nb.api.past import why as why_in
from szal_nb.api.picture import flow_bundle
from szal_nb.api.reuse import reuse_from
from szal_nb.api.run import Run, RunValues
from szal_nb.api.selection import Selection, unselected
from szal_nb.api.stores import DEFAULT_STORE, OpenStores, StoreChoice, record_of
from szal_nb.engine.body import FunctionBody
from szal_nb.errors import InvalidFlow, InvalidParameter, InvalidStep, RunError
from szal_nb.model.duration import parse_duration
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Executor, Step
from szal_nb.store.runs import RunStore

F = TypeVar("F", bound=Callable[..., Any])


class Flow:
    """A named, versioned set of functions with a mode; edges are found from their parameters.

    A parameter named like a step is that step's result; any other is an input of the run.
    """

    def __init__(
        self,
        name: str,
        *,
        mode: str = "dag",
        version: int = 1,
        max_parallel: int | None = None,
        executor: str = "thread",
        timeout: float | str | None = None,
        limits: Mapping[str, int | str] | None = None,
        rollback_on: str | Sequence[str] = "failure",
    ) -> None:
        self.name = name
        try:
            self.mode = FlowMode(mode)
        except ValueError:
            raise InvalidFlow(f"Flow {name!r}: mode {mode!r} is not one of {', '.join(FlowMode)}.") from None
        self.version = version
        self.max_parallel = max_parallel
        try:
            self.executor = Executor(executor)
        except ValueError:
            raise InvalidFlow(f"Flow {name!r}: executor {executor!r} is not one of {', '.join(Executor)}.") from None
        try:
            self.timeout_s = None if timeout is None else parse_duration(timeout)
        except ValueError as error:
            raise InvalidFlow(f"Flow {name!r}: timeout={timeout!r}: {error}.") from None
        self._limits = limits_of(limits)
        self._rollback_on = rollback_ends(name, rollback_on)
        self._rollbacks: dict[str, FunctionType] = {}
        self._steps: dict[str, tuple[Step, FunctionType]] = {}
        self._graph: FlowGraph | None = None
        self._stores = OpenStores()
        # The bodies of the last run's graph: the next run has the same, unless a step was added.
        self._made: tuple[FlowGraph, dict[str, FunctionBody]] | None = None
        # The graph, and what of it was recorded last.
        self._ready: tuple[FlowGraph, FlowGraph] | None = None
        self.definition()

    @overload
    def step(self, function: F, /) -> F: ...
    @overload
    def step(self, function: None = None, /, *, name: str | None = None, **options: Any) -> Callable[[F], F]: ...
    def step(self, function: F | None = None, /, *, name: str | None = None, **options: Any) -> F | Callable[[F], F]:
        """Makes a function a step; it stays callable. A second step of the same name is refused."""
        if function is None:
            return lambda decorated: self._add(decorated, name, options)
        return self._add(function, name, options)

    def _add(self, function: F, name: str | None, options: dict[str, Any]) -> F:
        undo = options.pop("rollback", None)
        step = function_step(function, name, **options)
        if step.name in self._steps:
            raise InvalidStep(step.name, f"flow {self.name!r} has a step of this name.", "Give it another: name=….")
        # `function_step` has refused whatever is not a plain function.
        self._steps[step.name] = (step, cast("FunctionType", function))
        self._graph = None
        if undo is not None:
            self.rollback(step.name)(undo)
        return function

    def rollback(self, step: str, **options: Any) -> Callable[[F], F]:
        """Makes a function what undoes `step`; its parameters are the step's inputs and results, by their names.

        `options`: `timeout`, and those of a retry (`retries`, `delay`, …).
        """
        if step not in self._steps:
            raise InvalidStep(step, f"flow {self.name!r} has no such step to undo.", "Define the step first.")

        def add(function: F) -> F:
            made = compensation(step, function, **options)
            defined, body = self._steps[step]
            self._steps[step] = (replace(defined, rollback=made), body)
            # `compensation` has refused whatever is not a plain function.
            self._rollbacks[step] = cast("FunctionType", function)
            self._graph = None
            return function

        return add

    def definition(self) -> FlowDefinition:
        """The flow as plain values."""
        return FlowDefinition(
            name=self.name,
            version=self.version,
            mode=self.mode,
            steps=tuple(step for step, _ in self._steps.values()),
            ordered=self.mode is FlowMode.SEQUENTIAL,
            max_parallel=self.max_parallel,
            executor=self.executor,
            timeout_s=self.timeout_s,
            limits=self._limits,
            rollback_on=self._rollback_on,
        )

    def graph(self) -> FlowGraph:
        """The flow with its edges; raises DefinitionError if it is not valid."""
        if self._graph is None:
            # What a function finds around itself stays there: it is neither a step's value nor an input. Functions of
            # one module share what is around them.
            functions = [*(function for _, function in self._steps.values()), *self._rollbacks.values()]
            modules = {id(function.__globals__): function.__globals__ for function in functions}
            around = (*modules.values(), *(function.__code__.co_freevars for function in functions))
            names = {name: NotebookName(kind="callable") for part in around for name in part}
            given = {name for step, _ in self._steps.values() for name in (step.out or (step.name,))}
            self._graph = build_graph(
                self.definition(), Surroundings({k: v for k, v in names.items() if k not in given})
            )
        return self._graph

    def _ready_graph(self, surround: Surround) -> FlowGraph:
        """The graph as it is recorded. What the functions use may have changed since the last run."""
        if surround.store is None:
            return self.graph()
        graph = self.graph()
        functions = {name: function for name, (_, function) in self._steps.items()}
        before = self._ready[1] if self._ready is not None and self._ready[0] is graph else None
        ready = functions_fingerprinted(graph, functions, before=before)
        self._ready = graph, ready
        return ready

    def start(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        store: StoreChoice = DEFAULT_STORE,
        reuse: str | bool = False,
        only: str | Sequence[str] = (),
        from_step: str | None = None,
        until: str | None = None,
    ) -> RunHandle:
        """Begins a run on the running event loop; the result can be awaited.

        `store`: a path, an open store, ":memory:", or None for no record at all. `reuse`: take every step that is
        unchanged from the run of this id, or from the newest runs of the flow if True. `only` steps, or all from
        `from_step` on, run; what they need is taken too, where it is unchanged. Nothing runs after `until`. The
        result's `plan` says what is taken and why. Raises InvalidParameter for inputs that are missing or that no
        step takes.
        """
        _check_loop("flow.start(…)", "szal.run(flow, …)")
        surround = self._surround(store)
        graph = self._ready_graph(surround)
        named = ("" if reuse else None) if isinstance(reuse, bool) else reuse
        wish = Selection(
            only=(only,) if isinstance(only, str) else tuple(only), from_step=from_step, until=until, reuse=named
        )
        skipped = unselected(graph, only=wish.only, from_step=from_step, until=until)
        take = None
        if wish.takes and (surround.store is not None or wish.reuse is not None):
            asked = wish.asked(graph)
            take = reuse_from(surround.store, self.name, wish.reuse, must_run=asked, packages=surround.packages)
        return start_run(
            graph, self._bodies(graph), self._inputs(graph, inputs or {}), surround, skipped=skipped, take=take
        )

    def fork(
        self,
        run_id: str,
        from_step: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        store: StoreChoice = DEFAULT_STORE,
    ) -> RunHandle:
        """Begins a run that takes from the run `run_id` all that does not depend on `from_step`, and its inputs.

        `inputs` are those that are other than they were; steps that read them run too.
        """
        _check_loop("flow.fork(…)", "szal.fork(flow, …)")
        return self._fork(run_id, from_step, inputs or {}, store, force=True)

    def _fork(
        self, run_id: str, from_step: str | None, inputs: Mapping[str, Any], store: StoreChoice, *, force: bool
    ) -> RunHandle:
        surround = self._surround(store)
        graph = self._ready_graph(surround)
        take = fork_of(surround.store, run_id, from_step)
        changed = self._inputs(graph, inputs)
        if not force:
            take.store.end_orphan_of(take.run_id)
        found = inputs_of(take.store, take.run_id, graph, changed=changed, live={})
        return start_run(graph, self._bodies(graph), found, surround, take=take)

    async def call(self, inputs: Mapping[str, Any] | None = None, *, store: StoreChoice = DEFAULT_STORE) -> RunValues:
        """The values of a run of this flow, for a step of another flow: `return (await parts.call({"n": 3})).total`.

        A cancellation of the caller cancels the run, and waits until it has ended. Raises RunFailed.
        """
        run = self.start(inputs, store=store)
        try:
            await run.wait()
        except asyncio.CancelledError:
            run.cancel("the step that ran it was cancelled")
            await run.wait()
            raise
        return run.raise_if_failed().values

    def resume(
        self,
        run_id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        store: StoreChoice = DEFAULT_STORE,
        force: bool = False,
    ) -> RunHandle:
        """Goes on with a run of this flow that crashed, failed or was cancelled.

        With `inputs` that are other than they were, a new run: it takes from that run, which may also have completed,
        all that does not depend on them. `handle.plan` says what, and why.
        """
        _check_loop("flow.resume(…)", "szal.resume(flow, …)")
        if inputs:
            return self._fork(run_id, None, inputs, store, force=force)
        surround = self._surround(store)
        graph = self._ready_graph(surround)
        return resume_run(run_id, graph, self._bodies(graph), {}, surround, force=force)

    def migrate(self, run_id: str, *, store: StoreChoice = DEFAULT_STORE) -> str:
        """Carries a run of another version of this flow over to this one: the id of a new run, to be resumed.

        Raises MigrationError if that is refused; the run stays as it is in any case. `migration_plan` says it before.
        """
        surround = self._surround(store)
        return apply(_needed(surround), run_id, NewVersion(graph=self._ready_graph(surround)))

    def migration_plan(self, run_id: str, *, store: StoreChoice = DEFAULT_STORE) -> MigrationPlan:
        """What would become of each step of a run of another version, were it carried over to this one."""
        surround = self._surround(store)
        return plan(_needed(surround), run_id, NewVersion(graph=self._ready_graph(surround)))

    def _bodies(self, graph: FlowGraph) -> dict[str, FunctionBody]:
        if self._made is None or self._made[0] is not graph:
            self._made = graph, {n: FunctionBody(graph.node(n), function) for n, (_, function) in self._steps.items()}
        return self._made[1]

    def _inputs(self, graph: FlowGraph, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        unknown = [name for name in inputs if name not in graph.all_inputs]
        if unknown:
            near = difflib.get_close_matches(unknown[0], graph.all_inputs, n=1)
            takes = f"its inputs are: {', '.join(graph.all_inputs) or 'none'}."
            advice = f" Did you mean {near[0]}?" if near else ""
            raise InvalidParameter(f"Flow {self.name!r} has no input {unknown[0]!r}; {takes}{advice}")
        return inputs

    def _surround(self, store: StoreChoice) -> Surround:
        graph = self.graph()
        undo = {
            name: FunctionBody(graph.node(name).compensation, function) for name, function in self._rollbacks.items()
        }
        opened = self._stores.open(store)
        return Surround(store=opened, rollbacks=undo, packages=packages() if opened is not None else {})

    def __repr__(self) -> str:
        return f"<flow {self.name} version {self.version}: {len(self._steps)} steps>"

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return flow_bundle(self.graph())


def run(
    flow: Flow, inputs: Mapping[str, Any] | None = None, *, store: StoreChoice = DEFAULT_STORE, **options: Any
) -> RunHandle:
    """Runs a flow to its end, in a script, and gives the finished run, whatever its state.

    `options` are those of `Flow.start`: `reuse`, `only`, `from_step`, `until`.
    Raises RunError inside a running event loop: use `await flow.start(...)` there.
    """
    return _to_the_end(lambda: flow.start(inputs, store=store, **options), "flow.start(…)")


def resume(
    flow: Flow,
    run_id: str,
    inputs: Mapping[str, Any] | None = None,
    *,
    store: StoreChoice = DEFAULT_STORE,
    force: bool = False,
) -> RunHandle:
    """Goes on, in a script, with a run that crashed, failed or was cancelled, and gives the finished run.

    With changed `inputs` as a new run; see `Flow.resume`.
    """
    return _to_the_end(lambda: flow.resume(run_id, inputs, store=store, force=force), "flow.resume(…)")


def fork(
    flow: Flow,
    run_id: str,
    from_step: str,
    inputs: Mapping[str, Any] | None = None,
    *,
    store: StoreChoice = DEFAULT_STORE,
) -> RunHandle:
    """Runs a fork of an earlier run to its end, in a script, and gives the finished run; see `Flow.fork`."""
    return _to_the_end(lambda: flow.fork(run_id, from_step, inputs, store=store), "flow.fork(…)")


def _check_loop(asked: str, instead: str) -> None:
    """Refuses what begins a run where nothing could carry it on."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        text = f"No event loop is running here: in a script write `{instead}`, in a coroutine `await {asked}`."
        raise RunError(text) from None


def _to_the_end(begin: Callable[[], RunHandle], instead: str) -> RunHandle:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RunError(f"An event loop is running here (as in a notebook): write `await {instead}`.")

    async def main() -> RunHandle:
        handle = begin()
        try:
            return await handle.wait()
        except asyncio.CancelledError:
            # Ctrl-C: the run is ended and recorded before the loop goes away.
            handle.cancel("interrupted")
            await handle.wait()
            raise

    return asyncio.run(main())


def replay(run_id: str, *, store: StoreChoice = DEFAULT_STORE, trust: bool = False) -> Run:
    """A past run with its outputs and values as they were, and `at(n)`, as it was after n events. Nothing is run.

    `trust` allows values of an imported run whose loading may run code.
    """
    return replay_in(record_of(store), run_id, trust=trust)


def diff(before: str, after: str, *, store: StoreChoice = DEFAULT_STORE) -> RunDiff:
    """What differs between two runs: code, parameters, values, states and timings; `str` and `.json()` show it."""
    return diff_in(record_of(store), before, after)


def why(run_id: str, step: str, *, store: StoreChoice = DEFAULT_STORE) -> Explanation:
    """Why a step of a run ran, was taken from another run, or did neither, down to the names that changed."""
    return why_in(record_of(store), run_id, step)


def verify(flow: Flow, run_id: str, *, store: StoreChoice = DEFAULT_STORE) -> tuple[str, ...]:
    """Runs every body of a past run again, in a script, in a new run: one sentence for each value that differs."""
    opened = record_of(store)
    record = opened.run(run_id)
    inputs = inputs_of(opened, record.id, flow.graph(), changed={}, live={})
    again = _to_the_end(lambda: flow.start(inputs, store=opened), "flow.start(…)")
    return verified(opened, record.id, again.id)


def _needed(surround: Surround) -> RunStore:
    return record_of(surround.store)
