"""Runs of a store as text for people and as JSON documents."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from szal_nb.analysis.doubt import doubted
from szal_nb.app.printing import as_table
from szal_nb.model.duration import format_duration
from szal_nb.model.state import RunSnapshot, RunState, StepSnapshot, StepState
from szal_nb.model.value import ErrorInfo, ValueRef, for_people, rebuilt_on_resume, tied_text
from szal_nb.store.runs import StoredRun
from szal_nb.widget.wording import elements_failed_said


def run_json(run: StoredRun, snapshot: RunSnapshot | None = None) -> dict[str, Any]:
    """A run as JSON; with its steps, if its snapshot is given. `shown_state` is the stored state, or crashed."""
    document: dict[str, Any] = {
        "id": run.id,
        "flow": run.flow,
        "version": run.version,
        "state": run.state.value,
        "shown_state": run.shown_state,
        "reason": run.reason,
        "created_at": _iso(run.created_at),
        "started_at": _iso(run.started_at),
        "ended_at": _iso(run.ended_at),
        "duration_s": duration_of(run),
        "notebook": run.notebook_path,
        "output": run.output_path,
        "params": run.params,
        "from_run": run.from_run,
    }
    if snapshot is not None:
        document["inputs"] = [value_json(ref) for ref in for_people(snapshot.inputs)]
        document["steps"] = [step_json(step) for step in snapshot.steps.values()]
    return document


def step_json(step: StepSnapshot) -> dict[str, Any]:
    """A step of a run as JSON."""
    return {
        "name": step.name,
        "state": step.state.value,
        "origin": step.origin,
        "reason": step.reason,
        "duration_s": step.duration_s,
        "attempts": [
            {
                "number": attempt.number,
                "state": attempt.state,
                "started_at": _iso(attempt.started_at),
                "ended_at": _iso(attempt.ended_at),
                "error": _error_json(attempt.error),
            }
            for attempt in step.attempts
        ],
        "error": _error_json(step.error),
        "progress": None if step.done is None else {"done": step.done, "total": step.total, "note": step.note},
        "answer": None if step.answer is None else json.loads(step.answer),
        "failed_elements": [
            {"position": end.position, "attempts": end.attempts, "error": end.error} for end in step.failed_elements
        ],
        "rollback": {"attempts": step.rollback_attempts, "error": _error_json(step.rollback_error)}
        if step.rollback_attempts
        else None,
        "rebuilds_on_resume": bool(rebuilt_on_resume(step.values)),
        "values": [value_json(ref) for ref in for_people(step.values)],
    }


def value_json(ref: ValueRef) -> dict[str, Any]:
    """What the record says of a value, as JSON."""
    return {
        "name": ref.name,
        "type": ref.type,
        "hash": ref.hash,
        "format": ref.format,
        "size": ref.size,
        "summary": ref.summary,
        "live": ref.live,
        "needed": ref.needed,
        "unchecked": list(ref.unchecked),
        "ties": [{"step": step, "name": name} for step, name in ref.ties],
    }


def _error_json(error: ErrorInfo | None) -> dict[str, Any] | None:
    return None if error is None else {"type": error.type, "message": error.message, "line": error.line}


def runs_table(runs: list[StoredRun]) -> str:
    """Runs, one a line."""
    rows = [
        (
            run.id,
            run.flow,
            run.shown_state,
            _clock(run.created_at),
            _duration_text(duration_of(run)),
            run.notebook_path or "",
        )
        for run in runs
    ]
    return as_table(("RUN", "FLOW", "STATE", "CREATED", "TOOK", "NOTEBOOK"), rows)


def run_text(run: StoredRun, snapshot: RunSnapshot, *, is_of_notebook: bool = True) -> str:
    """A run with its steps, their values and errors; `is_of_notebook`: the store has the notebook that it is of."""
    lines = [f"Run {run.id} of {run.flow} version {run.version}: {run.shown_state}"]
    facts = {
        "reason": run.reason,
        "from run": run.from_run or "",
        "created": _clock(run.created_at),
        "took": _duration_text(duration_of(run)),
        "notebook": run.notebook_path or "",
        "output": run.output_path or "",
        "params": ", ".join(f"{name}={value!r}" for name, value in run.params.items()),
        "inputs": ", ".join(_value_text(ref) for ref in for_people(snapshot.inputs)),
    }
    lines += [f"  {name:<9} {fact}" for name, fact in facts.items() if fact]
    lines += ["", steps_table(snapshot)]
    for step in snapshot.steps.values():
        if step.error is not None and step.state is not StepState.COMPLETED:
            place = f" (line {step.error.line} of its cell)" if step.error.line is not None else ""
            lines += ["", f"{step.name}: {step.error}{place}"]
        if step.failed_elements:
            first, said = step.failed_elements[0], elements_failed_said(len(step.failed_elements))
            lines += ["", f"{step.name}: {said}, the first was number {first.position}: {first.error}"]
        if step.rollback_error is not None:
            lines += ["", f"{step.name}: its rollback failed: {step.rollback_error}"]
    ways = ways_on(run, snapshot, is_of_notebook=is_of_notebook)
    if ways:
        lines += ["", *(["Its process is gone."] if run.is_crashed else ()), *ways]
    return "\n".join(lines)


def steps_table(snapshot: RunSnapshot) -> str:
    """The steps of a run with their values, or why they have none."""
    rows = [
        (
            step.name,
            step.state.value + (f" ({step.origin})" if step.origin not in (None, "ran") else ""),
            _duration_text(step.duration_s),
            str(len(step.attempts)),
            ", ".join(_value_text(ref) for ref in for_people(step.values)) or step.reason or _elements_text(step),
        )
        for step in snapshot.steps.values()
    ]
    return as_table(("STEP", "STATE", "TOOK", "ATTEMPTS", "VALUES"), rows)


def ways_on(run: StoredRun, snapshot: RunSnapshot, *, is_of_notebook: bool = True) -> list[str]:
    """What a person can do about a run that did not complete and that nobody runs, as commands."""
    if run.is_owned or run.state in {RunState.COMPLETED, RunState.ROLLED_BACK}:
        return []
    if doubted(snapshot) is not None:
        return [f"To begin anew: {_anew(run)}"]
    waiting = [step.name for step in snapshot.steps.values() if step.state is StepState.WAITING]
    lines = [f"To answer: szal approve {run.id} {step} [--reject]" for step in waiting]
    then = "Then" if waiting else "To"
    if not is_of_notebook:
        return [*lines, f"{then} go on, in the script that started it: szal.resume(flow, {run.id!r})"]
    lines.append(f"{then} go on: szal resume {run.id}")
    # What a resume runs is the notebook as it was: a step whose code is wrong fails again.
    if run.notebook_path and any(step.state is StepState.FAILED for step in snapshot.steps.values()):
        lines.append(f"After a change of the notebook: {_anew(run)}")
    return lines


def _anew(run: StoredRun) -> str:
    """The command that runs the notebook with the same parameters, and takes from the run what has not changed."""
    notebook = shlex.quote(Path(run.notebook_path).name) if run.notebook_path else "NB"
    return " ".join(("szal run", notebook, *map(_parameter, run.params.items()), f"--reuse {run.id}"))


def _parameter(given: tuple[str, Any]) -> str:
    """How a parameter is given on a command line."""
    name, value = given
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"-p {name} {shlex.quote(text)}"


def duration_of(run: StoredRun) -> float | None:
    """Seconds from the run's start to its end; None before both are known."""
    if run.started_at is None or run.ended_at is None:
        return None
    # Clocks are set back.
    return max(0.0, run.ended_at - run.started_at)


def _value_text(ref: ValueRef) -> str:
    if ref.live is not None:
        return f"{ref.name} (live{', rebuilds on resume' if ref.needed else ''}: {ref.live})"
    text = f"{ref.name}={ref.summary}" if ref.summary and len(ref.summary) <= 40 else f"{ref.name}: {ref.type}"
    return f"{text} (rebuilds on resume: it shares parts with {tied_text(ref)})" if ref.ties else text


def _elements_text(step: StepSnapshot) -> str:
    """How much of a mapped step that has not completed is on record."""
    count = 0 if step.state is StepState.COMPLETED else len(step.kept_elements)
    return f"{count:,} element{'s' * (count != 1)} on record" if count else ""


def _duration_text(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
