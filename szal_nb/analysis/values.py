"""What the analysis thinks of while it walks through code: values as sets of objects they may be, and what is bound.

An object is a token: the plain name of something from outside, `#line:column` for something new, `@…` for a parameter
of a function that is being summarised, `$name` for a global that such a function finds when it is called.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from szal_nb.analysis.names import Captured, Change, Read, StateUse

Tokens = frozenset[str]
NOTHING: Tokens = frozenset()


@dataclass(frozen=True, slots=True)
class Callable:
    """A function of the notebook that can be looked through. `frame` is the scope it is defined in, None outside.

    `defaults`: what its parameters have when nothing is passed for them, where that is known.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    name: str
    is_plain: bool = True
    frame: object = None
    is_external: bool = False
    defaults: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """`tokens`: the objects it may be. `ref`: the dotted thing that it is, for modules and what they hold.

    `is_part`: it is something inside these objects, so that a change of it is not seen at their surface. `path`: the
    text that it has as a path of a file, see `files`. `direct`: where it stands at the surface of something, the
    objects that it may itself be or stand in; fewer than `tokens`, which are all that it may lead to; `within` are
    those that it stands in.
    """

    tokens: Tokens = NOTHING
    kind: str = ""
    ref: str = ""
    callable: Callable | None = None
    is_part: bool = False
    path: str = ""
    direct: Tokens = NOTHING
    within: Tokens = NOTHING


FRESH = Value()


@dataclass(slots=True)
class State:
    """What is bound at one point of the code: `values` may be, `sure` certainly is, `gone` was certainly deleted."""

    values: dict[str, Value] = field(default_factory=dict)
    sure: set[str] = field(default_factory=set)
    gone: dict[str, int] = field(default_factory=dict)

    def copy(self) -> State:
        """An independent state that is equal now."""
        return State(dict(self.values), set(self.sure), dict(self.gone))

    def bind(self, name: str, value: Value) -> None:
        """From here on, `name` is `value`."""
        self.values[name] = value
        self.sure.add(name)
        self.gone.pop(name, None)

    def unbind(self, name: str) -> None:
        """From here on, nothing has this name."""
        self.values.pop(name, None)
        self.sure.discard(name)


def either(first: Value, second: Value) -> Value:
    """A value that is one of two."""
    if first == second:
        return first
    return Value(
        first.tokens | second.tokens,
        first.kind if first.kind == second.kind else "",
        first.ref if first.ref == second.ref else "",
        first.callable or second.callable,
        first.is_part or second.is_part,
        first.path if first.path == second.path else "",
    )


def merged(first: State | None, second: State | None) -> State | None:
    """The state where two ways through the code meet; None is a way that does not get there."""
    if first is None or second is None:
        return first or second
    if first is second:
        return first
    values = dict(first.values)
    for name, value in second.values.items():
        values[name] = either(values[name], value) if name in values else value
    gone = {name: line for name, line in first.gone.items() if name in second.gone}
    return State(values, first.sure & second.sure, gone)


@dataclass(slots=True)
class Summary:
    """What calling a function of the notebook does; tokens as the module says.

    `holds` are objects with those at their surface, `below` with those further inside, `learns` estimators with what
    they were fitted on, which they keep but leave alone. `recursive` are tokens of objects that may hold each other.
    """

    parameters: tuple[str, ...] = ()
    vararg: str = ""
    kwarg: str = ""
    reads: dict[str, Read] = field(default_factory=dict)
    builtins: dict[str, Read] = field(default_factory=dict)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    gives: dict[str, Value] = field(default_factory=dict)
    surely_given: set[str] = field(default_factory=set)
    returns: Value = FRESH
    holds: dict[str, set[str]] = field(default_factory=dict)
    below: dict[str, set[str]] = field(default_factory=dict)
    learns: dict[str, set[str]] = field(default_factory=dict)
    recursive: set[str] = field(default_factory=set)
    states: list[StateUse] = field(default_factory=list)
    dynamic: list[Read] = field(default_factory=list)
    captured: list[Captured] = field(default_factory=list)
    has_calls: bool = False

    @property
    def changed_parameters(self) -> frozenset[str]:
        """The parameters whose objects it changes."""
        return frozenset(token for token, _ in self.changes if token.startswith("@"))
