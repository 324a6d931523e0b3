"""Two runs beside each other: what differs in code, inputs, values, states and timings. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from szal_nb.analysis.fingerprint import difference
from szal_nb.analysis.reuse import Past, refs_by_name
from szal_nb.model.duration import format_duration
from szal_nb.model.graph import DISPLAY
from szal_nb.model.state import StepSnapshot, StepState
from szal_nb.model.value import ValueRef, is_about_the_process, is_class

# So many changed lines of a body are told to a person; JSON has all.
_TOLD_LINES = 30


# What differs inside of two values, in words: one for each place. Values are read by who knows how.
Look = Callable[[ValueRef | None, ValueRef | None], tuple[str, ...]]


def _looks_at_nothing(_before: ValueRef | None, _after: ValueRef | None) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDiff:
    """A value that is not the same in both runs. None where a run does not have it.

    `inside` are the places where the two differ, in words, as far as they were looked into.
    """

    name: str
    before: ValueRef | None
    after: ValueRef | None
    inside: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {describe_value(self.before)} → {describe_value(self.after)}"

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "before": _value_json(self.before),
            "after": _value_json(self.after),
            "inside": list(self.inside),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDiff:
    """A step in two runs; None for the states of a run that does not have it.

    `code` names what differs in it, `lines` are those of its body that do, after "- " or "+ ".
    """

    step: str
    states: tuple[str | None, str | None]
    origins: tuple[str | None, str | None]
    durations_s: tuple[float | None, float | None]
    code: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    values: tuple[ValueDiff, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether code, values and state are the same; where it came from and how long it took does not count."""
        return not self.code and not self.values and self.states[0] == self.states[1]

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "step": self.step,
            "same": self.is_same,
            "states": list(self.states),
            "origins": list(self.origins),
            "durations_s": list(self.durations_s),
            "code": list(self.code),
            "lines": list(self.lines),
            "values": [value.json() for value in self.values],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """What differs between two runs. `params` and `inputs` hold only what differs, `steps` all steps of both."""

    runs: tuple[str, str]
    versions: tuple[int, int]
    states: tuple[str, str]
    params: Mapping[str, tuple[Any, Any]]
    inputs: tuple[ValueDiff, ...]
    steps: tuple[StepDiff, ...]

    @property
    def is_same(self) -> bool:
        """Whether parameters, inputs, code, values and states are the same."""
        return not self.params and not self.inputs and all(step.is_same for step in self.steps)

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "runs": list(self.runs),
            "same": self.is_same,
            "versions": list(self.versions),
            "states": list(self.states),
            "params": {name: list(pair) for name, pair in self.params.items()},
            "inputs": [value.json() for value in self.inputs],
            "steps": [step.json() for step in self.steps],
        }

    def __str__(self) -> str:
        lines = [f"Run {self.runs[0]} → run {self.runs[1]}"]
        if self.versions[0] != self.versions[1]:
            lines.append(f"  version    {self.versions[0]} → {self.versions[1]}")
        if self.states[0] != self.states[1]:
            lines.append(f"  state      {self.states[0]} → {self.states[1]}")
        lines += [f"  parameter  {name}: {_given(a)} → {_given(b)}" for name, (a, b) in self.params.items()]
        lines += _told_values("  input     ", self.inputs)
        for step in self.steps:
            took = f"  ({_took(step.durations_s[0])} → {_took(step.durations_s[1])})"
            lines.append(f"  {'=' if step.is_same else '≠'} {step.step}{took}")
            if step.states[0] != step.states[1]:
                lines.append(f"      state  {step.states[0] or 'absent'} → {step.states[1] or 'absent'}")
            lines += _told_code(step)
            lines += _told_values("      value ", step.values)
        if self.is_same:
            lines.append("  Same code, parameters, values and states.")
        return "\n".join(lines)


def _told_values(title: str, values: Iterable[ValueDiff]) -> list[str]:
    lines = []
    for value in values:
        lines.append(f"{title} {value}")
        lines += [f"{' ' * len(title)}   {place}" for place in value.inside]
    return lines


def _told_code(step: StepDiff) -> list[str]:
    """What differs of the code: lines of the body, and the names of whatever else belongs to it."""
    shown = step.lines[:_TOLD_LINES]
    more = len(step.lines) - len(shown)
    lines = [*shown, *([f"… and {more} line{'s' * (more != 1)} more"] if more else [])]
    others = [name for name in step.code if name != "code" or not lines]
    return [f"      {'' if place else 'code':<6} {text}" for place, text in enumerate((*lines, *others))]


def changed_lines(before: str, after: str) -> tuple[str, ...]:
    r"""The lines that only one of two texts has, in their order.

    >>> changed_lines("x = 1\ny = 2", "x = 1\ny = 3")
    ('- y = 2', '+ y = 3')
    """
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    # The first two lines name the texts; those that say where a change begins are no change.
    return tuple(f"{line[0]} {line[1:]}" for line in islice(found, 2, None) if not line.startswith("@@"))


def _given(parameter: Any) -> str:
    return "not given" if parameter is None else repr(parameter)


