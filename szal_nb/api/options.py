"""The options of a function step in Python's spelling, made into a step: times as text, names in any form."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import FunctionType
from typing import Any, TypeVar

from szal_nb.errors import InvalidFlow, InvalidStep
from szal_nb.model.duration import parse_duration
from szal_nb.model.flow import RollbackOn
from szal_nb.model.step import (
    Backoff,
    Compensation,
    Executor,
    MapMode,
    OnConditionError,
    OnError,
    RetryPolicy,
    Step,
    StepKind,
    Trigger,
)

_E = TypeVar("_E", bound=StrEnum)
# What options that are taken as they are may be: their kinds, and that in words.
_TEXT, _WHOLE, _NUMBER, _YES_NO = (
    ((str,), "text"),
    ((int,), "a whole number"),
    ((int, float), "a number"),
    (
        (bool,),
        "True or False",
    ),
)
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("when", "approve", "parent"), _TEXT),
    **dict.fromkeys(("retries", "max_parallel", "priority"), _WHOLE),
    **dict.fromkeys(("cache", "once", "strict"), _YES_NO),
    "jitter": _NUMBER,
}
_MAY_LACK = ("when", "approve", "parent", "max_parallel")
_CHOICES = ("on_condition_error", "map_mode", "map_errors", "trigger", "on_error", "executor", "needs")
_LISTS = ("after", "tags", "out", "reads", "changes", "pure", "map", "requires")
_RETRY = ("retries", "delay", "backoff", "max_delay", "jitter", "retry_on", "no_retry_on")


def function_step(function: Callable[..., Any], name: str | None = None, **options: Any) -> Step:
    """The step that a function makes; `options` are the step flags of a cell, in Python's spelling.

    Times are seconds or text such as "30s". Raises InvalidStep for an unknown option or value.
    """
    step = name or function.__name__
    if not isinstance(function, FunctionType):
        raise InvalidStep(step, f"{function!r} is not a plain function.")
    _check(step, options, ("timeout", "timeout_total", *_RETRY, *_CHOICES, *_LISTS, *_KINDS), "a step")
    retry = _retry(step, options)
    fields: dict[str, Any] = {
        "timeout_s": seconds(step, "timeout", options.pop("timeout", None)),
        "timeout_total_s": seconds(step, "timeout_total", options.pop("timeout_total", None)),
        "on_condition_error": _choice(
            step, "on_condition_error", OnConditionError, options.pop("on_condition_error", OnConditionError.FAIL)
        ),
        "map_mode": _choice(step, "map_mode", MapMode, options.pop("map_mode", MapMode.ZIP)),
        "map_errors": str(options.pop("map_errors", "fail")),
        "trigger": _choice(step, "trigger", Trigger, options.pop("trigger", Trigger.ALL)),
        "on_error": _choice(step, "on_error", OnError, options.pop("on_error", OnError.FAIL)),
        "executor": _executor(step, options.pop("executor", None)),
        "needs": tuple(dict(options.pop("needs", {})).items()),
    }
    for field in _LISTS:
        fields[field] = _names(options.pop(field, ()))
    fields |= {field: value for field, value in options.items() if field in _KINDS}
    return Step(name=step, kind=StepKind.FUNCTION, source=_source(function), retry=retry, **fields)


def _retry(step: str, options: dict[str, Any]) -> RetryPolicy:
    return RetryPolicy(
        retries=options.pop("retries", 0),
        delay_s=seconds(step, "delay", options.pop("delay", 1.0)) or 0.0,
        backoff=_choice(step, "backoff", Backoff, options.pop("backoff", Backoff.FIXED)),
        max_delay_s=seconds(step, "max_delay", options.pop("max_delay", None)),
        jitter=options.pop("jitter", 0.0),
        retry_on=_names(options.pop("retry_on", ())),
        no_retry_on=_names(options.pop("no_retry_on", ())),
    )


def compensation(step: str, function: Callable[..., Any], **options: Any) -> Compensation:
    """What undoes `step`; `options` are those of a retry, and `timeout`."""
    if not isinstance(function, FunctionType):
        raise InvalidStep(step, f"its rollback {function!r} is not a plain function.")
    _check(step, options, ("timeout", *_RETRY), "a rollback")
    return Compensation(
        kind=StepKind.FUNCTION,
        source=_source(function),
        retry=_retry(step, options),
        timeout_s=seconds(step, "timeout", options.pop("timeout", None)),
    )


def _check(step: str, options: Mapping[str, Any], known: Sequence[str], whose: str) -> None:
    """Refuses an option that is not known, and a value of a kind that it cannot have."""
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            raise InvalidStep(
                step, f"{option!r} is not an option of {whose}.", f"Did you mean {near[0]}?" if near else ""
            )
        kinds, words = _KINDS.get(option, ((object,), ""))
        is_fitting = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds or object in kinds)
        if not is_fitting and not (value is None and option in _MAY_LACK):
            raise InvalidStep(step, f"{option}={value!r} is refused.", f"It must be {words}.")
        if option in (*_LISTS, "retry_on", "no_retry_on"):
            try:
                _names(value)
            except TypeError:
                raise InvalidStep(
                    step, f"{option}={value!r} is refused.", "Write a name, or several in a list."
                ) from None


def rollback_on(flow: str, value: str | Sequence[str]) -> tuple[RollbackOn, ...]:
    """Which ends of a run are undone: any of failure, cancel and timeout, or none."""
    try:
        return tuple(RollbackOn(name) for name in _names(value))
    except ValueError:
        raise InvalidFlow(f"Flow {flow!r}: rollback_on={value!r} is not of {', '.join(RollbackOn)}.") from None


def limits(value: Mapping[str, int | str] | None) -> tuple[tuple[str, str], ...]:
    """Pairs of a tag and a limit from `{"api": 3, "web": "10/s"}`."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidFlow(f"limits={value!r} is refused; write a mapping of tags, such as {{'api': 3, 'web': '10/s'}}.")
    return tuple((str(tag), str(limit)) for tag, limit in (value or {}).items())


def _source(function: FunctionType) -> str:
    """The function's text, or as much of it as can be known without a file: its signature."""
    if function.__name__ == "<lambda>":
        # Its text is a piece of a line that is about something else.
        return f"def step{inspect.signature(function)}: ..."
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        text = ""
    return text if _is_of(text, function) else f"def {function.__name__}{inspect.signature(function)}: ..."


def _is_of(text: str, function: FunctionType) -> bool:
    """Whether a text defines this function: a file that was edited since it was imported has others at its lines."""
    try:
        (made,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    code, wanted = inspect.unwrap(function).__code__, made.args
    names = [argument.arg for argument in (*wanted.posonlyargs, *wanted.args, *wanted.kwonlyargs)]
    return (made.name, names) == (code.co_name, list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]))


def seconds(step: str, option: str, value: float | str | None) -> float | None:
    """Seconds from a number or a text such as "30s"; InvalidStep, naming the option, for anything else."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise InvalidStep(step, f"{option}={value!r}: {error}.") from None


def _choice(step: str, option: str, kind: type[_E], value: Any) -> _E:
    try:
        return kind(value)
    except ValueError:
        raise InvalidStep(step, f"{option}={value!r} is not one of {', '.join(kind)}.") from None


def _executor(step: str, value: Any) -> Executor | None:
    return None if value is None else _choice(step, "executor", Executor, value)


def _names(value: Any) -> tuple[str, ...]:
    """A tuple of names from a name, a comma-separated text, a class, or several of these."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, type):
        return (value.__name__,)
    return tuple(name for part in value for name in _names(part))
