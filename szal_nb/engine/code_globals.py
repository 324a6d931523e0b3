"""What classes and decorated functions of a notebook find under a global name: what the step that calls them reads.

Plain functions are made anew over the values of a step (`namespace`); this code stays tied to the notebook's own names.
A run that was given a parameter, or goes on from its record, has other inputs than the notebook has under these names:
they are lent to the notebook while the run is alive. A name has one value over a run, see `analysis.captured`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from dis import get_instructions
from functools import lru_cache
from types import CellType, CodeType, FunctionType
from typing import Any

from szal_nb.errors import GlobalInUse

_ABSENT = object()
_NOTEBOOK = "__main__"
_Names = dict[str, Any]


@dataclass(slots=True)
class _Loan:
    """What runs have lent to a name, and what was there before."""

    value: Any
    before: Any
    lenders: set[Lender] = field(default_factory=set)


class Loans:
    """What is lent to the names of one notebook. Called on any thread."""

    def __init__(self) -> None:
        self._lent: dict[tuple[int, str], tuple[_Names, _Loan]] = {}
        self._lock = threading.Lock()

    def lend(self, lender: Lender, names: _Names, name: str, value: Any) -> None:
        """Code finds this value under the name now. GlobalInUse if another run needs another one there."""
        with self._lock:
            now = names.get(name, _ABSENT)
            _, loan = self._lent.setdefault((id(names), name), (names, _Loan(value, now)))
            if loan.value is not value and loan.lenders - {lender}:
                raise GlobalInUse(name)
            if now is not loan.value:
                # A cell has bound it anew meanwhile: that is what it has afterwards.
                loan.before = now
            loan.lenders.add(lender)
            loan.value = names[name] = value

    def give_back(self, lender: Lender) -> None:
        """The run has ended: what it has lent is what it was, but for what a cell has bound anew."""
        with self._lock:
            for key, (names, loan) in list(self._lent.items()):
                loan.lenders.discard(lender)
                if loan.lenders:
                    continue
                del self._lent[key]
                if names.get(key[1], _ABSENT) is loan.value:
                    names.pop(key[1]) if loan.before is _ABSENT else names.update({key[1]: loan.before})


class Lender:
    """One run, which lends what its steps read of its inputs, `names`."""

    def __init__(self, loans: Loans, names: Collection[str]) -> None:
        self._loans = loans
        self._names = frozenset(names)
        # Where code looks up what, with the code itself, so that its id stays its own.
        self._known: dict[int, tuple[Any, list[tuple[_Names, str]]]] = {}

    def __reduce__(self) -> tuple[type[ForGood], tuple[frozenset[str]]]:
        return ForGood, (self._names,)

    def lend(self, definitions: Iterable[Any], inputs: Mapping[str, Any]) -> None:
        """The step that begins reads `inputs`; code among `definitions`, and of classes of inputs, finds them."""
        if self._names.isdisjoint(inputs):
            return
        for part in (*definitions, *map(type, inputs.values())):
            for names, name in self._globals_of(part):
                if name in inputs:
                    self._loans.lend(self, names, name, inputs[name])

    def _globals_of(self, part: Any) -> list[tuple[_Names, str]]:
        known = self._known.get(id(part))
        if known is None:
            known = self._known[id(part)] = part, [*globals_of(part, self._names)]
        return known[1]

    def give_back(self) -> None:
        """The run has ended."""
        self._loans.give_back(self)


class ForGood(Lender):
    """In a process of its own nobody misses what was there before."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(Loans(), names)


def globals_of(code: Any, wanted: Collection[str]) -> Iterator[tuple[_Names, str]]:
    """Where a class or function of the notebook looks up which of these names by itself."""
    todo = [] if _is_made_anew(code) else [code]
    seen: set[int] = set()
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, type):
            if part.__module__ == _NOTEBOOK:
                todo += (inner for base in part.__mro__ for inner in [*vars(base).values()])
            continue
        todo += _wrapped_by(part)
        if isinstance(part, FunctionType) and (names := part.__globals__).get("__name__") == _NOTEBOOK:
            for name in globals_in(part.__code__):
                if name in wanted and name not in _bound_in(part.__code__):
                    yield names, name
                elif isinstance(names.get(name), FunctionType | type):
                    todo.append(names[name])


@lru_cache(maxsize=1000)
def globals_in(code: CodeType) -> tuple[str, ...]:
    """The names that code, and the code inside of it, looks up outside of functions."""
    found = [one.argval for one in get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    found += [name for inner in code.co_consts if isinstance(inner, CodeType) for name in globals_in(inner)]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1000)
def _bound_in(code: CodeType) -> frozenset[str]:
    """What code makes by itself when it is not there: it is the notebook's."""
    return frozenset(one.argval for one in get_instructions(code) if one.opname == "STORE_GLOBAL")


def _is_made_anew(part: Any) -> bool:
    return isinstance(part, FunctionType) and not part.__closure__ and not hasattr(part, "__wrapped__")


def _wrapped_by(part: Any) -> Iterator[Any]:
    """The functions that run when this is called, or looked up on an object."""
    for name in ("__wrapped__", "__func__", "fget", "fset", "func"):
        inner = getattr(part, name, None)
        if inner is not None:
            yield inner
    for cell in getattr(part, "__closure__", None) or ():
        if isinstance(cell, CellType) and isinstance(contents := _contents(cell), FunctionType | type):
            yield contents


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None
