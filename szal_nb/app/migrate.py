"""`szal migrate`: carries runs that have not ended to another version of their flow, and takes that back."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from szal_nb.analysis.migration import MigrationPlan
from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.app.exit import ExitCode
from szal_nb.app.printing import print_json, say
from szal_nb.app.record import open_store
from szal_nb.errors import DefinitionError, MigrationError, StoreError
from szal_nb.notebook.document import read_notebook
from szal_nb.notebook.migrations import version_in, version_run
from szal_nb.notebook.reader import read_flows
from szal_nb.store.moved import notebook_of
from szal_nb.store.runs import RunStore, StoredRun

_T = TypeVar("_T")


def add_commands(commands: Any, options: Mapping[str, argparse.ArgumentParser]) -> None:
    """Adds the commands to the program's parser."""
    both = [options["store"], options["json"]]
    group = commands.add_parser("migrate", help="carry runs to another version of their flow")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, text, command in (
        ("plan", "what would become of each step of a run", plan_command),
        ("apply", "make a new run of the new version that can be resumed; the old one stays", apply_command),
    ):
        action = actions.add_parser(name, parents=both, help=text)
        action.add_argument("run", nargs="?", metavar="RUN", help="the run's id, or as much of it as is unique")
        action.add_argument("notebook", nargs="?", metavar="NB", help="the notebook that defines the new version")
        action.add_argument("--all", action="store_true", help="every run that can still go on, of another version")
        action.add_argument("--flow", metavar="F", help="with --all: only runs of this flow")
        action.add_argument("--to", type=int, metavar="N", help="the version that is wanted")
        action.set_defaults(command=command)
    undone = actions.add_parser("undo", parents=both, help="delete the run that a migration made")
    undone.add_argument("run", metavar="RUN", help="the run that the migration made")
    undone.set_defaults(command=undo_command)


def plan_command(arguments: argparse.Namespace) -> ExitCode:
    """Prints what would become of runs; exit 1 if one of them is refused."""
    plans: list[MigrationPlan] = []
    refused: list[tuple[str, str]] = []
    with open_store(arguments) as store:
        for before, found, reason in _each(arguments, store, migration.plan):
            if found is None:
                refused.append((before, reason))
            else:
                plans.append(found)
    if arguments.json:
        document = {"plans": [plan.json() for plan in plans]}
        print_json({**document, "refused": _refusals(refused)} if refused else document)
    else:
        print("\n\n".join(map(str, plans)) or "No run can be carried over.")
        for _, reason in refused:
            say(reason)
    return ExitCode.FAILED if refused or not all(plan.is_safe for plan in plans) else ExitCode.COMPLETED


def apply_command(arguments: argparse.Namespace) -> ExitCode:
    """Carries runs over, and says so of each at once; exit 1 if one of them is refused."""
    made: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    code = ExitCode.COMPLETED
    with open_store(arguments, read_only=False) as store:
        try:
            for before, after, reason in _each(arguments, store, migration.apply):
                if after is None:
                    refused.append((before, reason))
                else:
                    made.append((before, after))
                if not arguments.json:
                    print(reason or f"Run {before} is carried over as run {after}. To go on: szal resume {after}")
        except KeyboardInterrupt:
            # Of those that are carried over their reader must hear.
            code = ExitCode.INTERRUPTED
    if arguments.json:
        migrated = [{"run": before, "to": after} for before, after in made]
        print_json({"migrated": migrated, "refused": _refusals(refused)})
    elif not made and not refused:
        print("No run can be carried over.")
    return code or (ExitCode.FAILED if refused else ExitCode.COMPLETED)


def undo_command(arguments: argparse.Namespace) -> ExitCode:
    """Takes a migration back."""
    with open_store(arguments, read_only=False) as store:
        run = store.run(arguments.run)
        before = migration.undo(store, run.id)
    if arguments.json:
        print_json({"undone": run.id, "run": before})
    else:
        print(f"Run {run.id} is gone; run {before} is as it was.")
    return ExitCode.COMPLETED


def _each(
    arguments: argparse.Namespace, store: RunStore, do: Callable[[RunStore, str, NewVersion], _T]
) -> Iterator[tuple[str, _T | None, str]]:
    """What comes of each run, or why nothing does: of many, one that is damaged keeps no other back."""
    if not arguments.all:
        if arguments.run is None:
            raise MigrationError("Name a run, or --all.")
        run = store.run(arguments.run)
        try:
            yield run.id, do(store, run.id, _version(arguments, store, run)), ""
        except MigrationError as error:
            yield run.id, None, str(error)
        return
    for run, to in _all(arguments, store):
        if isinstance(to, str):
            yield run.id, None, f"Run {run.id} cannot be carried over: {to}"
            continue
        try:
            yield run.id, do(store, run.id, to), ""
        except (MigrationError, StoreError) as error:
            yield run.id, None, str(error)


def _all(arguments: argparse.Namespace, store: RunStore) -> Iterator[tuple[StoredRun, NewVersion | str]]:
    """The runs that may be carried over, each with the version that it is to go on in, or why there is none."""
    if arguments.run is not None and arguments.notebook is None:
        # Without a run, the first word is the notebook.
        arguments.run, arguments.notebook = None, arguments.run
    targets: dict[tuple[str, str | None], tuple[set[str], NewVersion | str]] = {}
    for run in _runs(arguments, store):
        where = (run.flow, arguments.notebook or run.notebook_path)
        if where not in targets:
            targets[where] = _target(arguments, store, run)
        movable, to = targets[where]
        if run.id in movable:
            yield run, to


def _target(arguments: argparse.Namespace, store: RunStore, run: StoredRun) -> tuple[set[str], NewVersion | str]:
    """Which runs of the flow may be carried over to what its notebook defines."""
    to: NewVersion | str
    try:
        to = _version(arguments, store, run)
        version = to.graph.flow.version
    except (MigrationError, StoreError, DefinitionError) as error:
        to, version = str(error), arguments.to or 0
    return {one.id for one in migration.movable_runs(store, run.flow, version)}, to


def _refusals(refused: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"run": before, "reason": reason} for before, reason in refused]


def _runs(arguments: argparse.Namespace, store: RunStore) -> list[StoredRun]:
    """The runs of the flows that are meant: the one that was named, those of the notebook, or all."""
    if arguments.flow is None and arguments.notebook is not None:
        flows = {flow.definition.name for flow in read_flows(read_notebook(arguments.notebook))}
        return [run for run in store.runs() if run.flow in flows]
    return store.runs(flow=arguments.flow)


def _version(arguments: argparse.Namespace, store: RunStore, run: StoredRun) -> NewVersion:
    path = arguments.notebook or notebook_of(run, store.path)
    # One that was named and is not there is an error, whatever the record has.
    if path is not None and (arguments.notebook is not None or Path(path).exists()):
        found = version_in(path, run.flow)
        if arguments.to in (None, found.graph.flow.version):
            return found
        if arguments.notebook is not None:
            raise MigrationError(f"{path} defines version {found.graph.flow.version}, not {arguments.to}.")
    if arguments.to is None:
        raise MigrationError(f"Name the notebook that defines the new version of flow {run.flow!r}, or --to N.")
    return version_run(store, run.flow, arguments.to)
