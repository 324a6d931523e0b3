"""`szal run` and `szal resume`: a notebook executed headless, shown as it goes; the exit code tells its end."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from szal_nb.api.selection import Selection
from szal_nb.app.exit import ExitCode
from szal_nb.app.outcome import answer
from szal_nb.app.printing import say
from szal_nb.app.progress import Follower
from szal_nb.errors import InvalidStep, RunError
from szal_nb.model.state import RunState
from szal_nb.notebook.affected import affected_names
from szal_nb.notebook.document import InvalidNotebook, Notebook, parse_notebook, read_notebook
from szal_nb.notebook.headless import Headless
from szal_nb.notebook.parameters import Given, give, read_parameters, read_values, read_values_file, retype
from szal_nb.notebook.reader import needs_run_cell, step_names
from szal_nb.store.locate import find_store
from szal_nb.store.moved import notebook_of, output_of, usual_output
from szal_nb.store.owner import Owner
from szal_nb.store.runs import RunStore, StoredRun, new_run_id

if TYPE_CHECKING:
    from szal_nb.notebook.batch import BatchResult


def add_commands(commands: Any, options: Mapping[str, argparse.ArgumentParser]) -> None:
    """Adds the commands to the program's parser."""
    both = [options["store"], options["json"]]
    output = {
        "metavar": "OUT",
        "type": Path,
        "help": "where the executed notebook is saved (default: runs/ beside the store)",
    }

    run = commands.add_parser("run", parents=both, help="run a notebook's flow")
    run.add_argument("notebook", metavar="NB", help="the notebook; without --store its runs are in .szal/ beside it")
    run.add_argument("-o", "--output", **output)
    pairs = {"nargs": 2, "metavar": ("NAME", "VALUE"), "action": "append", "default": [], "type": _unprotected}
    _add_parameters(run, pairs)
    run.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="STEP", help="these steps, and those that they need"
    )
    run.add_argument("--from", dest="from_step", metavar="STEP", help="this step and all that follow from it")
    run.add_argument("--until", metavar="STEP", help="this step and all that it needs")
    run.add_argument("-k", "--kernel", metavar="NAME", help="the kernel to use instead of the notebook's")
    run.add_argument(
        "--reuse", nargs="?", const="", metavar="RUN", help="take unchanged steps from RUN, or from the newest runs"
    )
    run.set_defaults(command=run_command)

    fork = commands.add_parser("fork", parents=both, help="a new run that takes the values of RUN, but from a step on")
    fork.add_argument("run", metavar="RUN", help="the run's id, or as much of its beginning as is unique")
    fork.add_argument("--from", dest="from_step", metavar="STEP", required=True, help="the first step that runs again")
    fork.add_argument("-p", "--parameter", dest="parameters", **pairs, help="a parameter that is to be another")
    fork.add_argument("-o", "--output", **output)
    fork.set_defaults(command=fork_command)

    resume = commands.add_parser("resume", parents=both, help="go on with a run that did not complete")
    resume.add_argument("run", metavar="RUN", help="the run's id, or as much of its beginning as is unique")
    resume.add_argument("-o", "--output", **output)
    resume.add_argument("--force", action="store_true", help="take the run over although its owner seems to live")
    _add_parameters(
        resume.add_argument_group("changed parameters: a new run that takes from RUN all that does not depend on them"),
        pairs,
    )
    resume.set_defaults(command=resume_command)


def _add_parameters(parser: Any, pairs: Mapping[str, Any]) -> None:
    parser.add_argument("-p", "--parameter", dest="parameters", **pairs, help="a parameter, as its type says")
    parser.add_argument("-r", "--raw", **pairs, help="a parameter, taken as text")
    parser.add_argument("-f", "--file", action="append", default=[], metavar="FILE", help="parameters in a YAML file")
    parser.add_argument("-y", "--yaml", action="append", default=[], metavar="YAML", help="parameters as YAML text")


def _values_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters from files and YAML text."""
    values: dict[str, Any] = {}
    for path in arguments.file:
        values |= read_values_file(path)
    for text in arguments.yaml:
        values |= read_values(text, origin="the YAML of -y")
    return values


_PAIRED = frozenset({"-p", "--parameter", "-r", "--raw"})
_PROTECTION = "\0"


def protect_values(arguments: Sequence[str]) -> list[str]:
    """`arguments` with a mark before each parameter's value, so that one like `--x` is not taken for a flag."""
    protected = list(arguments)
    for index, argument in enumerate(arguments[:-2]):
        if argument in _PAIRED:
            protected[index + 2] = _PROTECTION + arguments[index + 2]
    return protected


