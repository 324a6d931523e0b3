"""What is said of a name that a step reads and that is not there: where it may have gone, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from szal_nb.analysis.names import Read
from szal_nb.analysis.resolved import Known
from szal_nb.errors import InvalidStep
from szal_nb.model.step import Step


def missing(step: Step, read: Read, known: Known) -> InvalidStep:
    """The refusal of a step that reads a name which nothing above it gives."""
    name = read.name
    where = f"line {read.line} reads" if read.line else f"{read.via} names"
    through = f" (through {read.via}())" if read.via and not read.via.startswith("--") else ""
    if name in known.deleted:
        other, line = known.deleted[name]
        return InvalidStep(step.name, f"{where} {name!r}{through}, which step {other!r} deletes in line {line}.",
                           f"Remove `del {name}` there, or give {name!r} again above this step.")  # fmt: skip
    binders = known.givers.get(name, ())
    others = [other for other in binders if other != step.name]
    if others and not name.startswith("_"):
        return InvalidStep(
            step.name,
            f"{where} {name!r}{through}, which only step {others[0]!r} further down gives.",
            f"Move that cell above this one, or give {name!r} in a cell above.",
        )
    if others and step.name not in binders:
        return InvalidStep(
            step.name,
            f"{where} {name!r}{through}, which step {others[0]!r} keeps to itself.",
            "Names with a leading underscore are not given to other steps: rename it.",
        )
    return InvalidStep(
        step.name,
        f"{where} {name!r}{through}, which no step gives and the notebook does not have.",
        near(name, [*known.versions, *known.around, *known.imported])
        or f"Bind {name!r} in a cell above, or import it.",
    )


def near(name: str, among: Iterable[str]) -> str:
    """Which names may be meant; "" if none is near."""
    found = difflib.get_close_matches(name, list(among), n=2, cutoff=0.7)
    return f"Did you mean {' or '.join(found)}?" if found else ""
