"""What the steps below find under the names that a step gives, changes or deletes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from szal_nb.analysis.hidden import spelled
from szal_nb.analysis.keeping import KEEPS
from szal_nb.analysis.makers import makers_of_given
from szal_nb.analysis.missing import near
from szal_nb.analysis.names import Change, StateUse
from szal_nb.analysis.resolved import NO_OBJECTS, Known, Resolved, Version, input_object, state_of_object
from szal_nb.analysis.surroundings import NameKind
from szal_nb.analysis.tables import IMMUTABLE
from szal_nb.errors import InvalidStep
from szal_nb.model.kept import kept_owner
from szal_nb.model.step import StepKind


def find_changes(found: Resolved) -> None:
    """Finds the objects that the step changes in place."""
    step = found.step
    if not found.names.changes and not step.changes:
        return
    changes = [change for change in found.names.changes if change.name not in step.pure]
    if step.changes:
        known = {change.name for change in changes}
        changes += [
            Change(name, 0, "--changes", f"--changes {name}", is_deep=True)
            for name in step.changes if name not in known
        ]  # fmt: skip
    pairs = ((change, found.read_objects.get(change.name)) for change in changes)
    found.changes = tuple((change, objects) for change, objects in pairs if objects is not None)
    _take_changes_of_kept(found)


def _take_changes_of_kept(found: Resolved) -> None:
    """What the step changes of what functions keep is hidden state: it has no name by which it is recorded."""
    uses: dict[str, StateUse] = {}
    for change, objects in found.changes:
        inside = _remembered_in(found.from_version.get(change.name)) if change.is_deep else NO_OBJECTS
        for state in filter(None, map(state_of_object, sorted(objects | inside))):
            if spelled(state) not in found.step.pure:
                uses.setdefault(state, StateUse(state, change.line, is_write=True, what=change.what))
    if not uses:
        return
    found.names = replace(found.names, states=(*found.names.states, *uses.values()))
    owners = (kept_owner(state) for state in uses)
    found.definitions += tuple(name for name in owners if name not in found.definitions and name not in found.bindings)


def _remembered_in(version: Version | None) -> frozenset[str]:
    """What functions remember of what is inside the objects of a version."""
    inside = NO_OBJECTS
    while version is not None:
        inside |= version.inside
        version = version.fallback
    return inside


def give(found: Resolved, known: Known) -> None:
    """Takes in what the step leaves behind."""
    step, names = found.step, found.names
    if names.holds or names.learns:
        _take_over_holds(found)
    gives = _given_versions(found) if names.gives or step.kind is StepKind.FUNCTION else {}
    if names.captured:
        _hold_captured(found, gives)
    given: dict[str, Version] = {}
    changed = _changed_versions(found, gives, known) if found.changes else []
    for version in _with_makers(found, known, _with_inside(found, (*changed, *gives.values()))):
        before = known.versions.get(version.name) if version.is_optional else None
        given[version.name] = known.versions[version.name] = _or_as_before(version, before, known)
        known.deleted.pop(version.name, None)
    if given:
        known.given_by[step.name] = given
    for read in names.deletes:
        if read.name not in gives:
            known.versions.pop(read.name, None)
            known.deleted[read.name] = (step.name, read.line)
    for imported in names.imports:
        known.versions.pop(imported.name, None)
        known.imported[imported.name] = imported
    if step.out and not names.dynamic:
        _check_out(found, given)
    found.gives = tuple(gives)
    if names.dynamic:
        known.dynamic[""] = step.name


def _objects(found: Resolved, tokens: Iterable[str]) -> frozenset[str]:
    """The flow's objects for the tokens of a cell's analysis."""
    result: set[str] = set()
    for token in tokens:
        if token.startswith("#"):
            result.add(f"{found.step.name}{token}")
        else:
            result |= found.read_objects.get(token, NO_OBJECTS)
    return frozenset(result)


def _take_over_holds(found: Resolved) -> None:
    found.holds, found.learns = _inside(found, found.names.holds), _inside(found, found.names.learns)


def _inside(found: Resolved, pairs: Iterable[tuple[str, frozenset[str]]]) -> tuple[tuple[str, frozenset[str]], ...]:
    objects = ((_objects(found, {holder}), _objects(found, held)) for holder, held in pairs)
    return tuple((token, inside - {token}) for holders, inside in objects if inside for token in holders)


def _hold_captured(found: Resolved, gives: Mapping[str, Version]) -> None:
    """What code reads that a value holds may come out of the value."""
    for captured in found.names.captured:
        own = gives.get(captured.name)
        inside = own.objects if own is not None else found.read_objects.get(captured.name, NO_OBJECTS)
        for token in gives[captured.owner].objects if captured.owner in gives and inside else ():
            found.holds += ((token, inside - {token}),)


def _given_versions(found: Resolved) -> dict[str, Version]:
    step = found.step
    is_function = step.kind is StepKind.FUNCTION
    outs = step.out or (step.name,)
    gives = {
        one.name: Version(
            one.name,
            step.name,
            _objects(found, one.objects),
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


def _with_inside(found: Resolved, versions: Sequence[Version]) -> Sequence[Version]:
    """The same versions, which say what functions remember of what they hold."""
    if not found.read_objects:
        return versions
    if not (found.has_kept or any(version.inside for version in found.from_version.values())):
        return versions
    held: dict[str, set[str]] = {}
    for token, inside in (*found.holds, *found.learns):
        held.setdefault(token, set()).update(inside)
    for name, version in found.from_version.items():
        for token in found.read_objects[name] if (inside := _remembered_in(version)) else ():
            held.setdefault(token, set()).update(inside)

    def told(version: Version) -> Version:
        seen, todo = set(version.objects), [*version.objects]
        while todo:
            new = held.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return replace(version, inside=frozenset(token for token in seen if state_of_object(token)))

    return [told(version) for version in versions]


def _with_makers(found: Resolved, known: Known, versions: Sequence[Version]) -> Sequence[Version]:
    """The same versions, which say what made what they may hold."""
    makers = makers_of_given(found, known.around) if versions else NO_OBJECTS
    if not makers:
        return versions
    return [one if one.kind in IMMUTABLE else replace(one, makers=makers) for one in versions]


def _kind_before(name: str, before: Version | None, known: Known) -> str:
    if before is not None:
        return before.kind
    around = known.around.get(name)
    return around.made if around is not None else ""


def _changed_versions(found: Resolved, gives: Mapping[str, Version], known: Known) -> list[Version]:
    versions = []
    for change, objects in found.changes:
        if change.name not in gives and change.name in found.bindings:
            before = found.from_version.get(change.name)
            versions.append(
                Version(
                    change.name,
                    found.step.name,
                    objects,
                    _kind_before(change.name, before, known),
                    # A function that keeps something is the same code with other defaults.
                    before.function if before is not None and change.rule == KEEPS else "",
                    line=change.line,
                    is_doubtful=not change.is_certain,
                    what=change.what,
                )
            )
    return versions


def _or_as_before(version: Version, before: Version | None, known: Known) -> Version:
    """A name that may stay as it was has the objects of both: see `objects_of`."""
    if not version.is_optional:
        return version
    if before is None:
        return _or_input(version, known)
    if before.giver == version.giver:
        return version
    return replace(
        version,
        is_optional=before.is_optional,
        fallback=before,
        kind=version.kind if version.kind == before.kind else "",
        path=version.path if version.path == before.path else "",
    )


def _or_input(version: Version, known: Known) -> Version:
    around = known.around.get(version.name)
    if around is None or around.kind != NameKind.DATA or version.name in known.deleted:
        return version
    objects = version.objects | {input_object(version.name)}
    return replace(version, objects=objects, is_optional=False, or_input=True, kind="", path="")


def _check_out(found: Resolved, given: Mapping[str, Version]) -> None:
    for name in found.step.out:
        if name not in given:
            raise InvalidStep(
                found.step.name,
                f"--out names {name!r}, which the step does not give.",
                near(name, given) or f"It gives {', '.join(given) or 'nothing'}.",
            )
