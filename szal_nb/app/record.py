"""`szal runs`, `show`, `logs`, `watch`, `cancel` and `approve`: what the store knows of runs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from szal_nb.app import deciding
from szal_nb.app.describing import run_json, run_text, runs_table
from szal_nb.app.exit import ExitCode, exit_of_run
from szal_nb.app.printing import print_json, say
from szal_nb.app.progress import LOOK_EVERY_S, Follower
from szal_nb.model.event import StepOutput
from szal_nb.model.state import RunState
from szal_nb.store.locate import find_store
from szal_nb.store.runs import RunStore, StoredRun


def add_commands(commands: Any, options: Mapping[str, argparse.ArgumentParser]) -> None:
    """Adds the commands to the program's parser."""
    both = [options["store"], options["json"]]

    runs = commands.add_parser("runs", parents=both, help="the runs of a store, newest first")
    runs.add_argument("--flow", metavar="F", help="only runs of this flow")
    states = [*(state.value for state in RunState), "crashed"]
    runs.add_argument("--state", metavar="S", choices=states, help=f"only runs in this state: {', '.join(states)}")
    runs.add_argument("--limit", type=int, metavar="N", help="at most so many")
    runs.set_defaults(command=show_runs)

    show = commands.add_parser("show", parents=both, help="a run: its steps, values and errors")
    _add_run(show)
    show.set_defaults(command=show_run)

    logs = commands.add_parser("logs", parents=both, help="what the steps of a run printed")
    _add_run(logs)
    logs.add_argument("step", nargs="?", metavar="STEP", help="only this step")
    logs.set_defaults(command=show_logs)

    watch = commands.add_parser(
        "watch", parents=both, help="show a run as it goes, until it ends; then exit as it ended"
    )
    _add_run(watch)
    watch.set_defaults(command=watch_run)

    cancel = commands.add_parser("cancel", parents=both, help="end a run that `szal run` started, or that crashed")
    _add_run(cancel)
    cancel.set_defaults(command=cancel_run)

    approve = commands.add_parser(
        "approve", parents=both, help="let a step start that waits for a person, or reject it"
    )
    _add_run(approve)
    approve.add_argument("step", metavar="STEP", help="the waiting step")
    approve.add_argument("--reject", action="store_true", help="the step fails instead, when the run goes on")
    approve.add_argument(
        "--value", type=_json_text, metavar="JSON", help="the answer: the body finds it as szal.context().answer"
    )
    approve.set_defaults(command=approve_step)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _json_text(text: str) -> str:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error})") from None
    return text


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's id, or as much of its beginning as is unique")


def open_store(arguments: argparse.Namespace, *, read_only: bool = True) -> RunStore:
    """The store that the command means: the one named, else the nearest."""
    return RunStore.open(Path(arguments.store) if arguments.store else find_store(), read_only=read_only)


def show_runs(arguments: argparse.Namespace) -> ExitCode:
    """Prints the runs of the store."""
    with open_store(arguments) as store:
        runs = store.runs(flow=arguments.flow, state=arguments.state, limit=arguments.limit)
        path = store.path
    if arguments.json:
        print_json({"store": str(path), "runs": [run_json(run) for run in runs]})
    else:
        print(runs_table(runs) if runs else f"No such runs in {path}.")
    return ExitCode.COMPLETED


def show_run(arguments: argparse.Namespace) -> ExitCode:
    """Prints one run."""
    with open_store(arguments) as store:
        run = store.run(arguments.run)
        snapshot, notebook = store.snapshot(run.id), store.notebook(run.id)
    if arguments.json:
        print_json(run_json(run, snapshot))
    else:
        print(run_text(run, snapshot, is_of_notebook=notebook is not None))
    return ExitCode.COMPLETED


def show_logs(arguments: argparse.Namespace) -> ExitCode:
    """Prints what the steps of a run showed as text."""
    with open_store(arguments) as store:
        run = store.run(arguments.run)
        snapshot = store.snapshot(run.id)
        shown = [event for event in store.events(run.id) if isinstance(event, StepOutput)]
    deciding.check_step(run.id, arguments.step, list(snapshot.steps))
    wanted = [event for event in shown if arguments.step in (None, event.step)]
    if arguments.json:
        items = [
            {"step": event.step, "attempt": event.attempt, "type": item.type, "name": item.name, "text": _text(item)}
            for event in wanted
            for item in event.items
        ]
        print_json({"id": run.id, "logs": items})
        return ExitCode.COMPLETED
    heading = None
    for event in wanted:
        if arguments.step is None and heading != (event.step, event.attempt):
            heading = event.step, event.attempt
            print(f"── {event.step}, attempt {event.attempt}")
        print("".join(_text(item) for item in event.items), end="")
    for step in snapshot.steps.values():
        if step.error is not None and arguments.step in (None, step.name):
            print(step.error.traceback or step.error)
    return ExitCode.COMPLETED


def _text(item: Any) -> str:
    if item.type == "stream":
        return str(item.text)
    plain = item.data.get("text/plain", "")
    return f"{plain}\n" if plain else ""


def watch_run(arguments: argparse.Namespace) -> ExitCode:
    """Shows a run until it ends, or its process dies."""
    with open_store(arguments) as store:
        run = store.run(arguments.run)
        follower = Follower(store.path, lambda other: other.id == run.id)
        follower.expect(run.id, [])
        while True:
            follower.look(store)
            run = store.run(run.id)
            if run.state.is_final or run.is_left:
                break
            time.sleep(LOOK_EVERY_S)
        follower.look(store)
        follower.close()
        snapshot = store.snapshot(run.id)
    if arguments.json:
        print_json(run_json(run, snapshot))
    else:
        print(f"Run {run.id}: {run.shown_state}")
    return exit_of_run(run, snapshot)


def cancel_run(arguments: argparse.Namespace) -> ExitCode:
    """Ends a run, and waits for the process that it asks to."""
    with open_store(arguments, read_only=False) as store:
        run = store.run(arguments.run)
        said = deciding.cancel_run(store, run)
        if not run.state.is_final and not run.is_left:
            _wait_for_end(store, run)
            said = f"Run {run.id} is {store.run(run.id).shown_state}."
        say(said)
        if arguments.json:
            print_json(run_json(store.run(run.id), store.snapshot(run.id)))
    return ExitCode.COMPLETED


def approve_step(arguments: argparse.Namespace) -> ExitCode:
    """Records a person's answer to a step of a run that nobody runs at the moment."""
    with open_store(arguments, read_only=False) as store:
        said = deciding.answer_step(
            store, arguments.run, arguments.step, approved=not arguments.reject, value=arguments.value
        )
        if arguments.json:
            run = store.run(arguments.run)
            print_json(run_json(run, store.snapshot(run.id)))
        else:
            say(said)
    return ExitCode.COMPLETED


def _wait_for_end(store: RunStore, run: StoredRun) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        now = store.run(run.id)
        if now.state.is_final or now.is_left:
            return
        time.sleep(LOOK_EVERY_S)
