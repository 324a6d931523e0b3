"""What steps put into modules (`math.pi = 3`): read as it is, and put back on a resume as a completed step left it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from szal_nb.errors import RunError
from szal_nb.model.graph import StepNode
from szal_nb.model.kept import DUCKDB, UNTOLD, patched

_ABSENT = object()
_VALUE, _LOST = "value", "lost"
_CONTAINERS = (list, dict, set)


def read_patch(state: str) -> dict[str, Any]:
    """What the module has there now; empty if nothing."""
    *path, last = patched(state).split(".")
    if last == UNTOLD:
        return lost_patch("the code does not tell which attribute that is")
    if patched(state) == DUCKDB:
        return lost_patch("a database in memory ends with its process")
    found = _held(_owner(path), last) if _is_imported(path) else _ABSENT
    return {} if found is _ABSENT else {_VALUE: found}


def lost_patch(reason: str) -> dict[str, Any]:
    """What is recorded of what could not be."""
    return {_LOST: reason}


def put_patch_back(state: str, kept: Mapping[str, Any]) -> None:
    """Puts it there again; a list, dict or set into the one that is there, which others may have by another name."""
    *path, last = patched(state).split(".")
    owner = _owner(path)
    now = _held(owner, last)
    if _VALUE not in kept:
        if now is not _ABSENT:
            delattr(owner, last)
        return
    value = kept[_VALUE]
    if type(now) in _CONTAINERS and type(now) is type(value):
        now.clear()
        now.extend(value) if isinstance(now, list) else now.update(value)
    else:
        setattr(owner, last, value)


def check_patch(state: str, kept: Mapping[str, Any], node: StepNode) -> None:
    """Raises RunError if a step that may use the module cannot have what a completed step has put there."""
    if is_lost(kept) and uses_module(node, state):
        raise RunError(
            f"A completed step has changed {patched(state)}, which is not recorded because {kept[_LOST]}. The run "
            f"cannot go on: start a new one, which takes from this one what is beyond doubt (--reuse)."
        )


def is_lost(kept: Mapping[str, Any]) -> bool:
    """Whether it could not be recorded."""
    return _LOST in kept


def uses_module(node: StepNode, state: str) -> bool:
    """Whether the code of a step names the module, or takes something of it."""
    root = patched(state).partition(".")[0]
    return any(root in text for text in (node.step.source, *node.imports)) or bool(node.definitions)


def vars_of(owner: Any) -> Mapping[str, Any]:
    """What a module or class has of its own."""
    return getattr(owner, "__dict__", {})


def _held(owner: Any, name: str) -> Any:
    """What it has under this name; `_ABSENT` if nothing of its own."""
    found = vars_of(owner).get(name, _ABSENT)
    if found is _ABSENT and hasattr(type(getattr(type(owner), name, None)), "__set__"):
        # An object of a library that has its settings as properties or slots: `plotly.io.templates.default`.
        return getattr(owner, name, _ABSENT)
    return found


def _is_imported(path: list[str]) -> bool:
    return path[0] in sys.modules


def _owner(path: list[str]) -> Any:
    """The module or class that these names lead to."""
    found: Any = importlib.import_module(path[0])
    for at, name in enumerate(path[1:], 2):
        inner = getattr(found, name, _ABSENT)
        found = importlib.import_module(".".join(path[:at])) if inner is _ABSENT else inner
    return found
