"""What functions and classes of the notebook keep from call to call: a default that grows, and attributes.

It is hidden state: it has no name of its own, and is ordered, recorded and put back as a generator's is. Told from
the text alone, so that it may be told of more than there is, which costs an order and no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from szal_nb.analysis.attributes import attributes_changed, mutable_attributes
from szal_nb.analysis.glance import Glance
from szal_nb.analysis.hidden import spelled
from szal_nb.analysis.names import Change, StateUse
from szal_nb.analysis.resolved import Resolved, kept_object
from szal_nb.analysis.surroundings import NameKind, NotebookName
from szal_nb.errors import InvalidStep
from szal_nb.model.kept import UNTOLD, attributes_owner, attributes_state, default_owner, patched
from szal_nb.model.step import Executor

# The rule of a change of a function by its calls.
KEEPS = "keeps from call to call"


def take_kept(
    found: Resolved,
    glance: Glance,
    around: Mapping[str, NotebookName],
    classes: Mapping[str, frozenset[str]],
) -> None:
    """Adds to what was found of a step what functions and classes that it uses keep.

    Of the notebook's (`around`) it is a hidden state; a function that a step gave is changed by its calls. `classes`
    are those that keep something, with their methods.
    """
    names = found.names
    given = {name: version.function for name, version in found.from_version.items() if version.function}
    changes, states = list(names.changes), []
    for use in names.states:
        owner = default_owner(use.state)
        if owner is not None:
            found.keep(use.state, found.read_objects[owner[0]] if owner[0] in given else _object(use.state))
        if owner is not None and owner[0] in given and use.is_write:
            changes.append(Change(owner[0], use.line, KEEPS, use.what))
        else:
            states.append(use)
    # What has no text is an object that a function finds by itself, not code.
    sources = {name: source for name in found.definitions if name in around and (source := around[name].source)}
    changed = {name for source in (*sources.values(), *given.values()) for name in attributes_changed(source)}
    if any(f"{name}." in glance.source or f"attr({name}" in glance.source for name in (*sources, *given)):
        changed |= attributes_changed(glance.source)
    changes += [Change(name, 0, KEEPS, f"{name}.… =") for name in given if name in changed]
    _take_attributes(found, glance, sources, given)
    _take_common(found, around)
    used = {name: None for name in found.definitions if name in changed and name in sources and name not in given}
    used |= {name: None for name, methods in classes.items() if not methods.isdisjoint(glance.attributes)}
    states += [StateUse(attributes_state(name), 0, is_write=True, what=name) for name in used]
    for state in map(attributes_state, used):
        found.keep(state, _object(state))
    kept = dict.fromkeys((*used, *(owner[0] for use in states if (owner := default_owner(use.state)))))
    if found.step.executor is Executor.PROCESS:
        _refuse_patches(found)
    _refuse_inner_names(found)
    if kept and found.step.executor is Executor.PROCESS:
        raise InvalidStep(
            found.step.name,
            f"it changes what {', '.join(kept)} keeps from call to call, which another process does not share.",
            "Remove --executor process, or pass what is kept as an argument.",
        )
    if len(changes) > len(names.changes) or len(states) != len(names.states):
        pure = found.step.pure
        states = [use for use in states if spelled(use.state) not in pure]
        found.names = replace(names, changes=tuple(changes), states=tuple(states))


def _take_attributes(found: Resolved, glance: Glance, sources: Mapping[str, str], given: Mapping[str, str]) -> None:
    """The step has to do with the attributes of functions and classes that its code, or theirs, looks at."""
    texts = (glance.source, *sources.values(), *given.values())
    for name, source in (*sources.items(), *given.items()):
        if any(f"{name}." in text for text in texts) or mutable_attributes(source, name):
            state = attributes_state(name)
            found.keep(state, found.read_objects[name] if name in given else _object(state))


def _take_common(found: Resolved, around: Mapping[str, NotebookName]) -> None:
    """What is behind a dot of an object may be what a class of the notebook has for all of them."""
    for change in found.names.changes:
        owner = around.get(attributes_owner(change.name))
        if owner is not None and owner.kind == NameKind.CLASS and change.name not in found.read_objects:
            found.keep(change.name, _object(change.name))


def _object(state: str) -> frozenset[str]:
    return frozenset({kept_object(state)})


def _refuse_inner_names(found: Resolved) -> None:
    """All names of a module at once, or the code of a function, can neither be recorded nor be put back."""
    for use in found.names.states:
        if patched(use.state) == UNTOLD:
            raise InvalidStep(
                found.step.name,
                f"line {use.line}: {use.what} puts something in place or takes it away, and nobody can tell what.",
                'Make the patcher in a step, by a text (`p = mock.patch("module.name", …)`), and start and stop it by '
                "its name, or use it in a `with`.",
            )
        owner, dots, rest = patched(use.state).partition(".__")
        if dots:
            raise InvalidStep(
                found.step.name,
                f"it changes __{rest} of {owner}, which cannot be recorded.",
                f"Assign what is to change by its own name, as {owner}.NAME = …",
            )


def _refuse_patches(found: Resolved) -> None:
    for dotted in filter(None, (patched(use.state) for use in found.names.states)):
        raise InvalidStep(
            found.step.name,
            f"it changes {dotted}, which another process does not share.",
            "Remove --executor process, or do it in a step that runs in this process.",
        )
