"""What the values of a run looked like, beside what its steps showed themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from szal_nb.errors import SzalError
from szal_nb.model.event import Event, StepCompleted, StepOutput, StepStarted
from szal_nb.model.value import Output, ValueRef, shown_name
from szal_nb.store.runs import RunStore

Load = Callable[[ValueRef], Any]
_PICTURES = ("image/", "application/vnd.plotly.", "application/vnd.vega")


def pictures_of(refs: Sequence[ValueRef], outputs: Sequence[Output], load: Load) -> tuple[Output, ...]:
    """The figures and charts among values, as outputs; none if the step has shown pictures itself.

    One whose picture is not in the store any more is left out.
    """
    if any(kind.startswith(_PICTURES) for output in outputs for kind in output.data):
        return ()
    found = []
    for digest, ref in {ref.shown: ref for ref in reversed(refs) if ref.shown is not None}.items():
        try:
            data = load(ValueRef(name=shown_name(ref.name), hash=digest, format="json"))
        except SzalError:
            continue
        found.append(Output(type="display_data", data={"text/plain": f"<{ref.name}: {ref.type}>", **data}))
    return tuple(reversed(found))


def with_pictures(events: Sequence[Event], load: Load) -> list[Event]:
    """The events of a run as if each step had also shown the figures that it gave."""
    told: list[Event] = []
    outputs: dict[str, list[Output]] = {}
    for event in events:
        if isinstance(event, StepStarted):
            outputs.pop(event.step, None)
        elif isinstance(event, StepOutput):
            outputs.setdefault(event.step, []).extend(event.items)
        elif isinstance(event, StepCompleted):
            pictures = pictures_of(event.values, outputs.get(event.step, ()), load)
            if pictures:
                told.append(StepOutput(at=event.at, step=event.step, attempt=event.attempt, items=pictures))
        told.append(event)
    return told


def recorded_pictures(
    store: Path | None, run_id: str, refs: Sequence[ValueRef], outputs: Sequence[Output]
) -> tuple[Output, ...]:
    """`pictures_of` values of a run of a store; none where no record is kept."""
    if store is None or all(ref.shown is None for ref in refs):
        return ()
    with RunStore.open(store, read_only=True) as record:
        return pictures_of(refs, outputs, record.loader(run_id).load)
