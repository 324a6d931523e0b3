"""The grammar of conditions: from text to a tree of frozen nodes.

    or        := and (("||" | "or") and)*
    and       := not (("&&" | "and") not)*
    not       := "not" not | compare
    compare   := sum [("==" | "!=" | ">" | ">=" | "<" | "<=" | "in" | "not in") sum]     one, not a chain
    sum       := product (("+" | "-") product)*
    product   := prefix (("*" | "/" | "%") prefix)*
    prefix    := ("!" | "-") prefix | item
    item      := atom ("." key | "[" or "]")*
    atom      := literal | list | "(" or ")" | function "(" or ("," or)* ")" | value | step | input
    step      := "steps" (.name | ["name"]) [.status | .output | .error | .attempts | .duration]
    input     := "inputs" (.name | ["name"])

Chains of one level are one node with many parts, so that the depth of a tree is the depth of its brackets. The parser
knows nothing of values.
"""

from __future__ import annotations

from szal_nb.analysis.condition_error import Spot, nearest
from szal_nb.analysis.condition_token import LONGEST_TEXT, Token, TokenKind, TokenReader
from szal_nb.analysis.condition_tree import (
    Access,
    Arithmetic,
    Call,
    Comparison,
    InputName,
    Junction,
    Key,
    ListOf,
    Literal,
    Minus,
    Negation,
    Node,
    StepFact,
    ValueName,
)

DEEPEST = 100
FUNCTIONS = ("len", "min", "max", "any", "all", "lower", "upper", "startswith")
STEP_FIELDS = ("status", "output", "error", "attempts", "duration")
_CONSTANTS: dict[str, bool | None] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
_ARITY = {"min": (1, 100), "max": (1, 100), "startswith": (2, 2)}
_COMPARISONS = frozenset(("==", "!=", ">", ">=", "<", "<=", "in"))
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _PREFIX = range(1, 8)
_LEVELS = {"||": _OR, "&&": _AND, "not": _COMPARE, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT}
_LEVELS |= dict.fromkeys(_COMPARISONS, _COMPARE)


def parse_condition(source: str) -> Node:
    """The tree of a condition; the empty text is the condition that always holds.

    >>> parse_condition("n > 3")
    Comparison(operator='>', left=ValueName(name='n', position=0), right=Literal(value=3, position=4), position=2)
    """
    if len(source) > LONGEST_TEXT:
        problem = f"its text has {len(source):,} characters; {LONGEST_TEXT:,} is the most."
        raise Spot(source[:LONGEST_TEXT], 0).error(problem, "Compute it in a step and name the result.")
    return _Parser(source).condition()


