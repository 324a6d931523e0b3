"""The flows and runs of one kernel: joins what cells define with the engine, the store and the picture.

Made once, when the extension is loaded. Everything here runs on the kernel's main thread.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from szal_nb.analysis.graph import build_graph
from szal_nb.analysis.surroundings import Surroundings
from szal_nb.api.flow import function_step
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.engine.body import CellBody, FunctionBody
from szal_nb.errors import DefinitionError, InvalidFlow, InvalidStep, RunError, StoreError
from szal_nb.model.event import Event, RunInterrupted
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.step import Step
from szal_nb.notebook.binding import Binder
from szal_nb.notebook.cells import compile_step, read_step_cell
from szal_nb.notebook.chip import StepChip, chip_of
from szal_nb.notebook.definitions import Cell, Defined, Definitions
from szal_nb.notebook.document import Notebook
from szal_nb.notebook.figures import separate_figures
from szal_nb.notebook.flags import InvalidLine, ParsedFlow, ParsedRun, parse_step_line
from szal_nb.notebook.headless import read_headless
from szal_nb.notebook.history import History, SavedNotebook, document_order, notebook_path, snapshot
from szal_nb.notebook.live_names import LiveNames
from szal_nb.notebook.output import Home, StepOutputs, kernel_publisher
from szal_nb.notebook.picture import Picture
from szal_nb.notebook.presenter import NotebookPresenter
from szal_nb.notebook.run import NotebookRun
from szal_nb.notebook.selection import given_inputs, packages, unselected
from szal_nb.notebook.step_shell import ambient_names
from szal_nb.store.locate import find_store
from szal_nb.store.runs import RunStore

# An interrupt does not wake a quiet event loop (ipykernel issue 881), so one that waits for a run is kept awake.
_TICK_S = 0.1
# How long a kernel that shuts down waits for its runs to record it, in seconds.
LAST_WORDS_S = 2.0


class Session:
    """What the magics call. `shell` is the kernel's; `loop` its main event loop."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.loop = shell.kernel.io_loop.asyncio_loop
        self.definitions = Definitions()
        self.history = History()
        self._file = SavedNotebook()
        self.runs: list[NotebookRun] = []
        self.headless = read_headless()
        self._publish = kernel_publisher(shell.kernel)
        self._presenter = NotebookPresenter(shell)
        self._ambient = ambient_names(shell)
        self._shown: set[str] = set()
        self._functions: dict[str, Callable[..., Any]] = {}
        self._accepted_orders: set[tuple[str, ...]] = set()
        self._stores: dict[Path, RunStore] = {}
        self._numbers = itertools.count(1)
        self._execution = 0
        self._request_id: str | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._is_first = True

    # The cell that is being executed

    def request(self) -> Mapping[str, Any]:
        """The request of the cell that calls."""
        request: Mapping[str, Any] = self.shell.parent_header or {}
        return request

    def waits(self) -> bool:
        """Whether a run waits in its cell by itself, because no person is at the front end."""
        wish = os.environ.get("SZAL_WAIT")
        return wish == "1" if wish in ("0", "1") else not self._may_ask()

    def _may_ask(self) -> bool:
        return bool(self.request().get("content", {}).get("allow_stdin", False))

    def _cell(self) -> Cell:
        key = (self.request().get("metadata") or {}).get("cellId")
        if key is not None:
            return Cell(key)
        # Our own count: the shell's stands still where a front end keeps no history, as nbval does.
        request_id = self.request().get("header", {}).get("msg_id")
        if request_id is None or request_id != self._request_id:
            self._request_id, self._execution = request_id, self._execution + 1
        return Cell(f"executed-{self._execution}", has_id=False, is_only=not self._may_ask())

    def read_past(self) -> None:
        """What was executed before the extension was loaded, and in the cell that loads it, counts as the rest."""
        past = list(self.shell.history_manager.input_hist_raw)
        for source in past[:-1]:
            self.history.read(source)
        if past:
            self.history.add(self._cell().key, past[-1])

    def before_cell(self, info: Any) -> None:
        """A cell is about to be executed: what has ended since gives its values now."""
        cell = self._cell()
        deleted = (self.request().get("metadata") or {}).get("deletedCells") or ()
        self.definitions.delete_cells(deleted)
        self.history.delete(deleted)
        for run in self.runs:
            run.bind_once()
        self.history.add(cell.key, info.raw_cell)
        self.definitions.begin_cell(cell)

    def after_cell(self, result: Any) -> None:
        """A cell has been executed."""
        self.definitions.end_cell(is_completed=bool(getattr(result, "success", False)))

    # Definitions

    def define_cell(self, line: str, body: str) -> tuple[StepChip, bool]:
        """The step that a cell spells, defined; and whether its line asks to execute it."""
        raw = str(self.request().get("content", {}).get("code", ""))
        spelled = read_step_cell(raw, line=line, body=body)
        parsed = parse_step_line(spelled.line)
        code = compile_step(self.shell, spelled)

        def make_body(node: StepNode, functions: Mapping[str, Any]) -> CellBody:
            return CellBody(node, code, functions, self._ambient, is_quiet=spelled.is_quiet)

        cell = self._cell()
        step = parsed.step(source=spelled.source, raw=spelled.raw, cell_id=cell.key if cell.has_id else None)
        return self._define(step, cell, make_body), parsed.is_executed

    def define_function(self, function: Callable[..., Any], name: str | None, options: Mapping[str, Any]) -> StepChip:
        """The step that a function makes, defined."""
        cell = self._cell()
        step = function_step(function, name, **options)
        step = replace(step, raw=step.source, cell_id=cell.key if cell.has_id else None)
        self._functions[step.name] = function
        return self._define(step, cell, lambda node, _: FunctionBody(node, function))  # type: ignore[arg-type]

    def _define(self, step: Step, cell: Cell, make_body: Callable[..., Any]) -> StepChip:
        saved = self._saved()
        flow = self.definitions.flow_above(cell, [found.id or "" for found in saved.cells] if saved is not None else ())
        defined = Defined(step=step, flow=flow, cell=cell, make_body=make_body, parent=dict(self.request()))
        self.definitions.define(defined)
        self._shown.discard(step.name)
        try:
            return chip_of(step, self.graph(flow))
        except DefinitionError as error:
            # The cells that it needs may still come; what is wrong for good is said again by `%szal_run`.
            return StepChip(name=step.name, notes=(f"not ready: {error}",))

    def use_flow(self, flow: ParsedFlow) -> None:
        """The steps below belong to this flow."""
        self.definitions.use_flow(flow)

    def graph(self, flow: str | None = None, *, is_checked: bool = False) -> FlowGraph:
        """A flow with its edges. `is_checked`: it is about to run, so the order of its cells must be beyond doubt."""
        flow = flow or self.definitions.current
        steps = self.definitions.of_flow(flow)
        keys = list(dict.fromkeys(defined.cell.key for defined in steps))
        ordered = document_order(keys, self._saved())
        if is_checked and ordered != keys:
            self._settle_order(flow, steps, ordered)
        steps.sort(key=lambda defined: ordered.index(defined.cell.key))
        hidden = {**self.shell.user_ns_hidden, **self._functions}
        names = LiveNames(self.shell.user_ns, hidden, self.history.names)
        return build_graph(self.definitions.definition(flow, steps), Surroundings(names=names))

    def _saved(self) -> Notebook | None:
        return self._file.read(self.headless.snapshot or notebook_path(self.shell.user_ns))

    def _settle_order(self, flow: str, steps: list[Defined], ordered: list[str]) -> None:
        order = tuple(d.step.name for d in sorted(steps, key=lambda d: ordered.index(d.cell.key)))
        if order in self._accepted_orders:
            return
        executed = ", ".join(defined.step.name for defined in steps)
        text = f"Flow {flow!r}: in the saved notebook the steps stand as {', '.join(order)}, executed as {executed}."
        if self.waits() or not self._may_ask():
            raise InvalidFlow(f"{text} Save the notebook, and execute its cells from the top.")
        answer = input(f"{text} Run them as they stand in the notebook? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            raise InvalidFlow(f"{text} Nothing was run.")
        self._accepted_orders.add(order)

    # Runs

    def run(self, parsed: ParsedRun) -> NotebookRun:
        """A new run of a flow, begun, with its picture under the cell; or the run that this kernel goes on with."""
        if self.headless.resume is not None and self._is_first:
            return self.resume(self.headless.resume, flow=parsed.flow, store=parsed.store)
        if parsed.reuse is not None:
            raise InvalidLine("%szal_run", "--reuse cannot be done by this version.")
        graph = self._ready_graph(parsed.flow)
        picture = self._picture(graph)
        run = self._start(graph, parsed)
        self._follow(run, picture)
        return run

    def _start(self, graph: FlowGraph, parsed: ParsedRun) -> NotebookRun:
        separate_figures()
        given = given_inputs(graph, parsed.parameters, self.shell.user_ns)
        skipped = unselected(graph, only=parsed.only, from_step=parsed.from_step, until=parsed.until)
        outputs = self._outputs(graph)
        surround = self._surround(parsed.store, outputs, params=given.params)
        run_id = self.headless.run_id if self._is_first else None
        run = start_run(graph, self._bodies(graph), given.inputs, surround, run_id=run_id, skipped=skipped)
        return self._adopt(run, outputs)

    def resume(
        self, run_id: str | None, *, flow: str | None = None, store: str | None = None, force: bool = False
    ) -> NotebookRun:
        """A run that had stopped, going on in this kernel with exactly the steps that are missing."""
        record = self.store(store)
        stored = record.run(run_id) if run_id is not None else _newest_open(record, flow or self.definitions.current)
        graph = self._ready_graph(flow or stored.flow)
        _check_unchanged(stored.id, record.graph(stored.id), graph)
        picture = self._picture(graph)
        outputs = self._outputs(graph)
        live = {name: self.shell.user_ns[name] for name in graph.inputs if name in self.shell.user_ns}
        run = resume_run(
            stored.id,
            graph,
            self._bodies(graph),
            live,
            self._surround(store, outputs),
            force=force,
            on_plan=_say_plan,
        )
        self._follow(self._adopt(run, outputs), picture)
        return self.runs[-1]

    def run_step(self, step: str) -> NotebookRun:
        """A run of one step with what it needs; what they show comes under their cells."""
        return self._start(self._ready_graph(None), ParsedRun(only=(step,)))

    def show_flow(self, flow: str | None) -> Picture:
        """The picture of a flow, under the cell, with a button to run it."""
        picture = self._picture(self.graph(flow))
        picture.display()
        return picture

    def find_run(self, run_id: str | None) -> NotebookRun:
        """A run of this kernel by the beginning of its id; the newest by default."""
        for run in reversed(self.runs):
            if run_id is None or run.id.startswith(run_id):
                return run
        raise RunError(f"This kernel has no run {run_id or ''}.".replace(" .", " yet."))

    def store(self, path: str | None = None) -> RunStore:
        """The store of the notebook, open; `path` overrides."""
        document = self.headless.notebook or notebook_path(self.shell.user_ns)
        place = Path(path) if path else self.headless.store or find_store(document)
        if place not in self._stores:
            self._stores[place] = RunStore.open(place)
            # Registered later, so called earlier than the store's own hook: the last words are still written.
            atexit.register(self.close)
        return self._stores[place]

    def _ready_graph(self, flow: str | None) -> FlowGraph:
        if asyncio.get_running_loop() is not self.loop:
            raise RunError("A run can be started only from an ordinary cell.")
        graph = self.graph(flow, is_checked=True)
        if not graph.nodes:
            raise InvalidFlow(f"Flow {graph.flow.name!r} has no steps; put %%szal_step NAME on top of a cell.")
        active = next((run for run in self.runs if run.is_active and run.flow == graph.flow.name), None)
        if active is not None:
            raise RunError(f"Run {active.id} of this flow is still going on: `await run` first, or %szal_cancel.")
        return graph

    def _bodies(self, graph: FlowGraph) -> dict[str, Any]:
        defined = {found.step.name: found for found in self.definitions.of_flow(graph.flow.name)}
        space = self.shell.user_ns
        return {
            node.step.name: defined[node.step.name].make_body(
                node, {name: space[name] for name in node.definitions if name in space}
            )
            for node in graph.nodes
        }

    def _outputs(self, graph: FlowGraph) -> StepOutputs:
        defined = self.definitions.of_flow(graph.flow.name)
        homes = {d.step.name: Home.of(d.step, d.parent, chip_of(d.step, graph).bundle()) for d in defined}
        return StepOutputs(self._publish, [node.step for node in graph.nodes], homes, self._shown, self.request())

    def _surround(self, store: str | None, outputs: StepOutputs, params: Mapping[str, Any] | None = None) -> Surround:
        headless, saved = self.headless, self._saved()
        return Surround(
            store=self.store(store),
            presenter=self._presenter,
            sinks=(outputs,),
            notebook=saved.text if headless.snapshot and saved is not None else snapshot(self.history, saved),
            notebook_path=headless.notebook or notebook_path(self.shell.user_ns),
            output_path=headless.output,
            params={**(headless.params or {}), **(params or {})},
            packages=packages(),
            launcher=headless.launcher,
            interactive=not self.waits(),
            handle=NotebookRun,
        )

    def _adopt(self, run: Any, outputs: StepOutputs) -> NotebookRun:
        names = dict.fromkeys(name for node in run.graph.nodes for name in node.gives)
        run.attach(Binder(self.shell.user_ns, names, self._functions), self.request, outputs)
        self._is_first = False
        # Runs hold their values; those that are done with are held by the notebook's own names only.
        self.runs = [*(other for other in self.runs if not other.is_done_with), run]
        if self._ticker is None or self._ticker.done():
            self._ticker = self.loop.create_task(self._tick(), name="szal ticker")
        return run  # type: ignore[no-any-return]

    async def _tick(self) -> None:
        while any(run.is_active for run in self.runs):
            await asyncio.sleep(_TICK_S)

    def _picture(self, graph: FlowGraph) -> Picture:
        return Picture(
            graph,
            loop=self.loop,
            publish=self._publish,
            parent=dict(self.request()),
            display_id=f"szal-picture-{next(self._numbers)}",
            start=self._start_again,
        )

    def _start_again(self, picture: Picture) -> None:
        """The button: a new run of the flow that the picture shows, as its cells are now."""
        run = self._start(self._ready_graph(picture.graph.flow.name), ParsedRun())
        self._follow(run, picture, is_displayed=True)

    def _follow(self, run: NotebookRun, picture: Picture, *, is_displayed: bool = False) -> None:
        run.picture = picture
        if not is_displayed:
            picture.display()
        picture.follow(run)

    async def interrupt(self) -> None:
        """The kernel shuts down: runs that are alive record that they were interrupted. On the main loop."""
        with suppress(TimeoutError, StoreError):
            await asyncio.wait_for(_interrupted([run for run in self.runs if run.is_active]), LAST_WORDS_S)

    def close(self) -> None:
        """As `interrupt`, for a process that ends without having been asked over the protocol."""
        if not self.loop.is_running() and not self.loop.is_closed():
            self.loop.run_until_complete(self.interrupt())


async def _interrupted(runs: list[NotebookRun]) -> None:
    recorded = [asyncio.Event() for _ in runs]
    for run, is_recorded in zip(runs, recorded, strict=True):

        def see(events: Sequence[Event], is_recorded: asyncio.Event = is_recorded) -> None:
            if any(isinstance(event, RunInterrupted) for event in events):
                is_recorded.set()

        run.subscribe(see)
        run.interrupt("the kernel was shut down")
    await asyncio.gather(*(is_recorded.wait() for is_recorded in recorded))


def _newest_open(store: RunStore, flow: str) -> Any:
    for run in store.runs(flow=flow):
        if run.shown_state in ("crashed", "failed", "cancelled", "paused"):
            return run
    raise StoreError(f"No run of flow {flow!r} in {store.path} can go on; %szal_runs lists what is there.")


def _check_unchanged(run_id: str, recorded: FlowGraph, graph: FlowGraph) -> None:
    before = {node.step.name: node.step.source for node in recorded.nodes}
    now = {node.step.name: node.step.source for node in graph.nodes}
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise InvalidStep(
            changed[0],
            f"it is not what run {run_id} ran.",
            "Undo the change, or start a new run: a run goes on only with the steps that it began with.",
        )


def _say_plan(plan: Any) -> None:
    text = f"Going on: {', '.join(plan.kept) or 'nothing'} kept, {', '.join(plan.reset)} to run."
    if plan.rebuilt:
        text += f" Rebuilt, because their values lived in the process that died: {', '.join(plan.rebuilt)}."
    print(text)  # noqa: T201 - for the reader of the cell
