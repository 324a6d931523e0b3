"""Which step, or the notebook, each name of a step comes from: names only, no order. Used by `graph` and `growth`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.compensation import undo_of
from szal_nb.analysis.condition import ConditionError, compile_condition
from szal_nb.analysis.giving import find_changes, give
from szal_nb.analysis.glance import Glance
from szal_nb.analysis.helpers import Helpers
from szal_nb.analysis.hidden import NAMED, spelled
from szal_nb.analysis.keeping import take_kept
from szal_nb.analysis.makers import take_makers
from szal_nb.analysis.missing import missing, near
from szal_nb.analysis.names import CellNames, Context, ImportedName, Read, StateUse
from szal_nb.analysis.resolved import Known, Resolved, Version, input_object, objects_of
from szal_nb.analysis.surface import ALWAYS_THERE
from szal_nb.analysis.surroundings import NAMES_OF_PYTHON, NameKind, module_of
from szal_nb.errors import InvalidStep
from szal_nb.model.graph import Binding
from szal_nb.model.kept import attributes_state
from szal_nb.model.step import Step, StepKind

_NO_CODE = CellNames()


class Resolver:
    """Finds where the names of a step come from, at the point of the flow at which `known` stands."""

    def __init__(self, known: Known, helpers: Helpers) -> None:
        self.known = known
        self.helpers = helpers

    def resolve(self, step: Step) -> Resolved:
        """All that is found of a step; `known` has then what it leaves behind."""
        found = self._resolve_step(step, self.known.glances[step.name])
        take_makers(found, self.known.around)
        give(found, self.known)
        if step.rollback is not None:
            found.undo = undo_of(found, self.known, self.helpers)
        return found

    def _resolve_step(self, step: Step, glance: Glance) -> Resolved:
        mentioned = glance.mentioned
        if step.reads or step.changes:
            mentioned = mentioned.union(step.reads, step.changes)
        context = self.helpers.context(mentioned, glance.attributes)
        names = analyze_cell(glance.source, context) if glance.source else _NO_CODE
        found = Resolved(step, names)
        needs = self._needs(step) if step.needs else {}
        for local, (source, name) in needs.items():
            self._bind_needed(found, local, source, name)
        reads = [*names.reads]
        if names.builtins:
            reads += [read for read in names.builtins if self._is_given(read.name)]
        if step.reads or step.changes or step.map or step.when or step.pure:
            reads += self._reads_of_flags(found)
            names = found.names
        done: set[str] = set(needs)
        while reads:
            batch, reads = reads, []
            for read in batch:
                if read.name not in done:
                    done.add(read.name)
                    reads += self._resolve_read(found, glance, read)
        if names.dynamic:
            self._bind_everything(found)
        self._remember_by_classes(found, context)
        found.modules |= {one.module.partition(".")[0] for one in names.imports}
        if names.states or found.definitions or found.from_version or glance.attributes:
            take_kept(found, glance, self.known.around, self.helpers.keeping_classes())
        find_changes(found)
        return found

    def _remember_by_classes(self, found: Resolved, context: Context) -> None:
        """Methods may remember what they gave: whoever calls one has to do with what their class keeps."""
        if not context.remembering:
            return
        classes = {name for name, _ in context.bodies}
        for name, remembered in context.remembering:
            if name in classes and name not in found.bindings:
                found.remember(name, remembered)
                found.definitions += (name,) if name not in found.definitions else ()

    def _reads_of_flags(self, found: Resolved) -> list[Read]:
        """The names that the step's flags name; the hidden states that they name are taken in."""
        step, names = found.step, found.names
        states = {name: NAMED[name] for name in step.changes if name in NAMED and name not in self.known.versions}
        classes = [name for name in step.changes if self._is_class(name)]
        states |= {name: attributes_state(name) for name in classes}
        found.definitions += tuple(name for name in classes if name not in found.definitions)
        if states:
            uses = tuple(StateUse(state, 0, is_write=True, what=f"--changes {name}") for name, state in states.items())
            names = found.names = replace(names, states=names.states + uses)
        if step.pure:
            kept = tuple(use for use in names.states if spelled(use.state) not in step.pure)
            found.names = replace(names, states=kept)
        reads = [Read(name, 0, via="--reads") for name in step.reads]
        reads += [Read(name, 0, via="--changes") for name in step.changes if name not in states]
        reads += [Read(name.partition("=")[0].strip(), 0, via="--map") for name in step.map if name.isidentifier()]
        return reads + self._condition_reads(found) if step.when else reads

    def _is_class(self, name: str) -> bool:
        """Whether the notebook defines a class of this name, and no step gives it."""
        around = self.known.around.get(name)
        return name not in self.known.versions and around is not None and around.kind == NameKind.CLASS

    def _is_given(self, name: str) -> bool:
        if name in self.known.versions:
            return True
        around = self.known.around.get(name)
        return around is not None and around.kind != NameKind.MODULE

    def _needs(self, step: Step) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for local, text in step.needs:
            source, _, name = text.partition(".")
            if source not in self.known.steps:
                raise InvalidStep(step.name, f"--needs {local}={text}: there is no step {source!r}.",
                                  near(source, self.known.steps))  # fmt: skip
            found[local] = (source, name or local)
        return found

    def _bind_needed(self, found: Resolved, local: str, source: str, name: str) -> None:
        given = self.known.given_by.get(source, {})
        bound = self.known.glances[source].bound
        version = given.get(name)
        giver = self.known.steps[source]
        if version is None and name == local and name not in bound and giver.kind is StepKind.FUNCTION:
            name = next(iter(giver.out or (source,)))
            version = given.get(name)
        if version is None and name not in bound:
            raise InvalidStep(
                found.step.name,
                f"--needs {local}={source}.{name}: the step {source!r} does not give {name!r}.",
                f"It gives {', '.join(sorted(bound)) or 'nothing'}.",
            )
        version = version or Version(name, source)
        found.bind(Binding(name=local, step=source, source=name), version, objects_of(version))
        found.vias = {**found.vias, local: "--needs"}

    def _condition_reads(self, found: Resolved) -> list[Read]:
        try:
            condition = compile_condition(found.step.when or "")
        except ConditionError as error:
            raise InvalidStep(found.step.name, f"--when: {error}") from error
        unknown = sorted(name for name in condition.steps if name not in self.known.steps)
        if unknown:
            raise InvalidStep(
                found.step.name, f"--when names the step {unknown[0]!r}, which does not exist.",
                near(unknown[0], self.known.steps),
            )  # fmt: skip
        found.condition_steps = tuple(sorted(condition.steps - {found.step.name}))
        found.condition_outputs = tuple(sorted(condition.outputs - {found.step.name}))
        for name in sorted(condition.inputs):
            # `inputs.NAME` is the run's input, also where the step reads a value of this name that another step gives.
            found.bind(Binding(name=f"inputs.{name}", step=None, source=name, is_optional=True))
        # A name that no step gives may be one of the run's inputs or null: the condition decides.
        return [Read(name, 0, is_optional=True, via="--when") for name in sorted(condition.names)]

    def _resolve_read(self, found: Resolved, glance: Glance, read: Read) -> list[Read]:
        """Finds the source of one read; what it needs in turn is returned."""
        name, step = read.name, found.step
        version = self.known.versions.get(name) or self._by_step_name(step, name)
        if version is not None:
            binding = Binding(
                name=name, step=version.giver, source=version.name, line=read.line or None,
                # A parameter with a default does without.
                is_optional=read.is_optional or version.is_optional or name in glance.optional,
            )  # fmt: skip
            found.bind(binding, version, objects_of(version))
            found.follow(version)
            if read.via:
                found.vias = {**found.vias, name: read.via}
            if version.function:
                found.definitions += (name,)
            if version.is_optional and name not in glance.parameters:
                # Where the step does not give it after all, it is the notebook's.
                own = self.known.around.get(name)
                return [] if own is None or own.kind == NameKind.DATA else self._read_around(found, read, own.kind)
            return []
        known = self.known.around.get(name)
        if known is not None and name not in glance.parameters:
            return self._read_around(found, read, known.kind)
        if name in self.known.imported and name not in glance.parameters:
            self._import(found, self.known.imported[name])
            return []
        if name in NAMES_OF_PYTHON or name in ALWAYS_THERE:
            return []
        return self._read_missing(found, glance, read)

    def _by_step_name(self, step: Step, name: str) -> Version | None:
        # A parameter cannot be spelled with the hyphen of a step's name.
        if step.kind is StepKind.FUNCTION and "_" in name:
            return self.known.versions.get(name.replace("_", "-"))
        return None

    def _read_around(self, found: Resolved, read: Read, kind: str) -> list[Read]:
        name = read.name
        known = self.known.around[name]
        if kind == NameKind.DATA:
            if known.reads:
                # Its methods find their globals by themselves, in the notebook.
                self.helpers.reads_of(found, name)
            take_input(found, self.known, read)
            return []
        if kind == NameKind.MODULE:
            found.modules |= {module_of(name, known).partition(".")[0]}
            if known.statement:
                found.imports += ((name, known.statement),)
            else:
                found.definitions += (name,)
            return []
        found.definitions += (name,)
        if remembered := self.helpers.memory_of(name, known):
            found.remember(name, remembered)
        return self.helpers.reads_of(found, name)

    def _import(self, found: Resolved, one: ImportedName) -> None:
        found.imports += ((one.name, one.statement),)
        found.modules |= {one.module.partition(".")[0]}

    def _read_missing(self, found: Resolved, glance: Glance, read: Read) -> list[Read]:
        name, step = read.name, found.step
        if name in glance.parameters:
            take_input(found, self.known, Read(name, read.line, is_optional=name in glance.optional))
            return []
        if (giver := self.known.dynamic.get("")) is not None and not read.is_optional:
            version = Version(name, giver, is_optional=True)
            binding = Binding(name=name, step=giver, source=name, line=read.line, is_optional=True)
            found.bind(binding, version)
            return []
        if step.kind is StepKind.FUNCTION and read.via == "--when":
            # What the run is given decides.
            take_input(found, self.known, read)
        if read.is_optional or step.kind is StepKind.FUNCTION or found.names.dynamic:
            return []
        raise missing(step, read, self.known)

    def _bind_everything(self, found: Resolved) -> None:
        """Code that looks names up by itself gets all that the steps above give."""
        for name, version in sorted(self.known.versions.items(), key=itemgetter(0)):
            if name not in found.bindings:
                binding = Binding(name=name, step=version.giver, source=version.name, is_optional=True)
                found.bind(binding, version, objects_of(version))


def take_input(found: Resolved, known: Known, read: Read) -> None:
    """The step takes a name from the notebook, or from whoever starts the run."""
    name = read.name
    if name in known.deleted and name not in known.around:
        return
    binding = Binding(name=name, step=None, source=name, line=read.line or None, is_optional=read.is_optional)
    found.bind(binding, objects=frozenset({input_object(name)}))


def pass_through(version: Version, found: Mapping[str, Resolved], known: Known) -> None:
    """A step that may leave a name as it was takes the old value in, when a later step reads the name."""
    giver = found.get(version.giver)
    while giver is not None and version.name not in giver.bindings:
        before = version.fallback
        if before is None:
            if version.or_input:
                take_input(giver, known, Read(version.name, version.line, is_optional=True))
            return
        binding = Binding(name=version.name, step=before.giver, source=before.name, line=version.line, is_optional=True)
        giver.bind(binding, before, objects_of(before))
        version, giver = before, found.get(before.giver)