class _Parser:
    """Precedence climbing with one token of lookahead. Each recursion goes through `_expression`, which counts it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._reader = TokenReader(source)
        self._now = self._reader.token()
        self._depth = 0

    def condition(self) -> Node:
        if self._is_end():
            return Literal(True)
        node = self._expression(_OR)
        if not self._is_end():
            raise self._at(self._now).error(f"{_shown(self._now)} cannot follow here.", _hint(self._now))
        return node

    def _expression(self, level: int) -> Node:
        """An expression whose operators all bind at least as tightly as `level`."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._at(self._now).error(f"it is nested deeper than {DEEPEST} levels.")
        left = self._prefix(level)
        while (found := self._level()) >= level:
            if found <= _AND:
                left = self._junction(left, found)
            elif found == _COMPARE:
                left = self._comparison(left)
            else:
                left = self._arithmetic(left, found)
        self._depth -= 1
        return left

    def _level(self) -> int:
        return _LEVELS.get(self._now.word, 0) if self._now.kind is TokenKind.SIGN else 0

    def _junction(self, left: Node, level: int) -> Node:
        sign, operands = self._now, [left]
        while self._level() == level:
            self._advance()
            operands.append(self._expression(level + 1))
        return Junction(level == _OR, tuple(operands), sign.position)

    def _comparison(self, left: Node) -> Node:
        sign = self._advance()
        operator = sign.word
        if operator == "not":
            self._expect("in")
            operator = "not in"
        right = self._expression(_SUM)
        if self._level() == _COMPARE:
            raise self._at(self._now).error("comparisons do not chain.", "Join two of them with '&&'.")
        return Comparison(operator, left, right, sign.position)

    def _arithmetic(self, left: Node, level: int) -> Node:
        sign, rest = self._now, []
        while self._level() == level:
            operator = self._advance()
            rest.append((operator.word, self._expression(level + 1), operator.position))
        return Arithmetic(left, tuple(rest), sign.position)

    def _prefix(self, level: int) -> Node:
        sign = self._now
        if sign.kind is TokenKind.SIGN:
            if sign.word == "not":
                if level > _NOT:
                    raise self._at(sign).error("'not' cannot stand here.", "Write '!', or put it in brackets.")
                self._advance()
                return Negation(self._expression(_NOT), sign.position)
            if sign.word == "!":
                self._advance()
                return Negation(self._expression(_PREFIX), sign.position)
            if sign.word == "-":
                self._advance()
                operand = self._expression(_PREFIX)
                if isinstance(operand, Literal) and type(operand.value) in (int, float):
                    return Literal(-operand.value, sign.position)  # type: ignore[operator]
                return Minus(operand, sign.position)
        return self._item()

    def _item(self) -> Node:
        start = self._now
        atom, is_path = self._atom()
        is_lenient = isinstance(atom, StepFact | InputName)
        keys: list[Key] = []
        while self._is_sign(".") or self._is_sign("["):
            if not is_path:
                raise self._at(self._now).error("a number has no parts.")
            keys.append(self._dotted(hyphens=is_lenient) if self._is_sign(".") else self._bracketed())
        return Access(atom, tuple(keys), is_lenient, start.position) if keys else atom

    def _dotted(self, *, hyphens: bool) -> Key:
        name = self._key(hyphens=hyphens)
        # The seed's names may hold a hyphen, so `output.n-1` would read the key "n-1" where a difference is meant.
        if any(part[:1].isdigit() for part in name.word.split("-")[1:]):
            raise self._at(name).error(
                f"{name.word!r} may be a name or a difference.", f'Write ["{name.word}"], or spaces around the minus.'
            )
        if self._is_sign("("):
            advice = f"Write {name.word}(...)." if name.word in FUNCTIONS else f"There are only {', '.join(FUNCTIONS)}."
            raise self._at(name).error("values have no methods here.", advice)
        return Key(name.word, name.position)

    def _bracketed(self) -> Key:
        bracket = self._advance()
        index = self._expression(_OR)
        self._expect("]")
        return Key(index, bracket.position)

    def _atom(self) -> tuple[Node, bool]:
        """An atom, and whether a path may go on from it."""
        token = self._advance()
        match token.kind:
            case TokenKind.NUMBER:
                return Literal(token.value, token.position), False
            case TokenKind.TEXT:
                return Literal(token.value, token.position), True
            case TokenKind.NAME:
                return self._name(token), True
            case TokenKind.SIGN if token.word == "[":
                return ListOf(self._items("]"), token.position), True
            case TokenKind.SIGN if token.word == "(":
                return self._group(token), True
            case TokenKind.END:
                raise self._at(token).error("the text ends where a value is expected.")
        raise self._at(token).error(f"{_shown(token)} stands where a value is expected.")

    def _group(self, bracket: Token) -> Node:
        first = self._expression(_OR)
        if not self._is_sign(","):
            self._expect(")")
            return first
        self._advance()
        return ListOf((first, *self._items(")")), bracket.position)

    def _items(self, end: str) -> tuple[Node, ...]:
        """Expressions between commas up to the bracket `end`; a comma may stand before it."""
        items: list[Node] = []
        while not self._is_sign(end):
            items.append(self._expression(_OR))
            if not self._is_sign(end):
                self._expect(",")
        self._advance()
        return tuple(items)

    def _name(self, token: Token) -> Node:
        word = token.word
        if self._is_sign("("):
            return self._call(token)
        if word in _CONSTANTS:
            return Literal(_CONSTANTS[word], token.position)
        if word == "steps":
            return self._step(token)
        if word == "inputs":
            return InputName(self._part_of(token, "an input"), token.position)
        return ValueName(word, token.position)

    def _call(self, token: Token) -> Node:
        if token.word not in FUNCTIONS:
            advice = nearest(token.word, FUNCTIONS) or f"There are only {', '.join(FUNCTIONS)}."
            raise self._at(token).error(f"there is no function {token.word!r}.", advice)
        self._advance()
        arguments = self._items(")")
        least, most = _ARITY.get(token.word, (1, 1))
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise self._at(token).error(f"{token.word}() takes {wanted}, not {len(arguments)}.")
        return Call(token.word, arguments, token.position)

    def _step(self, token: Token) -> Node:
        step = self._part_of(token, "a step")
        if self._is_sign("."):
            field = self._key(hyphens=True)
        elif self._is_sign("["):
            self._advance()
            field = self._quoted()
        else:
            return StepFact(step, None, token.position)
        name = str(field.value or field.word)
        if name not in STEP_FIELDS:
            advice = nearest(name, STEP_FIELDS) or f"There are only {', '.join(STEP_FIELDS)}."
            raise self._at(field).error(f"a step has no {name!r} here.", advice)
        return StepFact(step, name, token.position)

    def _part_of(self, root: Token, what: str) -> str:
        """The name behind `steps` or `inputs`, which must be spelled out: the graph makes its edges from it."""
        if self._is_sign("."):
            return self._key(hyphens=True).word
        if not self._is_sign("["):
            advice = f"Write {root.word}.NAME; a value of this name must be renamed."
            raise self._at(root).error(f"{root.word!r} needs the name of {what}.", advice)
        self._advance()
        return str(self._quoted().value)

    def _quoted(self) -> Token:
        token = self._advance()
        if token.kind is not TokenKind.TEXT:
            raise self._at(token).error("this name must be spelled out in quotes.")
        self._expect("]")
        return token

    def _key(self, *, hyphens: bool) -> Token:
        """The name behind the dot that is the current token."""
        name = self._reader.key(hyphens=hyphens)
        self._now = self._reader.token()
        return name

    def _advance(self) -> Token:
        token = self._now
        self._now = self._reader.token()
        return token

    def _expect(self, sign: str) -> None:
        if not self._is_sign(sign):
            raise self._at(self._now).error(f"{sign!r} is expected here, not {_shown(self._now)}.", _hint(self._now))
        self._advance()

    def _is_end(self) -> bool:
        return self._now.kind is TokenKind.END

    def _is_sign(self, sign: str) -> bool:
        return self._now.kind is TokenKind.SIGN and self._now.word == sign

    def _at(self, token: Token) -> Spot:
        return Spot(self._source, token.position)


def _shown(token: Token) -> str:
    if token.kind is TokenKind.END:
        return "the end"
    word = token.word if len(token.word) <= 40 else token.word[:40] + "…"
    return f"{token.kind.value} {word!r}" if token.kind is not TokenKind.SIGN else repr(word)


def _hint(token: Token) -> str:
    return {"is": "Write '=='.", "if": "A condition has no 'if'."}.get(token.word, "")
