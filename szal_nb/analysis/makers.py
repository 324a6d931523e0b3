"""Which classes of the notebook, and which modules, made what a value may hold: who changes these changes that, too.

A method that one step puts on a class (`Net.summary = summary`) is there for all instances, also for those that other
steps made before and that are read without a word of the class. Told from the names alone, and of more than there is,
which costs an order and no answer: it matters only where a step changes a class or a module.
"""

from __future__ import annotations

from collections.abc import Mapping

from szal_nb.analysis.hidden import MODULE
from szal_nb.analysis.resolved import ANY_MAKER, NO_OBJECTS, Resolved, Version
from szal_nb.analysis.surroundings import NameKind, NotebookName
from szal_nb.model.kept import attributes_owner, attributes_state


def take_makers(found: Resolved, around: Mapping[str, NotebookName]) -> None:
    """Adds to what was found of a step the makers of what it reads, and those that it changes."""
    makers = NO_OBJECTS
    for version in found.from_version.values():
        makers |= _makers_of(version)
    for binding in found.bindings.values():
        if binding.step is None and not _is_plain(around.get(binding.source)):
            makers |= {ANY_MAKER}
    found.makers = makers
    if found.names.states:
        found.remade = frozenset(
            use.state for use in found.names.states if use.is_write and _is_maker(use.state, around)
        )


def makers_of_given(found: Resolved, around: Mapping[str, NotebookName]) -> frozenset[str]:
    """The makers of what the step gives: those of what it reads, and those that its code names."""
    makers = found.makers
    if found.modules:
        makers |= {f"{MODULE}{module}" for module in found.modules}
    if found.definitions:
        makers |= {attributes_state(name) for name in found.definitions if _is_class(name, around)}
    return makers


def _makers_of(version: Version) -> frozenset[str]:
    makers, before = version.makers, version.fallback
    while before is not None:
        makers |= before.makers
        before = before.fallback
    return makers | {ANY_MAKER} if version.or_input else makers


def _is_plain(known: NotebookName | None) -> bool:
    """Whether what the notebook has under a name is known to be no instance of anything that may change."""
    return known is not None and (bool(known.made) or known.kind != NameKind.DATA)


def _is_maker(state: str, around: Mapping[str, NotebookName]) -> bool:
    return state.startswith(MODULE) or _is_class(attributes_owner(state), around)


def _is_class(name: str, around: Mapping[str, NotebookName]) -> bool:
    known = around.get(name) if name else None
    return known is not None and known.kind == NameKind.CLASS
