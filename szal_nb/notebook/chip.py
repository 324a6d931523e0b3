"""The one line that a cell shows when it has defined a step: what it reads from where, what it gives, and why."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from szal_nb.model.graph import Edge, EdgeKind, StepNode


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChip:
    """`reads` are pairs of a name and the step that gives it, "" for the notebook; `notes` are sentences."""

    name: str
    reads: Sequence[tuple[str, str]] = ()
    gives: Sequence[str] = ()
    flags: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        reads = ", ".join(f"{name} ← {step or 'notebook'}" for name, step in self.reads)
        parts = [
            f"step {self.name}",
            f"reads {reads}" if reads else "reads nothing",
            f"gives {', '.join(self.gives)}" if self.gives else "gives nothing",
            *self.flags,
        ]
        return "\n".join([" · ".join(parts), *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        reads = ", ".join(
            f"{_code(name)} <span style='opacity:.65'>← {html.escape(step or 'notebook')}</span>"
            for name, step in self.reads
        )
        gives = ", ".join(map(_code, self.gives))
        parts = [
            f"<b>{html.escape(self.name)}</b>",
            f"reads {reads}" if reads else "reads nothing",
            f"gives {gives}" if gives else "gives nothing",
            *(f"<span style='opacity:.75'>{html.escape(flag)}</span>" for flag in self.flags),
        ]
        return _framed(f"step {' · '.join(parts)}", self.notes, "#3b82c4")

    def bundle(self) -> dict[str, object]:
        """The content of a message that displays the chip."""
        return {"data": {"text/plain": repr(self), "text/html": self._repr_html_()}, "metadata": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackChip:
    """What a cell shows that undoes a step: `reads` are names of the step's inputs and values."""

    step: str
    reads: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        reads = f"reads {', '.join(self.reads)}" if self.reads else "reads nothing"
        return "\n".join([f"rollback of {self.step} · {reads}", *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        reads = f"reads {', '.join(map(_code, self.reads))}" if self.reads else "reads nothing"
        head = f"rollback of <b>{html.escape(self.step)}</b> · {reads}"
        return _framed(head, self.notes, "#77606a")


def rollback_chip_of(node: StepNode) -> RollbackChip:
    """The chip of what undoes this step."""
    return RollbackChip(step=node.step.name, reads=node.undo.reads if node.undo is not None else ())


def _framed(head: str, notes: Sequence[str], color: str) -> str:
    below = "".join(f"<div style='opacity:.75'>{html.escape(note)}</div>" for note in notes)
    frame = f"border-left:3px solid {color};padding:1px 8px;font-size:90%"
    return f"<div style='{frame}'><span>{head}</span>{below}</div>"


def chip_of(node: StepNode, edges: Iterable[Edge]) -> StepChip:
    """The chip of a step, from the edges that lead to it."""
    reasons = [edge.reason for edge in edges if edge.kind is not EdgeKind.DATA]
    return StepChip(
        name=node.step.name,
        reads=[(binding.name, binding.step or "") for binding in node.reads],
        gives=node.gives,
        flags=["awaits"] if node.is_async else [],
        notes=[*node.notes, *dict.fromkeys(filter(None, reasons))],
    )


def _code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>"
