"""What functions and classes keep that values share parts with: a change of the one is a change of the other."""

from __future__ import annotations

from typing import NoReturn

from szal_nb.engine.contents import Contents
from szal_nb.engine.digest import deep_digest, digest
from szal_nb.engine.sharing import is_shown
from szal_nb.engine.states import RecordedStates
from szal_nb.engine.usage import Key, Usage, is_held
from szal_nb.errors import ValuesShared
from szal_nb.model.kept import is_kept, memory_owner, state_of


class SharedWithValues:
    """What functions keep, parts of which are values of steps, too."""

    def __init__(self, kept: object) -> None:
        self.kept = kept

    def __reduce__(self) -> NoReturn:
        raise TypeError("values share parts with what functions keep")


def reached(i: int, states: RecordedStates, contents: Contents) -> set[Key]:
    """What step `i` may change besides its values: those that are a part of what it changes of what functions keep."""
    found: set[Key] = set()
    for _, kept, is_changed in states.kept_of(i):
        if is_changed:
            held, _ = deep_digest(kept)
            found |= contents.parts.closure(contents.parts.sharing(held))
    return found


def refuse_shared(i: int, states: RecordedStates, contents: Contents, usage: Usage) -> None:
    """Raises ValuesShared if an input holds what functions remember, and another step may change one of the two.

    Of what steps give the code tells it.
    """
    for state, kept, is_changed in states.kept_of(i):
        owner = memory_owner(state)
        if not owner:
            continue
        held, _ = deep_digest(kept)
        parts = contents.parts
        for key in (key for key in parts.sharing(held) if key[0] is None and not is_held(key)):
            if not is_shown(held, parts.digest(key)):
                continue
            for other in usage.users(key) if is_changed else usage.changers.get(key, ()):
                if not usage.are_ordered(i, other):
                    pair = (usage.names[i], usage.names[other])
                    changer, reader = pair if is_changed else pair[::-1]
                    raise ValuesShared(f"What {owner} remembers", changer, usage.title(key), reader)


def told_apart(besides: dict[str, object], contents: Contents) -> dict[str, object]:
    """The same; what functions keep is live where values are a part of it: each by itself would be another object."""
    for name, kept in besides.items():
        if not is_kept(state_of(name)):
            continue
        if not all(map(is_held, contents.parts.sharing(digest(kept, is_hashing=False)))):
            besides[name] = SharedWithValues(kept)
    return besides
