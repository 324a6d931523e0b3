"""What a condition consists of: the nodes of its tree. A position counts characters of the text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant that the text spells out."""

    value: bool | int | float | str | None
    position: int = 0


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`; `(a, b)` means the same."""

    items: tuple[Node, ...]
    position: int = 0


@dataclass(frozen=True, slots=True)
class ValueName:
    """A value, read by its bare name."""

    name: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class StepFact:
    """`steps.NAME.FIELD`, or all fields of the step if `field` is None."""

    step: str
    field: str | None
    position: int = 0


@dataclass(frozen=True, slots=True)
class InputName:
    """`inputs.NAME`."""

    name: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """One step of a path: `.key` (always a text) or `[index]`."""

    index: str | Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """A path into a value. `is_lenient`: what has no parts, such as a number, has null at every path."""

    base: Node
    keys: tuple[Key, ...]
    is_lenient: bool
    position: int = 0


@dataclass(frozen=True, slots=True)
class Negation:
    """`!a`, `not a`."""

    operand: Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Minus:
    """`-a`."""

    operand: Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Junction:
    """`a || b || c` if `is_or`, else `a && b && c`."""

    is_or: bool
    operands: tuple[Node, ...]
    position: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`; the operator is one of `== != > >= < <= in`, or `not in`."""

    operator: str
    left: Node
    right: Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`first + a - b` or `first * a / b % c`, from left to right; `rest` holds (operator, operand, position)."""

    first: Node
    rest: tuple[tuple[str, Node, int], ...]
    position: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One of `FUNCTIONS`, called."""

    function: str
    arguments: tuple[Node, ...]
    position: int = 0


Node = (
    Literal
    | ListOf
    | ValueName
    | StepFact
    | InputName
    | Access
    | Negation
    | Minus
    | Junction
    | Comparison
    | Arithmetic
    | Call
)