def _unprotected(text: str) -> str:
    return text.removeprefix(_PROTECTION)


def run_command(arguments: argparse.Namespace) -> ExitCode:
    """Runs a notebook."""
    notebook = read_notebook(arguments.notebook)
    given = give(
        notebook,
        texts=arguments.parameters,
        raw=arguments.raw,
        values=_values_of(arguments),
        environment=os.environ,
    )
    # Reads all cells, so that what is wrong with a step is said before a kernel starts.
    needs_run_cell(notebook)
    only = tuple(name for text in arguments.only for name in text.replace(",", " ").split())
    _check_steps(notebook, [*only, *filter(None, (arguments.from_step, arguments.until))])
    path = Path(arguments.notebook).absolute()
    store = Path(arguments.store or find_store(path)).absolute()
    run_id = new_run_id()
    work = Work(
        notebook=notebook,
        given=given,
        headless=Headless(store=store, run_id=run_id, notebook=path, wish=_wish_of(arguments, only)),
        output=arguments.output or usual_output(store, run_id),
        cwd=path.parent,
        kernel=arguments.kernel,
    )
    return execute(arguments, work, Follower(store, is_launched_here))


def _wish_of(arguments: argparse.Namespace, only: Sequence[str]) -> Selection | None:
    wish = Selection(only=tuple(only), from_step=arguments.from_step, until=arguments.until, reuse=arguments.reuse)
    return None if wish == Selection() else wish


def fork_command(arguments: argparse.Namespace) -> ExitCode:
    """Runs the notebook of an earlier run again, with the values that it had, but from a step on."""
    path = Path(arguments.store or find_store()).absolute()
    work = again(path, arguments.run, arguments.output, parameters=arguments.parameters, fork_at=arguments.from_step)
    return execute(arguments, work, Follower(path, is_launched_here))


def again(
    path: Path,
    run_id: str,
    output: Path | None,
    *,
    parameters: Sequence[tuple[str, str]] = (),
    raw: Sequence[tuple[str, str]] = (),
    values: Mapping[str, Any] | None = None,
    fork_at: str | None = None,
    goes_on: bool = False,
) -> Work:
    """The notebook of a stored run, to be executed as a new run with the inputs that it had, but for those given.

    Raises RunError if the run was not started from a notebook, or has no step `fork_at`.
    """
    with RunStore.open(path, read_only=True) as store:
        run = store.run(run_id)
        text = store.notebook(run.id)
        steps = list(store.snapshot(run.id).steps)
    if text is None:
        raise RunError(f"Run {run.id} was not started from a notebook; do it from the script that started it.")
    if fork_at is not None and fork_at not in steps:
        raise RunError(f"Run {run.id} has no step {fork_at!r}; it has {', '.join(steps)}.")
    origin = notebook_of(run, path)
    notebook = parse_notebook(text, path=origin)
    declared = {parameter.name for parameter in read_parameters(notebook)}
    params = {name: value for name, value in run.params.items() if not declared or name in declared}
    values = values or {}
    given = give(notebook, texts=parameters, raw=raw, values={**params, **values}, environment=os.environ)
    new_id = new_run_id()
    changed = [*values, *(name for name, _ in (*parameters, *raw))]
    wish = Selection(inputs_of=run.id, fork_at=fork_at, goes_on=goes_on, changed=affected_names(notebook, changed))
    return Work(
        notebook=notebook,
        given=given,
        headless=Headless(store=path, run_id=new_id, notebook=origin, wish=wish),
        output=output or usual_output(path, new_id),
        cwd=_folder_of(origin),
    )


def _check_steps(notebook: Notebook, chosen: Sequence[str]) -> None:
    """Refuses steps that the notebook does not have, before a kernel starts."""
    known = step_names(notebook) if chosen else ()
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(known) or 'no steps'}."
            raise InvalidStep(name, f"{notebook.label} has no such step.", advice)


def _resume_changed(arguments: argparse.Namespace, path: Path, values: Mapping[str, Any]) -> ExitCode:
    """Goes on with a run as a new one, because a run with other parameters is another run."""
    work = again(
        path,
        arguments.run,
        arguments.output,
        parameters=arguments.parameters,
        raw=arguments.raw,
        values=values,
        goes_on=True,
    )
    with RunStore.open(path) as store:
        if not arguments.force:
            store.end_orphan_of(arguments.run)
        say(f"Run {store.run(arguments.run).id} stays as it is; run {work.headless.run_id} goes on from it.")
    return execute(arguments, work, Follower(path, is_launched_here))


