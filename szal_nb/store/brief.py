"""Steps and nodes as they are stored: without the fields that are as they are by default, which are most of them.

Who reads them fills in the defaults of their classes. So these belong to the form of every store that was written:
`tests/store/test_brief.py` holds them fast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import msgspec

from szal_nb.model.graph import StepNode
from szal_nb.model.step import Step

_Read = Callable[[Any], tuple[Any, ...]]


def _mirror(kind: type[Any]) -> tuple[Callable[..., Any], _Read]:
    """A struct with the fields of a class that leaves out what is default, and what reads these fields."""
    is_struct = issubclass(kind, msgspec.Struct)
    fields = msgspec.structs.fields(kind) if is_struct else dataclasses.fields(kind)
    has_none = (dataclasses.MISSING, msgspec.NODEFAULT)
    described = [
        (field.name, Any) if field.default in has_none else (field.name, Any, field.default) for field in fields
    ]
    struct = msgspec.defstruct(kind.__name__, described, omit_defaults=True, gc=False)
    return struct, attrgetter(*(field.name for field in fields))


_Step, _read_step = _mirror(Step)
_Node, _read_node = _mirror(StepNode)


def brief(nodes: Iterable[StepNode]) -> list[Any]:
    """The nodes, to be written as JSON."""
    found = []
    for node in nodes:
        step, *others = _read_node(node)
        found.append(_Node(_Step(*_read_step(step)), *others))
    return found
