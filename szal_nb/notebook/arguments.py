"""Every argument of every command line of a notebook, as data. What they mean is said in `flags`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from szal_nb.model.duration import parse_duration
from szal_nb.model.flow import FlowMode, Guard, RollbackOn
from szal_nb.model.step import Backoff, Executor, MapMode, OnConditionError, OnError, Trigger


@dataclass(frozen=True)
class Argument:
    """One argument of a command, in the terms of `ArgumentParser.add_argument`."""

    names: tuple[str, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)


def _argument(*names: str, **keywords: Any) -> Argument:
    return Argument(names, keywords)


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _source(text: str) -> tuple[str, str]:
    name, separator, source = text.partition("=")
    if not separator or not name.isidentifier() or not source:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=STEP.NAME")
    return name, source


def _limit(text: str) -> tuple[str, str]:
    tag, separator, limit = text.partition("=")
    if not separator or not tag:
        raise argparse.ArgumentTypeError(f"{text!r} is not TAG=LIMIT")
    return tag, limit


def _many(flag: str, metavar: str, text: str, **more: Any) -> Argument:
    return _argument(flag, nargs="+", action="extend", default=[], metavar=metavar, help=text, **more)


def _choices(options: type[StrEnum]) -> list[str]:
    return [option.value for option in options]


# How a body is tried: a step's, and that of what undoes it.
_TRIES = (
    _argument("--retries", type=int, metavar="N", help="how often a failed attempt is tried again"),
    _argument("--delay", type=_duration, metavar="TIME", help="wait before a retry, such as 1s"),
    _argument("--backoff", choices=_choices(Backoff), help="how the wait grows from retry to retry"),
    _argument("--max-delay", type=_duration, metavar="TIME", help="longest wait before a retry"),
    _argument("--jitter", type=float, metavar="SHARE", help="spread of the wait, 0 to 1"),
    _many("--retry-on", "ERROR", "retry only these exceptions"),
    _many("--no-retry-on", "ERROR", "never retry these exceptions"),
    _argument("--timeout", type=_duration, metavar="TIME", help="longest time of one attempt, such as 30s"),
)

ROLLBACK_ARGUMENTS = (_argument("step", help="the step that this cell undoes"), *_TRIES)

STEP_ARGUMENTS = (
    _argument("name", help="the step's name"),
    *_TRIES,
    _argument("--timeout-total", type=_duration, metavar="TIME", help="longest time of all attempts and waits"),
    _argument(
        "--when", metavar="EXPR", help="run the step only if this condition holds, else skip it: docs/conditions.md"
    ),
    _argument(
        "--on-condition-error", choices=_choices(OnConditionError), help="what an error in --when does to the step"
    ),
    _argument("--trigger", choices=_choices(Trigger), help="which outcomes of its dependencies start the step"),
    _many(
        "--map", "NAME", "run the step once for each element of these values; the body finds the element under the name"
    ),
    _argument("--map-mode", choices=_choices(MapMode), help="how the elements of several mapped names are joined"),
    _argument(
        "--map-errors", metavar="POLICY", help="fail at the first, collect, or how many elements must complete at least"
    ),
    _argument("--max-parallel", type=int, metavar="N", help="most attempts of a mapped step at a time"),
    _argument("--on-error", choices=_choices(OnError), help="what a failure of the step does to the run"),
    _argument("--approve", metavar="MESSAGE", help="wait for a person's approval before the step starts"),
    _argument("--cache", action="store_true", help="take the result from an earlier run with equal code and inputs"),
    _argument("--once", action="store_true", help="never run the body twice without asking"),
    _argument("--strict", action="store_true", help="fail if a needed value cannot be stored"),
    _argument("--executor", choices=_choices(Executor), help="where the body runs, instead of where the flow says"),
    _argument("--parent", metavar="STEP", help="the step that this one belongs to"),
    _many("--tag", "TAG", "words to find the step by, and to limit steps together"),
    _argument("--priority", type=int, metavar="N", help="among ready steps the highest goes first; 0 by default"),
    _many(
        "--requires",
        "WHAT",
        "gpu:1, gpu:0.5 (shares one), network, command:git, env:TOKEN or package:torch>=2, checked before the start",
    ),
    _many("--after", "STEP", "steps that must end first, without data"),
    _many("--needs", "NAME=STEP.NAME", "where a name comes from, instead of the nearest step above", type=_source),
    _many("--out", "NAME", "the names that the step gives"),
    _many("--reads", "NAME", "names that the code reads where analysis cannot see it"),
    _many("--changes", "NAME", "names that the code changes in place where analysis cannot see it"),
    _many("--pure", "NAME", "names that the code does not change, though it looks so"),
    _argument("-x", "--execute", action="store_true", help="also run the step at once, with what it needs"),
)

FLOW_ARGUMENTS = (
    _argument("name", help="the flow's name"),
    _argument("--version", type=int, metavar="N", help="the flow's version, counted from 1"),
    _argument("--mode", choices=_choices(FlowMode), help="how the order of the steps is found"),
    _argument("--max-parallel", type=int, metavar="N", help="most steps that run at a time"),
    _argument("--executor", choices=_choices(Executor), help="where bodies run whose steps do not say it: thread"),
    _argument("--timeout", type=_duration, metavar="TIME", help="longest time of a run"),
    _many("--limit", "TAG=LIMIT", "most steps with this tag at once (api=3) or in a time (api=10/s)", type=_limit),
    _many(
        "--rollback-on",
        "END",
        "which ends of a run are undone, where its steps have rollbacks: failure, cancel, timeout; failure by default",
        choices=_choices(RollbackOn),
    ),
    _argument("--guard", choices=_choices(Guard), help="which values are checked for unseen changes"),
)

_STORE = _argument("--store", metavar="PATH", help="the store to use, instead of .szal/runs.db beside the notebook")

# Written by the input transformer that awaits a run where its cell stands, never by people.
AWAITED = _argument("--awaited", action="store_true", help=argparse.SUPPRESS)

RUN_ARGUMENTS = (
    _argument("name", nargs="?", help="the flow's name; the notebook's flow by default"),
    _argument(
        "-p",
        "--parameter",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="an input of this run, instead of the notebook's value; may be repeated",
    ),
    _many("--only", "STEP", "run only these steps, with what they need"),
    _argument("--from", dest="from_step", metavar="STEP", help="run this step and all that depends on it"),
    _argument("--until", metavar="STEP", help="run no further than this step"),
    _argument("--reuse", nargs="?", const="", metavar="RUN", help="take unchanged steps from an earlier run"),
    _argument("--wait", action="store_true", help="wait in this cell until the run has ended"),
    AWAITED,
    _STORE,
)

_PARAMETER = _argument(
    "-p",
    "--parameter",
    dest="parameters",
    nargs=2,
    action="append",
    default=[],
    metavar=("NAME", "VALUE"),
    help="an input that is to be another than it was; may be repeated",
)
RESUME_ARGUMENTS = (
    _argument("run", nargs="?", help="the run's id or its beginning; the newest run that can go on by default"),
    _PARAMETER,
    _argument("--wait", action="store_true", help="wait in this cell until the run has ended"),
    _argument("--force", action="store_true", help="take the run over although its owner seems to live"),
    AWAITED,
    _STORE,
)

FLOW_NAME_ARGUMENTS = (_argument("name", nargs="?", help="the flow's name; the notebook's flow by default"),)
RUN_ID_ARGUMENTS = (_argument("run", nargs="?", help="the run's id or its beginning; the newest run by default"),)
SHOW_ARGUMENTS = (*RUN_ID_ARGUMENTS, _STORE)
CANCEL_ARGUMENTS = (*RUN_ID_ARGUMENTS, _argument("--reason", default="", metavar="TEXT", help="why, for the record"))
WHY_ARGUMENTS = (
    _argument("step", help="the step's name"),
    _argument("--run", metavar="RUN", help="in this run instead of the newest of the flow"),
    _STORE,
)
FORK_ARGUMENTS = (
    _argument("run", help="the run's id or its beginning"),
    _argument("--from", dest="from_step", metavar="STEP", required=True, help="the first step that runs again"),
    _PARAMETER,
    _argument("--wait", action="store_true", help="wait in this cell until the run has ended"),
    AWAITED,
    _STORE,
)
REPLAY_ARGUMENTS = (
    _argument("run", help="the run's id or its beginning"),
    _argument("--verify", action="store_true", help="run every body again, and name each value that differs"),
    _argument("--bind", action="store_true", help="give the run's values to the notebook, under their names"),
    _argument("--trust", action="store_true", help="load values that may run code, of a run that was imported"),
    _STORE,
)
MIGRATE_ARGUMENTS = (
    _argument("action", choices=["plan", "apply", "undo"], help="what to do"),
    _argument("run", help="the run's id or its beginning; for undo, the run that the migration made"),
    _STORE,
)
DIFF_ARGUMENTS = (
    _argument("before", help="a run's id or its beginning"),
    _argument("after", help="another run's"),
    _STORE,
)
RUNS_ARGUMENTS = (
    _argument("--flow", metavar="NAME", help="only runs of this flow"),
    _argument("--state", metavar="STATE", help="only runs in this state"),
    _argument("--limit", type=int, default=20, metavar="N", help="how many, newest first"),
    _STORE,
)

COMMANDS: Mapping[str, tuple[Argument, ...]] = {
    "%%szal_step": STEP_ARGUMENTS,
    "%%szal_rollback": ROLLBACK_ARGUMENTS,
    "%szal_flow": FLOW_ARGUMENTS,
    "%szal_run": RUN_ARGUMENTS,
    "%szal_dag": FLOW_NAME_ARGUMENTS,
    "%szal_status": RUN_ID_ARGUMENTS,
    "%szal_runs": RUNS_ARGUMENTS,
    "%szal_show": SHOW_ARGUMENTS,
    "%szal_resume": RESUME_ARGUMENTS,
    "%szal_cancel": CANCEL_ARGUMENTS,
    "%szal_why": WHY_ARGUMENTS,
    "%szal_fork": FORK_ARGUMENTS,
    "%szal_replay": REPLAY_ARGUMENTS,
    "%szal_diff": DIFF_ARGUMENTS,
    "%szal_migrate": MIGRATE_ARGUMENTS,
}
