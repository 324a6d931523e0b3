"""What a new run says of values that it takes from an earlier one. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

import msgspec

from szal_nb.model.kept import kept_owner, state_of
from szal_nb.model.value import ValueRef, is_about_the_process, is_shown


def carried(
    refs: Iterable[ValueRef], run_id: str, needed: Collection[str], same: Mapping[str, str]
) -> tuple[ValueRef, ...]:
    """References of an earlier run as a new run has them.

    Tokens of objects count within one run only. `same` maps those of the earlier run to those of the new one, where
    both stand for the same thing; others are made new ones that no other run has.
    """
    return tuple(
        _renamed(ref, run_id, needed, same) for ref in refs if not is_about_the_process(ref.name) or is_shown(ref.name)
    )


def carried_inputs(
    refs: Iterable[ValueRef], run_id: str, names: Collection[str], changed: Collection[str]
) -> tuple[ValueRef, ...]:
    """References to the inputs of an earlier run that goes on as a new one, which reads those of these `names`.

    What they share goes with them, and so does what hidden states were before any step ran; but what a function or
    class keeps begins anew if that is one of those that have `changed`.
    """
    return tuple(
        _renamed(ref, run_id, names, {})
        for ref in refs
        if ref.name in names
        or (is_about_the_process(ref.name) and ref.hash is not None and kept_owner(state_of(ref.name)) not in changed)
    )


def _renamed(ref: ValueRef, run_id: str, needed: Collection[str], same: Mapping[str, str]) -> ValueRef:
    identity = ref.identity
    if identity is not None:
        identity = same.get(identity) or _foreign(run_id, identity)
    return msgspec.structs.replace(ref, identity=identity, needed=ref.name in needed)


def _foreign(run_id: str, identity: str) -> str:
    return "t" + hashlib.blake2b(f"{run_id}/{identity}".encode(), digest_size=8).hexdigest()


def same_objects(read: Mapping[str, ValueRef], before: Mapping[str, ValueRef]) -> dict[str, str]:
    """The tokens of what a step read before, to those of what it reads now."""
    return {
        old.identity: read[name].identity  # type: ignore[misc]
        for name, old in before.items()
        if old.identity is not None and name in read and read[name].identity is not None
    }