def compare_runs(
    before: Past,
    after: Past,
    params: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    look: Look = _looks_at_nothing,
) -> RunDiff:
    """What differs between two runs, `before` first.

    `params` are those that the runs were started with; `look` tells what differs inside of values.
    """
    names = dict.fromkeys((*before.snapshot.steps, *after.snapshot.steps))
    absent = object()
    differing = {
        name: (params[0].get(name), params[1].get(name))
        for name in dict.fromkeys((*params[0], *params[1]))
        if params[0].get(name, absent) != params[1].get(name, absent)
    }
    return RunDiff(
        runs=(before.run_id, after.run_id),
        versions=(before.snapshot.version, after.snapshot.version),
        states=(before.snapshot.state.value, after.snapshot.state.value),
        params=differing,
        inputs=value_diffs(
            {ref.name: ref for ref in before.snapshot.inputs}, {ref.name: ref for ref in after.snapshot.inputs}, look
        ),
        steps=tuple(_compare_step(name, before, after, look) for name in names),
    )


def _compare_step(name: str, before: Past, after: Past, look: Look) -> StepDiff:
    a, b = before.snapshot.steps.get(name), after.snapshot.steps.get(name)
    code: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    if a is not None and b is not None:
        code = difference(_parts(before, name), _parts(after, name))
        lines = changed_lines(_source(before, name), _source(after, name)) if "code" in code else ()
    return StepDiff(
        step=name,
        states=(_state(a), _state(b)),
        origins=(a.origin if a else None, b.origin if b else None),
        durations_s=(a.duration_s if a else None, b.duration_s if b else None),
        code=code,
        lines=lines,
        values=value_diffs(refs_by_name(a) if a else {}, refs_by_name(b) if b else {}, look),
    )


def _source(past: Past, step: str) -> str:
    return past.graph.node(step).step.source


def _parts(past: Past, step: str) -> dict[str, str]:
    """What the fingerprint is made of; of a record without fingerprints, the text itself."""
    node = past.graph.node(step)
    return dict(node.parts) or {"code": node.step.source}


def value_diffs(
    before: Mapping[str, ValueRef], after: Mapping[str, ValueRef], look: Look = _looks_at_nothing
) -> tuple[ValueDiff, ...]:
    """The values whose content is not the same. What cannot be compared is left out: what was live in both, classes."""
    found = []
    for name in dict.fromkeys((*before, *after)):
        if is_about_the_process(name):
            continue
        a, b = before.get(name), after.get(name)
        if (a is None or b is None or not _are_alike(a, b)) and (a.hash if a else None) != (b.hash if b else None):
            found.append(ValueDiff(name=name, before=a, after=b, inside=look(a, b)))
    return tuple(found)


def _are_alike(a: ValueRef, b: ValueRef) -> bool:
    """Whether two values are the same whatever their hashes are, or cannot be told apart."""
    is_live_in_both = a.hash is None and b.hash is None
    # A pickle of a figure is another one each time; what counts of it is how it looks.
    is_shown_alike = a.shown is not None and a.shown == b.shown
    return is_live_in_both or is_shown_alike or (is_class(a) and is_class(b))


def describe_value(ref: ValueRef | None) -> str:
    """A value in a few words: its content if that is short, else type and shape, with the beginning of its hash."""
    if ref is None:
        return "absent"
    if ref.hash is None:
        return f"live {ref.type}"
    shape = f" {'x'.join(map(str, ref.shape))}" if ref.shape else ""
    text = ref.summary if ref.summary and len(ref.summary) <= 60 else f"{ref.type}{shape}"
    return f"{text} [{ref.hash[:8]}]"


def verify_differences(record: Past, again: Past, look: Look = _looks_at_nothing) -> tuple[str, ...]:
    """What a second execution of the same run did not give again: one sentence for each value, naming it.

    `look` tells what differs inside of values.
    """
    found = []
    for name, before in record.snapshot.steps.items():
        after = again.snapshot.steps.get(name)
        if before.state is not StepState.COMPLETED:
            continue
        if after is None or after.state is not StepState.COMPLETED:
            found.append(f"{name}: it {_state(after) or 'is absent'} now, and completed then")
            continue
        found += [
            f"{name}.{value.name}: {describe_value(value.before)} in the record, {describe_value(value.after)} now"
            + (f" ({'; '.join(value.inside)})" if value.inside else "")
            for value in value_diffs(refs_by_name(before), refs_by_name(after), look)
            if value.name != DISPLAY or (value.before is not None and value.after is not None)
        ]
    return tuple(found)


def _state(step: StepSnapshot | None) -> str | None:
    return None if step is None else step.state.value


def _took(seconds: float | None) -> str:
    return "—" if seconds is None else format_duration(seconds)


def _value_json(ref: ValueRef | None) -> dict[str, Any] | None:
    if ref is None:
        return None
    shape = None if ref.shape is None else list(ref.shape)
    return {
        "type": ref.type,
        "hash": ref.hash,
        "shape": shape,
        "size": ref.size,
        "summary": ref.summary,
        "live": ref.live,
    }
