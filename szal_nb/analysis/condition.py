"""The language of `--when`: compiles the text of a condition to closures, once, and decides it from values.

Nothing of Python can be reached from a condition: a dot reads a key of a mapping or one of a fixed table of facts
(`rows`, `columns`, `shape`, `size`, `empty` of tables and arrays), and there are eight functions. Length, depth and
steps are bounded. `condition_syntax` holds the grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from szal_nb.analysis.condition_error import ConditionError, Spot, nearest
from szal_nb.analysis.condition_operation import call, contains, equal, number, ordered, reckon
from szal_nb.analysis.condition_syntax import parse_condition
from szal_nb.analysis.condition_tree import (
    Access,
    Arithmetic,
    Call,
    Comparison,
    InputName,
    Junction,
    ListOf,
    Literal,
    Minus,
    Negation,
    Node,
    StepFact,
    ValueName,
)
from szal_nb.analysis.condition_value import MISSING, part, truth

__all__ = ["Condition", "ConditionError", "compile_condition", "compile_reference"]

Values = Mapping[str, Any]
_Read = Callable[[Values], Any]

# Steps of all loops of one evaluation together: about a second.
_MOST_STEPS = 1_000_000
# Longer texts are compiled each time, so that the cache stays small whatever the texts are.
_LONGEST_CACHED_TEXT = 1_000
_EXACT_SCALARS = frozenset((str, int, float, bool))


class Condition:
    """A compiled condition.

    `names`, `steps` and `inputs` are what it reads, also where evaluation stops before it; `outputs` are those of the
    steps whose output it may read.
    """

    __slots__ = ("_must_exist", "_read", "inputs", "names", "outputs", "source", "steps")

    def __init__(self, source: str, *, must_exist: bool = False) -> None:
        builder = _Builder(source, must_exist=must_exist)
        try:
            self._read = builder.compiled(parse_condition(source))
        except RecursionError:
            raise _no_room(source) from None
        self._must_exist = must_exist
        self.source = source
        self.names = frozenset(builder.names)
        self.steps = frozenset(builder.steps)
        self.inputs = frozenset(builder.inputs)
        self.outputs = frozenset(builder.outputs)

    def evaluate(self, values: Values) -> bool:
        """Whether the condition holds.

        `values` has each value under its name, and under `steps` and `inputs` mappings by name; a step is a mapping
        with `status`, `output`, `error`, `attempts`, `duration` (seconds).

        >>> compile_condition("a.rows > 0").evaluate({"a": {"rows": 3}})
        True
        """
        value = self.value(values)
        return bool(value) if value is True or value is False else truth(value, Spot(self.source, 0))

    def value(self, values: Values) -> Any:
        """What the condition's expression gives; `&&`, `||` and `!` give a bool.

        >>> compile_condition("min(n, 10)").value({"n": 12})
        10
        """
        try:
            return self._read(values)
        except RecursionError:
            raise _no_room(self.source) from None

    def __reduce__(self) -> tuple[Callable[[str], Condition], tuple[str]]:
        return compile_reference if self._must_exist else compile_condition, (self.source,)

    def __repr__(self) -> str:
        return f"Condition({self.source!r})"


def compile_condition(text: str) -> Condition:
    """The condition that this text spells; the same object for the same text, as long as it stays in the cache.

    Raises `ConditionError`, with the place in the text, for a text that is not a condition.
    """
    return _cached(text, must_exist=False)


def compile_reference(text: str) -> Condition:
    """As `compile_condition`, but a path that leads nowhere is an error when it is read, not null."""
    return _cached(text, must_exist=True)


def _cached(text: str, *, must_exist: bool) -> Condition:
    outcome = (_compiled if len(text) <= _LONGEST_CACHED_TEXT else _compiled.__wrapped__)(text, must_exist=must_exist)
    if isinstance(outcome, Condition):
        return outcome
    # A fresh error each time: a raised one collects tracebacks.
    raise ConditionError(*outcome)


@lru_cache(maxsize=512)
def _compiled(text: str, *, must_exist: bool) -> Condition | tuple[str, int, str, str]:
    try:
        return Condition(text, must_exist=must_exist)
    except ConditionError as error:
        return error.source, error.position, error.problem, error.advice


def _no_room(source: str) -> ConditionError:
    return Spot(source[:1000], 0).error("no room is left on the call stack to decide it.", "Nest it less deeply.")


class _Builder:
    """Turns nodes into closures over the values, and notes what they read."""

    def __init__(self, source: str, *, must_exist: bool) -> None:
        self.names: set[str] = set()
        self.steps: set[str] = set()
        self.outputs: set[str] = set()
        self.inputs: set[str] = set()
        self._source = source
        self._must_exist = must_exist
        self._limit = _MOST_STEPS

    def compiled(self, node: Node) -> _Read:
        """The closure of a whole tree. Each loop may take its share of the steps, so the sum is bounded."""
        self._limit = _MOST_STEPS // max(1, _loops_in(node))
        return self._closure(node)

    def _closure(self, node: Node) -> _Read:
        match node:
            case Literal() | ValueName() | StepFact() | InputName():
                return self._leaf(node)
            case Negation() | Minus():
                return self._prefixed(node)
            case Access():
                return self._access(node)
            case Comparison():
                return self._comparison(node)
            case Junction():
                return self._junction(node)
            case Arithmetic():
                return self._arithmetic(node)
            case ListOf(items=items):
                reads = tuple(self._closure(item) for item in items)
                return lambda values: [read(values) for read in reads]
            case Call():
                return self._call(node)

    def _leaf(self, node: Literal | ValueName | StepFact | InputName) -> _Read:
        match node:
            case Literal(value=value):
                return lambda _: value
            case ValueName():
                return self._value(node)
        return self._fact(node)

    def _prefixed(self, node: Negation | Minus) -> _Read:
        read, at = self._closure(node.operand), self._at(node)
        if isinstance(node, Minus):
            return lambda values: -number(read(values), at)
        return lambda values: not truth(read(values), at)

    def _value(self, node: ValueName) -> _Read:
        name, at = node.name, self._at(node)
        self.names.add(name)

        def read_value(values: Values) -> Any:
            try:
                return values[name]
            except KeyError:
                known = [other for other in values if type(other) is str]
                raise at.error(f"there is no value {name!r}.", nearest(name, known)) from None

        return read_value

    def _fact(self, node: StepFact | InputName) -> _Read:
        at, must_exist = self._at(node), self._must_exist
        if isinstance(node, InputName):
            self.inputs.add(node.name)
            keys: tuple[str, ...] = ("inputs", node.name)
        else:
            self.steps.add(node.step)
            if node.field in (None, "output"):
                self.outputs.add(node.step)
            keys = ("steps", node.step) if node.field is None else ("steps", node.step, node.field)

        def read_fact(values: Values) -> Any:
            found: Any = values
            # These mappings are the caller's own, and may load what they hold when it is asked for.
            for key in keys:
                if not isinstance(found, Mapping):
                    found = MISSING
                    break
                found = found.get(key, MISSING)
            if found is not MISSING:
                return found
            if must_exist:
                raise at.error(f"there is no {'.'.join(keys)}.")
            return None

        return read_fact

    def _access(self, node: Access) -> _Read:
        base, is_lenient, must_exist = self._closure(node.base), node.is_lenient, self._must_exist
        keys = tuple(
            (self._closure(Literal(key.index) if isinstance(key.index, str) else key.index), isinstance(key.index, str))
            for key in node.keys
        )
        spots = tuple(Spot(self._source, key.position) for key in node.keys)

        def read_path(values: Values) -> Any:
            found = base(values)
            for (index, is_dotted), at in zip(keys, spots, strict=True):
                # Every path into null is null; what follows is not read.
                if found is not None:
                    found = part(found, index(values), at, is_dotted=is_dotted, is_lenient=is_lenient)
                    if found is not MISSING:
                        continue
                if must_exist:
                    raise at.error("there is nothing at this place of the path.")
                return None
            return found

        return read_path

    def _comparison(self, node: Comparison) -> _Read:
        left, right = self._closure(node.left), self._closure(node.right)
        sign, at, limit = node.operator, self._at(node), self._limit

        def read_equality(values: Values) -> bool:
            one, other = left(values), right(values)
            kind = type(one)
            if kind is type(other) and kind in _EXACT_SCALARS:
                return (one == other) is wanted
            return equal(one, other, at, limit) is wanted

        constants = _constants_in(node.right)

        def read_membership(values: Values) -> bool:
            item = left(values)
            known = constants.get(type(item))
            if known is not None:
                return (item in known) is wanted
            return contains(item, right(values), at, limit) is wanted

        match sign:
            case "==" | "!=":
                wanted = sign == "=="
                return read_equality
            case "in" | "not in":
                wanted = sign == "in"
                return read_membership
        return lambda values: ordered(sign, left(values), right(values), at)

    def _junction(self, node: Junction) -> _Read:
        stop = node.is_or
        reads = tuple((self._closure(operand), Spot(self._source, operand.position)) for operand in node.operands)

        def read_junction(values: Values) -> bool:
            for read, at in reads:
                if truth(read(values), at) is stop:
                    return stop
            return not stop

        return read_junction

    def _arithmetic(self, node: Arithmetic) -> _Read:
        first = self._closure(node.first)
        rest = tuple(
            (sign, self._closure(operand), Spot(self._source, position)) for sign, operand, position in node.rest
        )

        def read_arithmetic(values: Values) -> Any:
            found = first(values)
            for sign, read, at in rest:
                found = reckon(sign, found, read(values), at)
            return found

        return read_arithmetic

    def _call(self, node: Call) -> _Read:
        function, at, limit = node.function, self._at(node), self._limit
        reads = tuple(self._closure(argument) for argument in node.arguments)
        return lambda values: call(function, [read(values) for read in reads], at, limit)

    def _at(self, node: Node) -> Spot:
        return Spot(self._source, node.position)


def _constants_in(node: Node) -> dict[type, frozenset[Any]]:
    """What a list of nothing but constants holds for an item of a plain type; empty for all else."""
    if not isinstance(node, ListOf) or not all(isinstance(item, Literal) for item in node.items):
        return {}
    values = [item.value for item in node.items if isinstance(item, Literal)]
    texts = frozenset(value for value in values if type(value) is str)
    numbers = frozenset(value for value in values if type(value) in (int, float))
    return {str: texts, int: numbers, float: numbers}


def _loops_in(node: Node) -> int:
    """How many operations of the tree may go through the items of a value."""
    own = isinstance(node, Call) or (isinstance(node, Comparison) and node.operator not in (">", ">=", "<", "<="))
    return own + sum(map(_loops_in, _children(node)))


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Access(base=base, keys=keys):
            return (base, *(key.index for key in keys if not isinstance(key.index, str)))
        case Negation(operand=operand) | Minus(operand=operand):
            return (operand,)
        case Junction(operands=operands) | ListOf(items=operands) | Call(arguments=operands):
            return operands
        case Comparison(left=left, right=right):
            return (left, right)
        case Arithmetic(first=first, rest=rest):
            return (first, *(operand for _, operand, _ in rest))
    return ()
