"""The inputs of a run as its record has them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from szal_nb.engine.shared_values import NAME as SHARED
from szal_nb.model.value import ValueRef


def recorded_inputs(
    refs: Mapping[str, ValueRef], load: Callable[[ValueRef], Any], wanted: Collection[str]
) -> dict[str, Any]:
    """Those wanted inputs that were stored, by name; what shared something shares it again."""
    found = {name: load(refs[name]) for name in wanted if name in refs and refs[name].live is None}
    if found and SHARED in refs and refs[SHARED].live is None:
        together = load(refs[SHARED]).values
        found.update({name: together["", name] for name in found if ("", name) in together})
    return found
