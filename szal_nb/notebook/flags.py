"""The command lines of a notebook as data: `%%szal_step`, `%%szal_rollback`, `%szal_flow`, `%szal_run` and the rest.

The table of arguments makes the plain parser used here and by the reader, and the decorators of the magics. This
module knows nothing of IPython.
"""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from szal_nb.errors import DefinitionError, InvalidFlow
from szal_nb.model.duration import parse_duration
from szal_nb.model.flow import FlowMode, Guard, RollbackOn
from szal_nb.model.step import (
    Backoff,
    Compensation,
    Executor,
    MapMode,
    OnConditionError,
    OnError,
    RetryPolicy,
    Step,
    Trigger,
)
from szal_nb.notebook.arguments import AWAITED, COMMANDS


class InvalidLine(DefinitionError):
    """A command line of a notebook is refused; `advice` says what to write instead."""

    def __init__(self, command: str, problem: str, advice: str = "") -> None:
        super().__init__(command, problem, advice)
        self.command = command
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.command}: {self.problem}" + (f" {self.advice}" if self.advice else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedStep:
    """A step's line: its name and the fields of `model.step.Step` that the flags set."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    is_executed: bool = False

    def step(self, **more: Any) -> Step:
        """The step, with the fields that are not on its line (`source`, `raw`, `cell_id`, …) from `more`."""
        return Step(name=self.name, **{**self.fields, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRollback:
    """A rollback's line: the step that it undoes, and the fields of `model.step.Compensation` that the flags set."""

    step: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def compensation(self, **more: Any) -> Compensation:
        """The compensation, with the fields that are not on its line (`source`, `raw`, `cell_id`) from `more`."""
        return Compensation(**{**self.fields, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFlow:
    """A flow's line: its name and the fields of `model.flow.FlowDefinition` that the flags set."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRun:
    """A run's line. `parameters` are as written, not yet typed; `reuse` is "" for the newest fitting run."""

    flow: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] = ()
    from_step: str | None = None
    until: str | None = None
    reuse: str | None = None
    is_waited: bool = False
    is_awaited: bool = False
    store: str | None = None


class _LineParser(argparse.ArgumentParser):
    """A parser that raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        problem = message[:1].upper() + message[1:].rstrip(".") + "."
        raise InvalidLine(self.prog, problem, f"`{self.prog} -h` shows what it takes.")


@lru_cache
def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of one of `COMMANDS`."""
    parser = _LineParser(prog=command, add_help=False, allow_abbrev=False)
    for argument in COMMANDS[command]:
        parser.add_argument(*argument.names, **argument.keywords)
    return parser


def flags_of(command: str) -> tuple[str, ...]:
    """Every flag of one of `COMMANDS` that people write.

    >>> flags_of("%szal_resume")
    ('-p', '--parameter', '--wait', '--force', '--store')
    """
    return tuple(
        name
        for argument in COMMANDS[command]
        for name in argument.names
        if name.startswith("-") and argument.keywords.get("help") != argparse.SUPPRESS
    )


def parse_line(command: str, line: str) -> argparse.Namespace:
    """The arguments on `line`, which follows the command's name; `InvalidLine` names the nearest flag."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidLine(command, f"{error}.", "A text in quotes must end with the quote it began with.") from None
    known = flags_of(command)
    for word in words:
        flag = word.partition("=")[0]
        if re.fullmatch(r"--?[A-Za-z][\w-]*", flag) and flag not in known and flag not in AWAITED.names:
            near = difflib.get_close_matches(flag, known, n=1, cutoff=0.4)
            advice = f"Did you mean {near[0]}?" if near else f"`{command} -h` shows what it takes."
            raise InvalidLine(command, f"There is no flag {flag}.", advice)
    return parser_of(command).parse_args(words)


def parse_step_line(line: str) -> ParsedStep:
    """What stands behind `%%szal_step` or `#| step:`.

    >>> parse_step_line("load --retries 3 --timeout 1m --tag io").fields
    {'retry': RetryPolicy(retries=3, delay_s=1.0, backoff=<Backoff.FIXED: 'fixed'>, max_delay_s=None, jitter=0.0,
    retry_on=(), no_retry_on=()), 'timeout_s': 60.0, 'tags': ('io',)}
    """
    found = vars(parse_line("%%szal_step", line))
    name, is_executed = found.pop("name"), found.pop("execute")
    return ParsedStep(name=name, fields=step_fields(_set_options(found)), is_executed=is_executed)


def parse_rollback_line(line: str) -> ParsedRollback:
    """What stands behind `%%szal_rollback` or `#| rollback:`.

    >>> parse_rollback_line("load --timeout 1m")
    ParsedRollback(step='load', fields={'timeout_s': 60.0})
    """
    found = vars(parse_line("%%szal_rollback", line))
    step = found.pop("step")
    fields = step_fields(_set_options(found))
    # A step checks what a retry may be; so it is the same for what undoes it.
    Step(name=step, **fields)
    return ParsedRollback(step=step, fields=fields)


def _set_options(found: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given. Not by equality: 0 equals False."""
    return {key: value for key, value in found.items() if value is not None and value is not False and value != []}


def step_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Step` that flags in their Python spelling (`max_delay="60s"`, `after=["a"]`) stand for.

    >>> step_fields({"timeout": "60s", "after": "load"})
    {'timeout_s': 60.0, 'after': ('load',)}
    """
    unknown = [key for key in options if key not in _RETRY_FIELDS and key not in _STEP_FIELDS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*_RETRY_FIELDS, *_STEP_FIELDS], n=1, cutoff=0.4)
        raise InvalidLine("step", f"There is no option {unknown[0]!r}.", f"Did you mean {near[0]}?" if near else "")
    try:
        retry = {_RETRY_FIELDS[key][0]: _RETRY_FIELDS[key][1](options[key]) for key in options if key in _RETRY_FIELDS}
        rest = {_STEP_FIELDS[key][0]: _STEP_FIELDS[key][1](options[key]) for key in options if key in _STEP_FIELDS}
    except (TypeError, ValueError) as error:
        raise InvalidLine("step", f"{error}.") from error
    return {"retry": RetryPolicy(**retry), **rest} if retry else rest


def parse_flow_line(line: str) -> ParsedFlow:
    """What stands behind `%szal_flow`.

    >>> parse_flow_line("sales --version 2 --max-parallel 4")
    ParsedFlow(name='sales', fields={'version': 2, 'max_parallel': 4})
    """
    found = vars(parse_line("%szal_flow", line))
    fields = {
        _FLOW_FIELDS[key][0]: _FLOW_FIELDS[key][1](found[key]) for key in _FLOW_FIELDS if found[key] not in (None, [])
    }
    if not found["name"].strip():
        raise InvalidFlow("A flow needs a name: %szal_flow NAME.")
    return ParsedFlow(name=found["name"], fields=fields)


def parse_run_line(line: str) -> ParsedRun:
    """What stands behind `%szal_run`.

    >>> parse_run_line("-p rows 5 --wait")
    ParsedRun(flow=None, parameters=(('rows', '5'),), only=(), from_step=None, until=None, reuse=None,
    is_waited=True, is_awaited=False, store=None)
    """
    found = parse_line("%szal_run", line)
    return ParsedRun(
        flow=found.name,
        parameters=tuple((name, value) for name, value in found.parameters),
        only=_words(found.only),
        from_step=found.from_step,
        until=found.until,
        reuse=found.reuse,
        is_waited=found.wait,
        is_awaited=found.awaited,
        store=found.store,
    )


_COMMENT = re.compile(r"#\|\s*(?P<what>step|rollback)\s*:(?P<line>.*)")


@dataclass(frozen=True, slots=True)
class Spelled:
    """A cell that is a step or a rollback: `command` is `%%szal_step` or `%%szal_rollback`, `line` what follows it.

    `body` keeps the cell's line numbers less one.
    """

    command: str
    line: str
    body: str


def comment_of(source: str) -> tuple[str, str] | None:
    r"""The command and the line of a cell that begins with `#| step:` or `#| rollback:`; None for any other cell.

    >>> comment_of("#| step: load --retries 3\nx = 1")
    ('%%szal_step', 'load --retries 3')
    """
    match = _COMMENT.match(source.partition("\n")[0])
    return (f"%%szal_{match['what']}", match["line"].strip()) if match else None


def spelled_in(source: str) -> Spelled | None:
    r"""What a cell spells, by its magic or by a comment in its first line; None for a cell that is neither.

    >>> spelled_in("%%szal_step load\nx = 1")
    Spelled(command='%%szal_step', line='load', body='x = 1')
    """
    body = source.partition("\n")[2]
    if (comment := comment_of(source)) is not None:
        return Spelled(*comment, body)
    # The cell magic may stand below blank lines, as IPython allows.
    head, _, body = source.lstrip("\n").partition("\n")
    match = re.fullmatch(r"(?P<command>%%szal_(?:step|rollback))(?:\s+(?P<line>.*))?", head.rstrip())
    return Spelled(match["command"], (match["line"] or "").strip(), body) if match else None


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names given one by one, in lists or joined by commas, as one tuple."""
    texts = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{given!r} is not a list of names")
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())


