"""The runs of one kernel: joins the session's flows with the engine, the store and the picture.

Everything here runs on the kernel's main thread, whose event loop carries the runs.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from IPython.display import display

from szal_nb.api.earlier_outputs import EarlierOutputs
from szal_nb.api.environment import packages
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.api.migration import NewVersion
from szal_nb.api.past import verification, verified
from szal_nb.api.selection import Selection, unselected
from szal_nb.engine.code_globals import Lender
from szal_nb.errors import InvalidFlow, RunError, StoreError
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import StepState
from szal_nb.notebook.binding import Binder
from szal_nb.notebook.figures import separate_figures
from szal_nb.notebook.flags import ParsedRun
from szal_nb.notebook.going_on import check_unchanged, newest_open, not_here, say_going_on
from szal_nb.notebook.headless import Headless
from szal_nb.notebook.history import snapshot
from szal_nb.notebook.offer import CrashedRun, crashed_run
from szal_nb.notebook.output import StepOutputs, kernel_publisher
from szal_nb.notebook.own_generators import OwnGenerators, drawn_again, used_generators
from szal_nb.notebook.own_keeping import OwnKeeping
from szal_nb.notebook.picture import Picture
from szal_nb.notebook.presenter import NotebookPresenter
from szal_nb.notebook.remote import Beginning
from szal_nb.notebook.report import Report, run_table
from szal_nb.notebook.run import NotebookRun
from szal_nb.notebook.run_table import RunTable
from szal_nb.notebook.selection import given_inputs
from szal_nb.notebook.session import Session
from szal_nb.notebook.takes import say_plan, selection_of, taken
from szal_nb.store.locate import find_store
from szal_nb.store.runs import RunStore, StoredRun

# An interrupt does not wake a quiet event loop (ipykernel issue 881), so one that waits for a run is kept awake.
TICK_S = 0.1
# How long a kernel that shuts down waits for its runs to record it, in seconds.
LAST_WORDS_S = 2.0
_NOTHING_TOLD = Headless()


class Runs:
    """Starts the runs of one kernel and keeps those that are alive, and the newest."""

    def __init__(self, session: Session) -> None:
        shell = session.shell
        self._session = session
        self._headless = session.headless
        self._loop = shell.kernel.io_loop.asyncio_loop
        self._publish = kernel_publisher(shell.kernel)
        self._presenter = NotebookPresenter(shell)
        self._runs: list[NotebookRun] = []
        self._stores: dict[Path, RunStore] = {}
        self._generators = OwnGenerators()
        self._keeping = OwnKeeping(session.own.namespace)
        self._numbers = itertools.count(1)
        self._ticker: asyncio.Task[None] | None = None
        # For the first run of a flow as a whole: what a cell executes at once on the way is not that.
        self._told = session.headless

    def before_cell(self, _info: Any) -> None:
        """A cell is about to be executed: what has ended since gives its values now."""
        for run in self._runs:
            run.bind_once()
            run.look_away()

    def after_cell(self, _result: Any) -> None:
        """A cell has been executed: what random numbers are drawn from now on is for the steps to answer for."""
        for run in self._runs:
            run.look_again()

    def start(self, parsed: ParsedRun) -> NotebookRun:
        """A new run of a flow, begun, with its picture under the cell; or the run that this kernel goes on with."""
        told, self._told = self._told, _NOTHING_TOLD
        if told.resume is not None:
            return self.resume(told.resume, flow=parsed.flow, store=parsed.store)
        graph = self._ready_graph(parsed.flow)
        picture = self._picture(graph)
        run = self._start(graph, parsed, told)
        self._follow(run, picture)
        return run

    def fork(self, run_id: str, from_step: str, parsed: ParsedRun) -> NotebookRun:
        """A new run that takes the values of an earlier one, but from a step on."""
        stored = self.store(parsed.store).run(run_id)
        return self._begin(parsed, stored.flow, Selection(inputs_of=stored.id, fork_at=from_step))

    def verify(self, run_id: str, store: str | None) -> NotebookRun:
        """A new run with the inputs of an earlier one, in which every body is run again; its end says what differs."""
        record = self.store(store)
        stored = record.run(run_id)
        graph = self._ready_graph(stored.flow)
        check_unchanged(stored.id, record.graph(stored.id), graph)
        run = self._begin(ParsedRun(store=store), stored.flow, Selection(inputs_of=stored.id))
        run.closing_word = lambda: verification(stored.id, run.id, verified(record, stored.id, run.id))
        return run

    def _begin(self, parsed: ParsedRun, flow: str, wish: Selection) -> NotebookRun:
        graph = self._ready_graph(flow)
        picture = self._picture(graph)
        run = self._start(graph, parsed, wish=wish)
        self._follow(run, picture)
        return run

    def _start(
        self, graph: FlowGraph, parsed: ParsedRun, told: Headless = _NOTHING_TOLD, wish: Selection | None = None
    ) -> NotebookRun:
        separate_figures()
        own = self._session.own.of(graph.flow.name)
        given = given_inputs(graph, parsed.parameters, own)
        chosen = selection_of(parsed)
        # What the command line chose holds together with what the cell itself chooses.
        skipped = unselected(graph, only=chosen.only, from_step=chosen.from_step, until=chosen.until)
        wish = wish or told.wish or chosen
        skipped |= unselected(graph, only=wish.only, from_step=wish.from_step, until=wish.until)
        take, inputs = taken(self.store(parsed.store), graph, wish, given, own)
        inputs, notes = self._session.own.as_they_were(inputs)
        for note in (*notes, *self._session.bound_again(graph)):
            print(note)  # noqa: T201 - for the reader of the cell
        self._keeping.begin(graph)
        moved = self._generators.begin(graph.flow.name) & used_generators(graph)
        if moved and not self._session.history.seeds:
            print(drawn_again(moved))  # noqa: T201 - for the reader of the cell
        outputs = self._outputs(graph, self.store(parsed.store))
        surround = self._surround(parsed.store, graph, outputs, params=given.params)
        lender = Lender(self._session.loans, graph.all_inputs)
        run = start_run(
            graph,
            self._session.bodies(graph, lender),
            inputs,
            surround,
            run_id=told.run_id,
            skipped=skipped,
            take=take,
            on_plan=partial(say_plan, is_headless=told.wish is not None)
            if wish.reuse is not None or wish.forks
            else None,
        )
        return self._adopt(run, outputs, lender, inputs)

    def resume(
        self,
        run_id: str | None,
        *,
        flow: str | None = None,
        store: str | None = None,
        force: bool = False,
        picture: Picture | None = None,
        parameters: tuple[tuple[str, str], ...] = (),
    ) -> NotebookRun:
        """A run that had stopped, going on in this kernel with exactly the steps that are missing.

        With `parameters`, a new run that takes from it all that does not depend on them: it stays what it was.
        """
        record = self.store(store)
        flow = flow or self._session.definitions.current
        stored = record.run(run_id) if run_id is not None else newest_open(record, flow, self._session.path)
        if parameters:
            graph = self._ready_graph(stored.flow)
            check_unchanged(stored.id, record.graph(stored.id), graph)
            if not force:
                record.end_orphan_of(stored.id)
            wish = Selection(inputs_of=stored.id, goes_on=True)
            run = self._begin(ParsedRun(parameters=parameters, store=store), stored.flow, wish)
            print(f"Run {stored.id} stays as it is; run {run.id} goes on from it.")  # noqa: T201 - as above
            return run
        run = self._resumed(record, stored.id, flow or stored.flow, force=force)
        self._follow(run, picture or self._picture(run.graph), is_displayed=picture is not None)
        return run

    def _resumed(self, record: RunStore, run_id: str, flow: str, *, force: bool = False) -> NotebookRun:
        graph = self._ready_graph(flow)
        check_unchanged(run_id, record.graph(run_id), graph)
        outputs = self._outputs(graph, record)
        own = self._session.own.of(graph.flow.name)
        live = {name: own[name] for name in graph.inputs if name in own}
        self._generators.resume(graph.flow.name)
        self._keeping.begin(graph)
        lender = Lender(self._session.loans, graph.all_inputs)
        run = resume_run(
            run_id,
            graph,
            self._session.bodies(graph, lender),
            live,
            self._surround(str(record.path), graph, outputs),
            force=force,
            on_plan=say_going_on,
        )
        # Of a run that others have made nobody has looked at the HTML.
        for step in run.snapshot.steps.values() if record.is_ours(record.run(run_id)) else ():
            if step.state is StepState.COMPLETED:
                outputs.recall(step.name, run.outputs(step.name), step.taken_from)
        return self._adopt(run, outputs, lender)

    def run_step(self, step: str, flow: str | None = None) -> NotebookRun:
        """A run of one step with what it needs; what they show comes under their cells."""
        return self._start(self._ready_graph(flow), ParsedRun(only=(step,)))

    def begin(self, asked: Beginning) -> NotebookRun:
        """What a panel asks for: a run that is shown there, and in no cell's output."""
        self._session.delete_cells(asked.deleted_cells)
        match asked:
            case Beginning(action="only", step=str(step)):
                return self.run_step(step, asked.flow)
            case Beginning(action="fork", run=str(run), step=str(step)):
                wish = Selection(inputs_of=self.store().run(run).id, fork_at=step)
                return self._start(self._ready_graph(asked.flow), ParsedRun(), wish=wish)
            case Beginning(action="resume", run=str(run)):
                return self._resumed(self.store(), run, asked.flow)
            case Beginning(action="run"):
                return self._start(self._ready_graph(asked.flow), ParsedRun())
        raise RunError(f"A flow cannot be asked to {asked.action!r}.")

    def version_now(self, flow: str) -> NewVersion:
        """The flow as the cells define it now, for a run to be carried to."""
        saved = self._session.saved()
        return NewVersion(
            graph=self._session.graph(flow, is_checked=True),
            notebook=snapshot(self._session.history, saved),
            notebook_path=self._session.path,
        )

    def show_flow(self, flow: str | None) -> Picture:
        """The picture of a flow, under the cell, with a button to run it; or to go on with its run that crashed."""
        graph = self._session.graph(flow)
        picture = self._picture(graph)
        name = graph.flow.name
        if all(run.flow != name for run in self._runs) and (crashed := self._crashed(flow=name)):
            picture.recall(crashed.run_id, crashed.graph, crashed.events, crashed.store)
        picture.display()
        return picture

    def offer(self) -> Report | None:
        """What to say when the extension is loaded: that the notebook's last run crashed, and how it goes on."""
        path = self._session.path
        if path is None or self._session.waits():
            return None
        crashed = self._crashed(notebook=path)
        return crashed.told() if crashed is not None else None

    def _crashed(self, *, flow: str | None = None, notebook: Path | None = None) -> CrashedRun | None:
        with suppress(StoreError):
            return crashed_run(self._place(None), flow=flow, notebook=notebook)
        return None

    def show_runs(self, store: RunStore, list_runs: Callable[[], list[StoredRun]]) -> None:
        """The table of a store's runs, under the cell, live; headless, where nobody can touch it, as it is."""
        if self._session.waits():
            display(run_table(list_runs()))
            return
        parent = dict(self._session.request())

        def resume(stored: StoredRun) -> None:
            picture = self._picture(store.graph(stored.id), parent)
            self.resume(stored.id, flow=stored.flow, store=str(store.path), picture=picture)
            picture.display()

        display(RunTable(store, list_runs, resume=resume, loop=self._loop).widget)

    def find(self, run_id: str | None) -> NotebookRun:
        """A run of this kernel by the beginning of its id; the newest by default."""
        for run in reversed(self._runs):
            if run_id is None or run.id.startswith(run_id):
                return run
        raise RunError(f"This kernel has no run {run_id or ''}.".replace(" .", " yet."))

    def named(self, run_id: str | None) -> NotebookRun:
        """As `find`, for a person, who may mean a run that another kernel has, or took from this one.

        What the store says of that is the error.
        """
        try:
            run = self.find(run_id)
        except RunError:
            if run_id is None or not self._place(None).is_file():
                raise
            stored = self.store().run(run_id)
        else:
            if run.is_active or run.snapshot.state.is_final:
                return run
            stored = self.store(str(run.store_path)).run(run.id)
        raise RunError(not_here(stored))

    def store(self, path: str | None = None) -> RunStore:
        """The store of the notebook, open; `path` overrides."""
        place = self._place(path)
        if place not in self._stores:
            self._stores[place] = RunStore.open(place)
            # Registered later, so called earlier than the store's own hook: the last words are still written.
            atexit.register(self.close)
        return self._stores[place]

    def _place(self, path: str | None) -> Path:
        return Path(path) if path else self._headless.store or find_store(self._session.path)

    def _ready_graph(self, flow: str | None) -> FlowGraph:
        if asyncio.get_running_loop() is not self._loop:
            raise RunError("A run can be started only from an ordinary cell.")
        graph = self._session.graph(flow, is_checked=True)
        if not graph.nodes:
            raise InvalidFlow(f"Flow {graph.flow.name!r} has no steps; put %%szal_step NAME on top of a cell.")
        active = next((run for run in self._runs if run.is_active and run.flow == graph.flow.name), None)
        if active is not None:
            raise RunError(f"Run {active.id} of this flow is still going on: `await run` first, or %szal_cancel.")
        return graph

    def _outputs(self, graph: FlowGraph, record: RunStore) -> StepOutputs:
        session = self._session
        steps = [node.step for node in graph.nodes]
        return StepOutputs(
            self._publish,
            steps,
            session.homes(graph),
            session.shown,
            session.request(),
            is_attended=not session.waits() and self._headless.launcher is None,
            earlier=EarlierOutputs(record, only_ours=True).of,
        )

    def _surround(
        self, store: str | None, graph: FlowGraph, outputs: StepOutputs, params: Mapping[str, Any] | None = None
    ) -> Surround:
        headless, saved = self._headless, self._session.saved()
        return Surround(
            store=self.store(store),
            presenter=self._presenter,
            sinks=(outputs,),
            notebook=saved.text if headless.snapshot and saved is not None else snapshot(self._session.history, saved),
            notebook_path=self._session.path,
            output_path=headless.output,
            params={**(headless.params or {}), **(params or {})},
            packages=packages(),
            launcher=headless.launcher,
            interactive=not self._session.waits(),
            handle=NotebookRun,
            rollbacks=self._session.rollbacks(graph),
        )

    def _adopt(
        self, run: Any, outputs: StepOutputs, lender: Lender, inputs: Mapping[str, Any] | None = None
    ) -> NotebookRun:
        """`inputs` are those that a new run was given; one that goes on has its own from its record."""
        own = self._session.own
        names = dict.fromkeys(name for node in run.graph.nodes for name in (*node.values, *node.deletes))
        binder = Binder(own, names, self._session.functions)
        record = self._stores[run.store_path]

        def settle() -> None:
            lender.give_back()
            changed = {name: inputs[name] for name in run.changed_inputs() if inputs and name in inputs}
            own.changed(run.flow, changed, run.id, record)
            self._generators.end(run.flow, used_generators(run.graph))
            self._keeping.end(run.graph)

        run.attach(binder, self._session.request, outputs, self._keep, settle)
        return run  # type: ignore[no-any-return]

    def _keep(self, run: NotebookRun) -> None:
        """The run is alive now, for the first time or again."""
        # Runs hold their values; those that are done with are held by the notebook's own names only.
        self._runs = [*(other for other in self._runs if other is not run and not other.is_done_with), run]
        if self._ticker is None or self._ticker.done():
            self._ticker = self._loop.create_task(self._tick(), name="szal ticker")

    async def _tick(self) -> None:
        while any(run.is_active for run in self._runs):  # noqa: ASYNC110 - that the loop wakes is the point
            await asyncio.sleep(TICK_S)

    def _picture(self, graph: FlowGraph, parent: Mapping[str, Any] | None = None) -> Picture:
        return Picture(
            graph,
            loop=self._loop,
            publish=self._publish,
            parent=parent or dict(self._session.request()),
            display_id=f"szal-picture-{next(self._numbers)}",
            starter=self,
        )

    def run_in(self, picture: Picture, *, only: str | None = None) -> None:
        """The button: a new run of the flow that the picture shows, as its cells are now; or of one step of it."""
        parsed = ParsedRun() if only is None else ParsedRun(only=(only,))
        run = self._start(self._ready_graph(picture.graph.flow.name), parsed)
        self._follow(run, picture, is_displayed=True)

    def resume_in(self, picture: Picture, run_id: str, store: Path | None) -> None:
        """The button: the run that the picture shows goes on, with the steps as they are now."""
        flow = picture.graph.flow.name
        self.resume(run_id, flow=flow, store=str(store) if store is not None else None, picture=picture)

    def fork_in(self, picture: Picture, run_id: str, step: str, store: Path | None) -> None:
        """The button: a new run that takes what the shown one gave, but from `step` on."""
        parsed = ParsedRun(store=str(store) if store is not None else None)
        graph = self._ready_graph(picture.graph.flow.name)
        run = self._start(graph, parsed, wish=Selection(inputs_of=run_id, fork_at=step))
        self._follow(run, picture, is_displayed=True)

    def _follow(self, run: NotebookRun, picture: Picture, *, is_displayed: bool = False) -> None:
        run.picture = picture
        if not is_displayed:
            picture.display()
        picture.follow(run)

    def interrupt_from(self) -> asyncio.Future[None]:
        """`interrupt`, begun on the main loop by another thread, for that thread's loop."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.interrupt(), self._loop))

    async def interrupt(self) -> None:
        """The kernel shuts down: runs that are alive record that they were interrupted. On the main loop."""
        with suppress(TimeoutError, StoreError):
            active = [run.interrupted("the kernel was shut down") for run in self._runs if run.is_active]
            await asyncio.wait_for(asyncio.gather(*active), LAST_WORDS_S)

    def close(self) -> None:
        """As `interrupt`, for a process that ends without having been asked over the protocol."""
        if not self._loop.is_running() and not self._loop.is_closed():
            self._loop.run_until_complete(self.interrupt())
