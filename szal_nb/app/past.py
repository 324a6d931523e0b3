"""`szal replay`, `diff` and `why`: past runs as the record has them, compared and explained."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from szal_nb.api.past import diff, replay, verification, verified, why
from szal_nb.api.run import Run
from szal_nb.app.describing import run_json, run_text
from szal_nb.app.execution import again, carry_out, is_launched_here
from szal_nb.app.exit import ExitCode
from szal_nb.app.outcome import exit_of
from szal_nb.app.printing import print_json, say
from szal_nb.app.progress import Follower
from szal_nb.app.record import open_store
from szal_nb.store.locate import find_store
from szal_nb.store.runs import RunStore


def add_commands(commands: Any, options: Mapping[str, argparse.ArgumentParser]) -> None:
    """Adds the commands to the program's parser."""
    both = [options["store"], options["json"]]

    replayed = commands.add_parser("replay", parents=both, help="show a past run with its outputs; nothing is run")
    replayed.add_argument("run", metavar="RUN", help="the run's id, or as much of its beginning as is unique")
    replayed.add_argument(
        "--verify", action="store_true", help="run every body again in a new run, and name each value that differs"
    )
    replayed.add_argument("-o", "--output", metavar="OUT", type=Path, help="where --verify saves the executed notebook")
    replayed.set_defaults(command=replay_command)

    compared = commands.add_parser("diff", parents=both, help="what differs between two runs")
    compared.add_argument("before", metavar="A", help="a run's id, or as much of its beginning as is unique")
    compared.add_argument("after", metavar="B", help="another run's")
    compared.set_defaults(command=diff_command)

    explained = commands.add_parser("why", parents=both, help="why a step ran or did not, and what it waits for")
    explained.add_argument("run", metavar="RUN", help="the run's id, or as much of its beginning as is unique")
    explained.add_argument("step", metavar="STEP", help="the step")
    explained.set_defaults(command=why_command)


def replay_command(arguments: argparse.Namespace) -> ExitCode:
    """Prints a past run; with `--verify` runs it again and compares."""
    if arguments.verify:
        return _verify(arguments)
    with open_store(arguments) as store:
        run = store.run(arguments.run)
        past = replay(store, run.id)
        if arguments.json:
            document = run_json(run, past.snapshot)
            for step in document["steps"]:
                step["outputs"] = [
                    {"type": item.type, "name": item.name, "text": item.text, "data": item.data}
                    for item in past.outputs(step["name"])
                ]
            print_json(document)
            return ExitCode.COMPLETED
        print(run_text(run, past.snapshot, is_of_notebook=store.notebook(run.id) is not None))
        _print_outputs(past)
    return ExitCode.COMPLETED


def _print_outputs(past: Run) -> None:
    for name in past.snapshot.steps:
        outputs = past.outputs(name)
        if outputs:
            print(f"\n── {name}")
        for item in outputs:
            text = item.text if item.type == "stream" else str(item.data.get("text/plain", ""))
            print(text, end="" if text.endswith("\n") else "\n")


def _verify(arguments: argparse.Namespace) -> ExitCode:
    path = Path(arguments.store or find_store()).absolute()
    work = again(path, arguments.run, arguments.output)
    follower = Follower(path, is_launched_here)
    result = carry_out(work, follower)
    with RunStore.open(path, read_only=True) as store:
        record = store.run(arguments.run)
        runs = [store.run(run_id) for run_id in follower.shown]
        if not runs:
            say(f"The notebook of run {record.id} started no run: {result.error or result.ended.value}")
            return exit_of(result, [])
        differences = verified(store, record.id, runs[0].id)
    if arguments.json:
        print_json({"run": record.id, "again": runs[0].id, "same": not differences, "differences": list(differences)})
    else:
        print(verification(record.id, runs[0].id, differences))
    return ExitCode.FAILED if differences else ExitCode.COMPLETED


def diff_command(arguments: argparse.Namespace) -> ExitCode:
    """Prints what differs between two runs."""
    with open_store(arguments) as store:
        found = diff(store, arguments.before, arguments.after)
    if arguments.json:
        print_json(found.json())
    else:
        print(found)
    return ExitCode.COMPLETED


def why_command(arguments: argparse.Namespace) -> ExitCode:
    """Prints why a step ran or did not, and its edges with their reasons."""
    with open_store(arguments) as store:
        run = store.run(arguments.run)
        found = why(store, run.id, arguments.step)
    if arguments.json:
        print_json({"id": run.id, **found.json()})
    else:
        print(found)
    return ExitCode.COMPLETED