def _error_names(given: Any) -> tuple[str, ...]:
    """Names of exceptions; in Python the classes themselves may stand for them."""
    items = given if isinstance(given, list | tuple) else [given]
    return tuple(name for item in items for name in ((item.__name__,) if isinstance(item, type) else _words(item)))


def _sources(given: Mapping[str, str] | Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = given.items() if isinstance(given, Mapping) else given
    return tuple((str(name), str(source)) for name, source in pairs)


_RETRY_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "retries": ("retries", int),
    "delay": ("delay_s", parse_duration),
    "backoff": ("backoff", Backoff),
    "max_delay": ("max_delay_s", parse_duration),
    "jitter": ("jitter", float),
    "retry_on": ("retry_on", _error_names),
    "no_retry_on": ("no_retry_on", _error_names),
}
_STEP_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "timeout": ("timeout_s", parse_duration),
    "when": ("when", str),
    "timeout_total": ("timeout_total_s", parse_duration),
    "on_condition_error": ("on_condition_error", OnConditionError),
    "map_mode": ("map_mode", MapMode),
    "map_errors": ("map_errors", str),
    "priority": ("priority", int),
    "requires": ("requires", _words),
    "trigger": ("trigger", Trigger),
    "map": ("map", _words),
    "max_parallel": ("max_parallel", int),
    "on_error": ("on_error", OnError),
    "approve": ("approve", str),
    "cache": ("cache", bool),
    "once": ("once", bool),
    "strict": ("strict", bool),
    "executor": ("executor", Executor),
    "parent": ("parent", str),
    "tag": ("tags", _words),
    "tags": ("tags", _words),
    "after": ("after", _words),
    "needs": ("needs", _sources),
    "out": ("out", _words),
    "reads": ("reads", _words),
    "changes": ("changes", _words),
    "pure": ("pure", _words),
}
_FLOW_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "version": ("version", int),
    "mode": ("mode", FlowMode),
    "max_parallel": ("max_parallel", int),
    "executor": ("executor", Executor),
    "timeout": ("timeout_s", float),
    "guard": ("guard", Guard),
    "limit": ("limits", tuple),
    "rollback_on": ("rollback_on", lambda given: tuple(RollbackOn(name) for name in given)),
}
