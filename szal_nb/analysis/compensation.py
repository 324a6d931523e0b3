"""What the compensation of a step reads: names that its step reads or gives, imports and definitions; nothing else.

A compensation runs when the run has failed, so no name of another step is sure to be there for it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.glance import Glance, glance_at
from szal_nb.analysis.helpers import Helpers
from szal_nb.analysis.names import Read
from szal_nb.analysis.resolved import Known, Resolved
from szal_nb.analysis.surface import ALWAYS_THERE
from szal_nb.analysis.surroundings import NAMES_OF_PYTHON, NameKind
from szal_nb.errors import InvalidStep
from szal_nb.model.graph import Undo
from szal_nb.model.step import Compensation, Step, StepKind


def undo_of(one: Resolved, known: Known, helpers: Helpers) -> Undo | None:
    """What is known of the step's compensation; None if it has none, or one whose code is not known.

    `known` and `helpers` are as they are below the step. Raises InvalidStep for a name that it may not read.
    """
    made = one.step.rollback
    glance = None if made is None else _glance(one.step, made)
    return None if made is None or glance is None else _Search(one, made, glance, known, helpers).undo()


def _glance(step: Step, made: Compensation) -> Glance | None:
    try:
        return glance_at(Step(name=step.name, kind=made.kind, source=made.source))
    except InvalidStep as error:
        if made.kind is StepKind.FUNCTION:
            # Made where there is no text of it; a lambda's text is only its signature.
            return None
        raise InvalidStep(step.name, f"its rollback cell, {error.problem}", error.advice) from error


@dataclass(slots=True)
class _Search:
    one: Resolved
    made: Compensation
    glance: Glance
    known: Known
    helpers: Helpers
    reads: dict[str, None] = field(default_factory=dict)
    imports: dict[str, None] = field(default_factory=dict)
    definitions: dict[str, None] = field(default_factory=dict)
    is_dynamic: bool = False

    def undo(self) -> Undo:
        """Finds where each name comes from."""
        names = analyze_cell(self.glance.source, self.helpers.context(self.glance.mentioned, self.glance.attributes))
        values = dict.fromkeys([*self.one.bindings, *self.values()])
        todo = [*names.reads, *(read for read in names.builtins if read.name in values)]
        self.is_dynamic = bool(names.dynamic or self.one.names.dynamic)
        if self.is_dynamic:
            self.reads.update(values)
        done: set[str] = set()
        while todo:
            read = todo.pop(0)
            if read.name in done:
                continue
            done.add(read.name)
            if read.name in values:
                self.reads[read.name] = None
            else:
                todo += self.around(read)
        return Undo(reads=tuple(self.reads), imports=tuple(self.imports), definitions=tuple(self.definitions))

    def values(self) -> list[str]:
        """The names that the step leaves behind, as code spells them."""
        changed = (change.name for change in self.one.changed_values)
        return [name.replace("-", "_") for name in (*self.one.gives, *changed)]

    def around(self, read: Read) -> list[Read]:
        """Takes in a name that is not the step's own; what it needs in turn is returned."""
        name = read.name
        is_given = bool(self.known.givers_of(name)) or name in self.known.versions
        around = self.known.around.get(name)
        if not is_given and around is not None and name not in self.glance.parameters:
            if around.kind == NameKind.DATA:
                raise self.refused(read)
            if around.kind == NameKind.MODULE and around.statement:
                self.imports[around.statement] = None
                return []
            self.definitions[name] = None
            return [] if around.kind == NameKind.MODULE else self.helpers.reads_of(self.one, name)
        if not is_given and name in self.known.imported:
            self.imports[self.known.imported[name].statement] = None
        elif not is_given and (name in NAMES_OF_PYTHON or name in ALWAYS_THERE):
            pass
        elif not (self.is_dynamic or self.may_be_absent(read, is_given=is_given)):
            raise self.refused(read)
        return []

    def may_be_absent(self, read: Read, *, is_given: bool) -> bool:
        """Whether the compensation can do without the name, or finds it in the module that it comes from."""
        if read.name in self.glance.parameters:
            return read.name in self.glance.optional
        return read.is_optional or (self.made.kind is StepKind.FUNCTION and not is_given)

    def refused(self, read: Read) -> InvalidStep:
        """The refusal of a name, with what to do instead."""
        name, step = read.name, self.one.step
        if self.made.kind is StepKind.CELL:
            what = f"line {read.line} of its rollback cell reads"
        else:
            what = f"its rollback function {'takes' if name in self.glance.parameters else 'reads'}"
        through = f" (through {read.via}())" if read.via else ""
        if name in self.one.names.private:
            advice = "Names with a leading underscore are not kept: rename it."
        else:
            near = difflib.get_close_matches(name, [*self.one.bindings, *self.values()], n=2, cutoff=0.7)
            advice = f"Did you mean {' or '.join(near)}?" if near else ""
            is_there = name in self.known.around or name in self.known.versions
            if not near and is_there:
                advice = f"Let the step read it too, so that it is kept with it: --reads {name}."
        return InvalidStep(
            step.name,
            f"{what} {name!r}{through}, which the step neither reads nor gives.",
            advice or "A rollback sees the inputs and values of its step, and the notebook's imports and definitions.",
        )
