"""The magics: command lines become calls of the session and of its runs, nothing else."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from szal_nb.api import migration
from szal_nb.api.past import diff
from szal_nb.errors import RunError, SzalError
from szal_nb.notebook.arguments import COMMANDS
from szal_nb.notebook.cells import AWAITED
from szal_nb.notebook.flags import ParsedRun, parse_flow_line, parse_line, parse_run_line
from szal_nb.notebook.past import as_report, explain_step, replayed
from szal_nb.notebook.refusal import shorten
from szal_nb.notebook.report import one_run
from szal_nb.notebook.run import NotebookRun
from szal_nb.notebook.runs import Runs
from szal_nb.notebook.session import Session

F = TypeVar("F", bound=Callable[..., Any])
# A word that IPython takes for a variable, as in `%szal_show {run.id}`; other braces belong to values and conditions.
_VARIABLE = re.compile(r"(?<!\S)(?:\{[A-Za-z_][\w.\[\]]*\}|\$[A-Za-z_][\w.]*)(?!\S)")


def command(name: str) -> Callable[[F], F]:
    """Makes a method the magic `name` (with its percent signs): arguments, help, and short errors."""

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def magic(self: SzalMagics, line: str, *body: str) -> Any:
            if line.split()[:1] in (["-h"], ["--help"]):
                print(magic.parser.format_help())  # type: ignore[attr-defined]  # noqa: T201 - what -h is for
                return None
            if not body:
                line = _VARIABLE.sub(lambda found: self.session.shell.var_expand(found[0]), line)
            try:
                return method(self, line, *body)
            except SzalError as error:
                shorten(error)
                raise

        for entry in reversed(COMMANDS[name]):
            argument(*entry.names, **entry.keywords)(magic)
        described = magic_arguments()(magic)
        register: Any = cell_magic if name.startswith("%%") else line_magic
        return register(no_var_expand(described))  # type: ignore[no-any-return]

    return decorate


async def _ended(run: NotebookRun) -> None:
    """Waits for the run; what it gives is bound, and nothing of it is shown."""
    await run


@magics_class
class SzalMagics(Magics):
    """`%%szal_step`, `%%szal_rollback` and the line magics of one kernel."""

    def __init__(self, shell: Any, session: Session, runs: Runs) -> None:
        super().__init__(shell)
        self.session = session
        self.runs = runs

    @command("%%szal_step")
    def szal_step(self, line: str, body: str) -> Any:
        """Define this cell as a step of the flow; `%szal_run` runs it."""
        is_awaited = line.endswith(AWAITED)
        chip, is_executed = self.session.define_cell(line.removesuffix(AWAITED).rstrip(), body)
        display(chip)
        if not is_executed:
            return None
        self._refuse_to_wait_in_a_function(is_asked=False, is_awaited=is_awaited)
        run = self.runs.run_step(chip.name)
        return _ended(run) if is_awaited else None

    @command("%%szal_rollback")
    def szal_rollback(self, line: str, body: str) -> None:
        """Define this cell as what undoes a step, when the run fails (%szal_flow --rollback-on: or is ended)."""
        display(self.session.define_rollback(line, body))

    @command("%szal_flow")
    def szal_flow(self, line: str) -> None:
        """Name the flow that the steps below belong to, with its version and limits."""
        self.session.use_flow(parse_flow_line(line))

    @command("%szal_run")
    def szal_run(self, line: str) -> NotebookRun:
        """Run the flow in the background and give back the run, with its picture; `await run` waits for it."""
        parsed = parse_run_line(line)
        self._refuse_to_wait_in_a_function(is_asked=parsed.is_waited, is_awaited=parsed.is_awaited)
        return self.runs.start(parsed)

    @command("%szal_resume")
    def szal_resume(self, line: str) -> NotebookRun:
        """Go on with a run that crashed, failed or was cancelled; completed steps are not run again.

        With -p, a new run: it takes from that run all that does not depend on the changed inputs.
        """
        found = parse_line("%szal_resume", line)
        self._refuse_to_wait_in_a_function(is_asked=found.wait, is_awaited=found.awaited)
        parameters = tuple((name, value) for name, value in found.parameters)
        return self.runs.resume(found.run, store=found.store, force=found.force, parameters=parameters)

    def _refuse_to_wait_in_a_function(self, *, is_asked: bool, is_awaited: bool) -> None:
        if not is_awaited and (is_asked or self.session.waits()):
            raise RunError("Only at the top level of a cell can it wait by itself; here, start it and `await run`.")

    @command("%szal_dag")
    def szal_dag(self, line: str) -> None:
        """Show the flow as a picture, without running it."""
        self.runs.show_flow(parse_line("%szal_dag", line).name)

    @command("%szal_status")
    def szal_status(self, line: str) -> None:
        """Show where a run of this kernel is."""
        run = self.runs.named(parse_line("%szal_status", line).run)
        display(one_run(run.graph, run.snapshot, run.id))

    @command("%szal_runs")
    def szal_runs(self, line: str) -> None:
        """List the runs in the store, newest first."""
        found = parse_line("%szal_runs", line)
        store = self.runs.store(found.store)
        self.runs.show_runs(store, lambda: store.runs(flow=found.flow, state=found.state, limit=found.limit))

    @command("%szal_show")
    def szal_show(self, line: str) -> None:
        """Show a run in the store: its picture, and what failed."""
        found = parse_line("%szal_show", line)
        store = self.runs.store(found.store)
        newest = store.runs(limit=1)
        if found.run is None and not newest:
            raise RunError(f"There is no run in {store.path} yet.")
        stored = store.run(found.run) if found.run is not None else newest[0]
        is_crashed = stored.shown_state == "crashed"
        display(one_run(store.graph(stored.id), store.snapshot(stored.id), stored.id, is_crashed=is_crashed))

    @command("%szal_cancel")
    def szal_cancel(self, line: str) -> None:
        """End a run of this kernel."""
        found = parse_line("%szal_cancel", line)
        run = self.runs.named(found.run)
        if run.snapshot.state.is_final:
            print(f"Run {run.id} is {run.snapshot.state} already.")  # noqa: T201 - for the reader of the cell
            return
        run.cancel(found.reason)

    @command("%szal_why")
    def szal_why(self, line: str) -> None:
        """Say why a step ran or did not, down to the name that changed, and why it waits for others."""
        found = parse_line("%szal_why", line)
        display(explain_step(self.session, self.runs, found.step, run=found.run, store=found.store))

    @command("%szal_fork")
    def szal_fork(self, line: str) -> NotebookRun:
        """Start a run that takes from an earlier one all that does not depend on a step, also with other inputs."""
        found = parse_line("%szal_fork", line)
        self._refuse_to_wait_in_a_function(is_asked=found.wait, is_awaited=found.awaited)
        parameters = tuple((name, value) for name, value in found.parameters)
        return self.runs.fork(found.run, found.from_step, ParsedRun(parameters=parameters, store=found.store))

    @command("%szal_replay")
    def szal_replay(self, line: str) -> Any:
        """Show a past run as it was: outputs and values from the record, with no step run again."""
        found = parse_line("%szal_replay", line)
        if found.verify:
            return self.runs.verify(found.run, found.store)
        run = replayed(self.runs.store(found.store), found.run, self.session.own, trust=found.trust)
        run.show()
        if found.bind:
            print(run.bind())  # noqa: T201 - for the reader of the cell
        return run

    @command("%szal_diff")
    def szal_diff(self, line: str) -> None:
        """Show what differs between two runs: code, parameters, values, states and timings."""
        found = parse_line("%szal_diff", line)
        display(as_report(diff(self.runs.store(found.store), found.before, found.after)))

    @command("%szal_migrate")
    def szal_migrate(self, line: str) -> None:
        """Carry a run that has not ended to the version of its flow that the cells define now, or take that back."""
        found = parse_line("%szal_migrate", line)
        store = self.runs.store(found.store)
        if found.action == "undo":
            before = migration.undo(store, found.run)
            print(f"Undone: run {before} is as it was.")  # noqa: T201 - for the reader of the cell
            return
        to = self.runs.version_now(store.run(found.run).flow)
        display(as_report(migration.plan(store, found.run, to)))
        if found.action == "apply":
            made = migration.apply(store, found.run, to)
            print(f"Carried over as run {made}. To go on: %szal_resume {made}")  # noqa: T201 - as above