def resume_command(arguments: argparse.Namespace) -> ExitCode:
    """Goes on with a run, from the notebook as it was when the run began."""
    path = Path(arguments.store or find_store()).absolute()
    values = _values_of(arguments)
    if arguments.parameters or arguments.raw or values:
        return _resume_changed(arguments, path, values)
    with RunStore.open(path) as store:
        run = store.run(arguments.run)
        if run.state is RunState.COMPLETED:
            say(f"Run {run.id} has completed; there is nothing to resume.")
            return answer(arguments, store, [run], None)
        if run.state is RunState.ROLLED_BACK:
            raise RunError(f"Run {run.id} was rolled back: what it completed is undone. Start a new run.")
        if not arguments.force:
            # A kernel that a killed `szal run` left behind is ended here, before a new one costs seconds.
            run = store.end_orphan_of(run.id)
        text = store.notebook(run.id)
        if text is None:
            raise RunError(f"Run {run.id} was not started from a notebook; resume it from the script that started it.")
        events = store.events(run.id)
    origin = notebook_of(run, path)
    notebook = parse_notebook(text, path=origin)
    if origin is not None:
        _say_of_file(run, notebook, origin)
    declared = {parameter.name for parameter in read_parameters(notebook)}
    params = {name: value for name, value in run.params.items() if not declared or name in declared}
    work = Work(
        notebook=notebook,
        given=retype(notebook, params, environment=os.environ),
        headless=Headless(store=path, resume=run.id, notebook=origin),
        output=arguments.output or output_of(run, path),
        cwd=_folder_of(origin),
    )
    follower = Follower(path, is_launched_here)
    follower.expect(run.id, events)
    return execute(arguments, work, follower)


def _folder_of(notebook: Path | None) -> Path:
    """Where the cells of a notebook run: beside it, as long as that folder is there."""
    return notebook.parent if notebook is not None and notebook.parent.is_dir() else Path.cwd()


def _say_of_file(run: StoredRun, notebook: Notebook, origin: Path) -> None:
    """Tells what has become of the file whose snapshot `notebook` is, if anything has."""
    if str(origin) != run.notebook_path:
        say(f"The notebook of run {run.id} was {run.notebook_path}, and is {origin} now.")
    if not origin.exists():
        say(
            f"{origin} is not there any more; run {run.id} goes on with the notebook as it was when it began, "
            f"in {_folder_of(origin)}."
        )
    elif _has_changed(notebook, origin):
        say(
            f"{origin} has changed since run {run.id} began; the run goes on with the notebook as it was then. "
            f"Instead, `szal migrate plan {run.id} {origin.name}` carries it to a new version of the flow, and "
            f"`szal run {origin.name} --reuse {run.id}` begins a new run with what is unchanged."
        )


def is_launched_here(run: StoredRun) -> bool:
    """Whether this process began the run."""
    return run.launcher is not None and run.launcher.is_same(Owner.here())


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A notebook to execute, with all that it needs."""

    notebook: Notebook
    given: Given
    headless: Headless
    output: Path
    cwd: Path
    kernel: str | None = None


def execute(arguments: argparse.Namespace, work: Work, follower: Follower) -> ExitCode:
    """Executes the notebook, and says what became of it."""
    if work.headless.store is not None:
        say(f"The record is in {work.headless.store}.")
    result = carry_out(work, follower)
    path = work.headless.store
    if path is None or not path.exists():
        return answer(arguments, None, [], result)
    with RunStore.open(path) as store:
        store.settle()
        return answer(arguments, store, [store.run(run_id) for run_id in follower.shown], result)


def carry_out(work: Work, follower: Follower) -> BatchResult:
    """Executes the notebook, shown as it goes."""
    _leave_out_slow_import()
    from szal_nb.notebook.batch import run_notebook  # late: heavy

    with follower.following():
        return run_notebook(
            work.notebook,
            output=work.output.absolute(),
            given=work.given,
            headless=work.headless,
            cwd=work.cwd,
            kernel_name=work.kernel,
            on_said=say,
        )


def _has_changed(snapshot: Notebook, path: Path) -> bool:
    try:
        now = read_notebook(path)
    except InvalidNotebook:
        return True
    return [cell.source.strip() for cell in now.code] != [cell.source.strip() for cell in snapshot.code]


def _leave_out_slow_import() -> None:
    """Halves the start: nbformat's validator loads a grammar of addresses for seconds, which no notebook needs.

    Only in this program, which is its own process; a check that jsonschema itself makes when it is not installed.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
