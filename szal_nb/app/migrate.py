"""`szal migrate`: carries runs that have not ended to another version of their flow, and takes that back."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.app.exit import ExitCode
from szal_nb.app.printing import print_json, say
from szal_nb.app.record import open_store
from szal_nb.errors import MigrationError, StoreError
from szal_nb.notebook.migrations import version_in, version_run
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
    with open_store(arguments) as store:
        plans, refused = _each(arguments, store, migration.plan)
    if arguments.json:
        document = {"plans": [plan.json() for _, plan in plans]}
        print_json({**document, "refused": _refusals(refused)} if refused else document)
    else:
        print("\n\n".join(str(plan) for _, plan in plans) or "No run can be carried over.")
        for _, reason in refused:
            say(reason)
    return ExitCode.FAILED if refused or not all(plan.is_safe for _, plan in plans) else ExitCode.COMPLETED


def apply_command(arguments: argparse.Namespace) -> ExitCode:
    """Carries runs over; exit 1 if one of them is refused."""
    with open_store(arguments, read_only=False) as store:
        made, refused = _each(arguments, store, migration.apply)
    if arguments.json:
        print_json(
            {
                "migrated": [{"run": before, "to": after} for before, after in made],
                "refused": _refusals(refused),
            }
        )
    else:
        for before, after in made:
            print(f"Run {before} is carried over as run {after}. To go on: szal resume {after}")
        for _, reason in refused:
            say(reason)
    return ExitCode.FAILED if refused else ExitCode.COMPLETED


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
) -> tuple[list[tuple[str, _T]], list[tuple[str, str]]]:
    """What comes of each run, and why of others nothing does: of many, one that is damaged keeps no other back."""
    found, refused = [], []
    for run in _runs(arguments, store):
        try:
            found.append((run.id, do(store, run.id, _version(arguments, store, run))))
        except (MigrationError, StoreError) as error:
            if not arguments.all and not isinstance(error, MigrationError):
                raise
            refused.append((run.id, str(error)))
    return found, refused


def _refusals(refused: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"run": before, "reason": reason} for before, reason in refused]


def _runs(arguments: argparse.Namespace, store: RunStore) -> list[StoredRun]:
    if arguments.all:
        if arguments.run is not None and arguments.notebook is None:
            # Without a run, the first word is the notebook.
            arguments.run, arguments.notebook = None, arguments.run
        found = [run for run in store.runs(flow=arguments.flow) if run.version != arguments.to]
        return [run for run in found if run in migration.movable_runs(store, run.flow, arguments.to or 0)]
    if arguments.run is None:
        raise MigrationError("Name a run, or --all.")
    return [store.run(arguments.run)]


def _version(arguments: argparse.Namespace, store: RunStore, run: StoredRun) -> NewVersion:
    path = arguments.notebook or notebook_of(run, store.path)
    if path is not None and Path(path).exists():
        found = version_in(path, run.flow)
        if arguments.to in (None, found.graph.flow.version):
            return found
        if arguments.notebook is not None:
            raise MigrationError(f"{path} defines version {found.graph.flow.version}, not {arguments.to}.")
    if arguments.to is None:
        raise MigrationError(f"Name the notebook that defines the new version of flow {run.flow!r}, or --to N.")
    return version_run(store, run.flow, arguments.to)
