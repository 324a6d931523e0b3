"""Which step, or the notebook, each name of each step comes from: names only, no order. Used by `graph`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.compensation import undo_of
from szal_nb.analysis.condition import ConditionError, compile_condition
from szal_nb.analysis.frame import ALWAYS_THERE
from szal_nb.analysis.glance import Glance
from szal_nb.analysis.helpers import Helpers
from szal_nb.analysis.hidden import NAMED, spelled
from szal_nb.analysis.keeping import KEEPS, take_kept
from szal_nb.analysis.names import CellNames, Change, ImportedName, Read, StateUse
from szal_nb.analysis.resolved import NO_OBJECTS, Known, Resolved, Version
from szal_nb.analysis.sight import Sight
from szal_nb.analysis.surroundings import NAMES_OF_PYTHON, NameKind, Surroundings, module_of
from szal_nb.errors import InvalidStep
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Binding
from szal_nb.model.step import Step, StepKind


class Resolver:
    """Goes through the steps of a flow in order and finds where each of their names comes from."""

    def __init__(self, flow: FlowDefinition, surroundings: Surroundings) -> None:
        self.found: dict[str, Resolved] = {}
        self.given_by: dict[str, dict[str, Version]] = {}
        self.deleted: dict[str, tuple[str, int]] = {}
        self.holds: dict[str, set[str]] = {}
        self.learns: dict[str, set[str]] = {}
        self.inputs: dict[str, None] = {}
        self.dynamic_step: str | None = None
        # Whether a later step had an earlier one take in or hold more than was found of it before.
        self.is_revised = False
        self.known = known = Known(surroundings.names)
        self.around, self.versions, self.imported, self.givers = (
            known.around,
            known.versions,
            known.imported,
            known.givers,
        )
        self.sight = self._take_in(Sight.of(flow))
        self.imported.update(self.sight.imports)
        known.classes += self.sight.classes
        self.helpers = Helpers(known, surroundings.with_code)

    def _take_in(self, sight: Sight) -> Sight:
        self.flow, self.glances = sight.flow, sight.glances
        self.steps = {step.name: step for step in sight.flow.steps}
        self.givers.clear()
        for name, glance in sight.glances.items():
            for bound in glance.bound:
                if not bound.startswith("_"):
                    self.givers.setdefault(bound, []).append(name)
        return sight

    def go_on(self, flow: FlowDefinition) -> bool:
        """Takes another flow, whose first steps are those resolved so far; False if they would be resolved anew."""
        sight = Sight.of(flow)
        new = {name: one for name, one in sight.imports.items() if self.sight.imports.get(name) != one}
        if self.sight.imports.keys() - sight.imports.keys() or new.keys() & (self.helpers.asked | self.imported.keys()):
            return False
        if sight.classes != self.sight.classes:
            return False
        self.sight = self._take_in(sight)
        self.imported.update(new)
        return not self.helpers.free & self.givers.keys()

    def resolve(self, order: Sequence[Step]) -> list[Resolved]:
        """All steps so far, then these in the order given."""
        for step in order:
            one = self._resolve_step(step, self.glances[step.name])
            self.found[step.name] = one
            self._give(one)
            one.undo = undo_of(one, self.known, self.helpers)
        found = list(self.found.values())
        self.helpers.check_captured(found)
        return found

    def _resolve_step(self, step: Step, glance: Glance) -> Resolved:
        context = self.helpers.context(glance.mentioned | set(step.reads) | set(step.changes), glance.attributes)
        names = analyze_cell(glance.source, context)
        found = Resolved(step, names)
        needs = self._needs(step)
        for local, (source, name) in needs.items():
            self._bind_needed(found, local, source, name)
        reads = list(names.reads) + [r for r in names.builtins if self._is_given(r.name)]
        reads += [Read(name, 0, via="--reads") for name in step.reads]
        states = {name: NAMED[name] for name in step.changes if name in NAMED and name not in self.versions}
        if states:
            uses = tuple(StateUse(state, 0, is_write=True, what=f"--changes {name}") for name, state in states.items())
            names = found.names = replace(names, states=names.states + uses)
        if step.pure:
            names = found.names = replace(
                names, states=tuple(use for use in names.states if spelled(use.state) not in step.pure)
            )
        reads += [Read(name, 0, via="--changes") for name in step.changes if name not in states]
        reads += [Read(name.partition("=")[0].strip(), 0, via="--map") for name in step.map if name.isidentifier()]
        reads += self._condition_reads(found)
        done: set[str] = set(needs)
        while reads:
            batch, reads = reads, []
            for read in batch:
                if read.name not in done:
                    done.add(read.name)
                    reads += self._resolve_read(found, glance, read)
        if names.dynamic:
            self._bind_everything(found)
        take_kept(found, glance, self.around, self.helpers.keeping_classes)
        self._resolve_changes(found)
        return found

    def _is_given(self, name: str) -> bool:
        return name in self.versions or (name in self.around and self.around[name].kind != NameKind.MODULE)

    def _needs(self, step: Step) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for local, text in step.needs:
            source, _, name = text.partition(".")
            if source not in self.steps:
                raise InvalidStep(step.name, f"--needs {local}={text}: there is no step {source!r}.",
                                  _near(source, self.steps))  # fmt: skip
            found[local] = (source, name or local)
        return found

    def _bind_needed(self, found: Resolved, local: str, source: str, name: str) -> None:
        given = self.given_by.get(source, {})
        bound = self.glances[source].bound
        version = given.get(name)
        if version is None and name == local and name not in bound and self.steps[source].kind is StepKind.FUNCTION:
            name = next(iter(self.steps[source].out or (source,)))
            version = given.get(name)
        if version is None and name not in bound:
            raise InvalidStep(
                found.step.name,
                f"--needs {local}={source}.{name}: the step {source!r} does not give {name!r}.",
                f"It gives {', '.join(sorted(bound)) or 'nothing'}.",
            )
        version = version or Version(name, source)
        found.bindings[local] = Binding(name=local, step=source, source=name)
        found.from_version[local] = version
        found.vias[local] = "--needs"
        found.read_objects[local] = version.objects

    def _condition_reads(self, found: Resolved) -> list[Read]:
        if not found.step.when:
            return []
        try:
            condition = compile_condition(found.step.when)
        except ConditionError as error:
            raise InvalidStep(found.step.name, f"--when: {error}") from error
        unknown = sorted(name for name in condition.steps if name not in self.steps)
        if unknown:
            raise InvalidStep(
                found.step.name, f"--when names the step {unknown[0]!r}, which does not exist.",
                _near(unknown[0], self.steps),
            )  # fmt: skip
        found.condition_steps = tuple(sorted(condition.steps - {found.step.name}))
        found.condition_outputs = tuple(sorted(condition.outputs - {found.step.name}))
        for name in sorted(condition.inputs):
            self._take_condition_input(found, name)
        # A name that no step gives may be one of the run's inputs or null: the condition decides.
        return [Read(name, 0, is_optional=True, via="--when") for name in sorted(condition.names)]

    def _resolve_read(self, found: Resolved, glance: Glance, read: Read) -> list[Read]:
        """Finds the source of one read; what it needs in turn is returned."""
        name, step = read.name, found.step
        version = self.versions.get(name) or self._by_step_name(step, name)
        if version is not None:
            found.bindings[name] = Binding(
                name=name, step=version.giver, source=version.name, line=read.line or None,
                # A parameter with a default does without.
                is_optional=read.is_optional or version.is_optional or name in glance.optional,
            )  # fmt: skip
            found.from_version[name] = version
            found.read_objects[name] = version.objects
            self._pass_through(version)
            if read.via:
                found.vias[name] = read.via
            if version.function:
                found.definitions.append(name)
            return []
        known = self.around.get(name)
        if known is not None and name not in glance.parameters:
            return self._read_around(found, read, known.kind)
        if name in self.imported and name not in glance.parameters:
            self._import(found, self.imported[name])
            return []
        if name in NAMES_OF_PYTHON or name in ALWAYS_THERE:
            return []
        return self._read_missing(found, glance, read)

    def _by_step_name(self, step: Step, name: str) -> Version | None:
        # A parameter cannot be spelled with the hyphen of a step's name.
        if step.kind is StepKind.FUNCTION and "_" in name:
            return self.versions.get(name.replace("_", "-"))
        return None

    def _read_around(self, found: Resolved, read: Read, kind: str) -> list[Read]:
        name = read.name
        known = self.around[name]
        if kind == NameKind.DATA:
            if known.reads:
                # Its methods find their globals by themselves, in the notebook.
                self.helpers.reads_of(found, name)
            self._take_input(found, read)
            return []
        if kind == NameKind.MODULE:
            found.modules.add(module_of(name, known).partition(".")[0])
            if known.statement:
                found.imports.setdefault(name, known.statement)
            else:
                found.definitions.append(name)
            return []
        found.definitions.append(name)
        return self.helpers.reads_of(found, name)

    def _take_input(self, found: Resolved, read: Read) -> None:
        name = read.name
        if name in self.deleted and name not in self.around:
            return
        found.bindings[name] = Binding(
            name=name, step=None, source=name, line=read.line or None, is_optional=read.is_optional
        )
        found.read_objects[name] = frozenset({_input_object(name)})
        if not read.is_optional or name in self.around:
            self.inputs.setdefault(name)

    def _take_condition_input(self, found: Resolved, name: str) -> None:
        """`inputs.NAME` is the run's input, also where the step reads a value of this name that another step gives."""
        local = f"inputs.{name}"
        found.bindings[local] = Binding(name=local, step=None, source=name, is_optional=True)
        known = self.around.get(name)
        if known is not None and known.kind == NameKind.DATA:
            self.inputs.setdefault(name)

    def _import(self, found: Resolved, one: ImportedName) -> None:
        found.imports.setdefault(one.name, one.statement)
        found.modules.add(one.module.partition(".")[0])

    def _read_missing(self, found: Resolved, glance: Glance, read: Read) -> list[Read]:
        name, step = read.name, found.step
        if name in glance.parameters:
            self._take_input(found, Read(name, read.line, is_optional=name in glance.optional))
            return []
        if self.dynamic_step is not None and not read.is_optional:
            version = Version(name, self.dynamic_step, is_optional=True)
            found.bindings[name] = Binding(name=name, step=version.giver, source=name, line=read.line, is_optional=True)
            found.from_version[name] = version
            return []
        if step.kind is StepKind.FUNCTION and read.via == "--when":
            # What the run is given decides.
            self._take_input(found, read)
        if read.is_optional or step.kind is StepKind.FUNCTION or found.names.dynamic:
            return []
        raise self._missing(found, read)

    def _missing(self, found: Resolved, read: Read) -> InvalidStep:
        name, step = read.name, found.step
        where = f"line {read.line} reads" if read.line else f"{read.via} names"
        through = f" (through {read.via}())" if read.via and not read.via.startswith("--") else ""
        if name in self.deleted:
            other, line = self.deleted[name]
            return InvalidStep(step.name, f"{where} {name!r}{through}, which step {other!r} deletes in line {line}.",
                               f"Remove `del {name}` there, or give {name!r} again above this step.")  # fmt: skip
        below = [other for other in self.givers.get(name, ()) if other != step.name]
        if below:
            return InvalidStep(
                step.name,
                f"{where} {name!r}{through}, which only step {below[0]!r} further down gives.",
                f"Move that cell above this one, or give {name!r} in a cell above.",
            )
        private = [s.name for s in self.flow.steps if name.startswith("_") and name in self.glances[s.name].bound]
        if private and step.name not in private:
            return InvalidStep(
                step.name,
                f"{where} {name!r}{through}, which step {private[0]!r} keeps to itself.",
                "Names with a leading underscore are not given to other steps: rename it.",
            )
        near = _near(name, [*self.versions, *self.around, *self.imported])
        return InvalidStep(
            step.name,
            f"{where} {name!r}{through}, which no step gives and the notebook does not have.",
            near or f"Bind {name!r} in a cell above, or import it.",
        )

    def _bind_everything(self, found: Resolved) -> None:
        """Code that looks names up by itself gets all that the steps above give."""
        for name, version in self.versions.items():
            if name not in found.bindings:
                found.bindings[name] = Binding(name=name, step=version.giver, source=version.name, is_optional=True)
                found.from_version[name] = version
                found.read_objects[name] = version.objects

    def _resolve_changes(self, found: Resolved) -> None:
        step = found.step
        changes = [change for change in found.names.changes if change.name not in step.pure]
        known = {change.name for change in changes}
        changes += [
            Change(name, 0, "--changes", f"--changes {name}", is_deep=True)
            for name in step.changes if name not in known
        ]  # fmt: skip
        for change in changes:
            objects = found.read_objects.get(change.name)
            if objects is None:
                continue
            found.changes.append((change, objects))

    def _give(self, found: Resolved) -> None:
        """What the steps below find under the names that this step gives or changes."""
        step, names = found.step, found.names
        self._take_over_holds(found)
        gives = self._given_versions(found)
        self._hold_captured(found, gives)
        given = self.given_by.setdefault(step.name, {})
        for version in (*self._changed_versions(found, gives), *gives.values()):
            before = self.versions.get(version.name)
            given[version.name] = self.versions[version.name] = self._or_as_before(version, before)
            self.deleted.pop(version.name, None)
        for read in names.deletes:
            if read.name not in gives:
                self.versions.pop(read.name, None)
                self.deleted[read.name] = (step.name, read.line)
        for imported in names.imports:
            self.versions.pop(imported.name, None)
            self.imported[imported.name] = imported
        self._check_out(step, given, names)
        found.gives = tuple(gives)
        if names.dynamic:
            self.dynamic_step = step.name

    def _objects(self, found: Resolved, tokens: Iterable[str]) -> frozenset[str]:
        """The flow's objects for the tokens of a cell's analysis."""
        result: set[str] = set()
        for token in tokens:
            if token.startswith("#"):
                result.add(f"{found.step.name}{token}")
            else:
                result |= found.read_objects.get(token, NO_OBJECTS)
        return frozenset(result)

    def _take_over_holds(self, found: Resolved) -> None:
        for table, pairs in ((self.holds, found.names.holds), (self.learns, found.names.learns)):
            for holder, held in pairs:
                inside = self._objects(found, held)
                for token in self._objects(found, {holder}) if inside else ():
                    self.is_revised = self.is_revised or not token.startswith(f"{found.step.name}#")
                    table.setdefault(token, set()).update(inside - {token})

    def _hold_captured(self, found: Resolved, gives: Mapping[str, Version]) -> None:
        """What code reads that a value holds may come out of the value."""
        for captured in found.names.captured:
            own = gives.get(captured.name)
            inside = own.objects if own is not None else found.read_objects.get(captured.name, NO_OBJECTS)
            for token in gives[captured.owner].objects if captured.owner in gives and inside else ():
                self.holds.setdefault(token, set()).update(inside - {token})

    def _given_versions(self, found: Resolved) -> dict[str, Version]:
        step = found.step
        is_function = step.kind is StepKind.FUNCTION
        outs = step.out or (step.name,)
        gives = {
            one.name: Version(
                one.name,
                step.name,
                self._objects(found, one.objects),
                one.kind,
                one.function,
                is_optional=one.is_optional,
                line=one.line,
                path=one.path,
            )
            for one in found.names.gives
            if not is_function or one.name in outs
        }
        for name in outs if is_function else ():
            gives.setdefault(name, Version(name, step.name, frozenset({f"{step.name}#value"})))
        return gives

    def _changed_versions(self, found: Resolved, gives: Mapping[str, Version]) -> list[Version]:
        versions = []
        for change, objects in found.changes:
            if change.name not in gives:
                before = found.from_version.get(change.name)
                versions.append(
                    Version(
                        change.name,
                        found.step.name,
                        objects,
                        self._kind_before(change.name, before),
                        # A function that keeps something is the same code with other defaults.
                        before.function if before is not None and change.rule == KEEPS else "",
                        line=change.line,
                        is_doubtful=not change.is_certain,
                        what=change.what,
                    )
                )
        return versions

    def _kind_before(self, name: str, before: Version | None) -> str:
        known = self.around.get(name)
        return before.kind if before is not None else known.made if known is not None else ""

    def _or_as_before(self, version: Version, before: Version | None) -> Version:
        """A name that may stay as it was has the objects of both."""
        if not version.is_optional:
            return version
        if before is None:
            return self._or_input(version)
        if before.giver == version.giver:
            return version
        return replace(
            version,
            objects=version.objects | before.objects,
            is_optional=before.is_optional,
            fallback=before,
            kind=version.kind if version.kind == before.kind else "",
            path=version.path if version.path == before.path else "",
        )

    def _or_input(self, version: Version) -> Version:
        known = self.around.get(version.name)
        if known is None or known.kind != NameKind.DATA or version.name in self.deleted:
            return version
        objects = version.objects | {_input_object(version.name)}
        return replace(version, objects=objects, is_optional=False, or_input=True, kind="", path="")

    def _check_out(self, step: Step, given: Mapping[str, Version], names: CellNames) -> None:
        for name in step.out:
            if name not in given and not names.dynamic:
                raise InvalidStep(
                    step.name,
                    f"--out names {name!r}, which the step does not give.",
                    _near(name, given) or f"It gives {', '.join(given) or 'nothing'}.",
                )

    def _pass_through(self, version: Version) -> None:
        """A step that may leave a name as it was takes the old value in, when a later step reads the name."""
        before, giver = version.fallback, self.found.get(version.giver)
        if giver is None or version.name in giver.bindings:
            return
        if before is None:
            if version.or_input:
                self.is_revised = True
                self._take_input(giver, Read(version.name, version.line, is_optional=True))
            return
        self.is_revised = True
        giver.bindings[version.name] = Binding(
            name=version.name, step=before.giver, source=before.name, line=version.line, is_optional=True
        )
        giver.from_version[version.name] = before
        giver.read_objects[version.name] = before.objects
        self._pass_through(before)


def _input_object(name: str) -> str:
    return f"input:{name}"


def _near(name: str, among: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(among), n=2, cutoff=0.7)
    return f"Did you mean {' or '.join(near)}?" if near else ""
