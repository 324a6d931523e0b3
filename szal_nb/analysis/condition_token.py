"""Words and signs of the condition language: the text, cut one token at a time.

The reader goes forward only and looks at each character once, so that its time is linear in the length of the text.
"""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import NamedTuple

from szal_nb.analysis.condition_error import ConditionError, Spot

LONGEST_TEXT = 10_000
_LONGEST_NUMBER = 100
_DIGITS = frozenset("0123456789")
_SIGNS_OF_TWO = frozenset(("||", "&&", "==", "!=", ">=", "<="))
_SIGNS_OF_ONE = frozenset("!><()[].,+-*/%")
_WORD_SIGNS = {"or": "||", "and": "&&", "not": "not", "in": "in"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_HEX_ESCAPES = {"x": 2, "u": 4}
_ADVICE = {
    "=": "Write '==' to compare.",
    "&": "Write '&&' or 'and'.",
    "|": "Write '||' or 'or'.",
    "{": "A condition has no mappings or sets of its own.",
    "`": "Write text in single or double quotes.",
}


class TokenKind(Enum):
    """What a token is; the value is the word for it in errors."""

    NAME = "name"
    NUMBER = "number"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


class Token(NamedTuple):
    """One word or sign. `word` is a sign or a name as the grammar knows it, `value` that of a number or a text."""

    kind: TokenKind
    position: int
    word: str
    value: str | int | float = ""


class TokenReader:
    """Gives the tokens of one text. `key` instead of `token` reads the name behind a dot."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def token(self) -> Token:
        """The next token; at the end of the text always `END`."""
        source, length = self._source, len(self._source)
        while self._at < length and source[self._at].isspace():
            self._at += 1
        start = self._at
        if start == length:
            return Token(TokenKind.END, start, "")
        char = source[start]
        if _is_name_start(char):
            return self._name(start)
        if char in _DIGITS:
            return self._number(start)
        if char in "'\"":
            return self._text(start)
        for sign in (source[start : start + 2], char):
            if sign in _SIGNS_OF_TWO or sign in _SIGNS_OF_ONE:
                self._at = start + len(sign)
                return Token(TokenKind.SIGN, start, sign)
        raise self._error(start, f"{char!r} is not part of the language of conditions.", _ADVICE.get(char, ""))

    def key(self, *, hyphens: bool) -> Token:
        """The name right behind a dot. With `hyphens`, a '-' between two characters of a name belongs to it."""
        source, start = self._source, self._at
        char = source[start : start + 1]
        if not char or not _is_name_start(char):
            advice = "Write an index in brackets, as in 'a[0]'." if char and char in _DIGITS else ""
            raise self._error(start, "a name must follow a dot.", advice)
        end = start
        while self._is_name_part(end) or (
            hyphens and source[end : end + 1] == "-" and end > start and self._is_name_part(end + 1)
        ):
            end += 1
        self._at = end
        word = source[start:end]
        self._refuse_dunder(word, start)
        return Token(TokenKind.NAME, start, word)

    def _name(self, start: int) -> Token:
        end = start + 1
        while self._is_name_part(end):
            end += 1
        self._at = end
        word = self._source[start:end]
        if word in _WORD_SIGNS:
            return Token(TokenKind.SIGN, start, _WORD_SIGNS[word])
        if self._source[end : end + 1] in ("'", '"'):
            raise self._error(start, f"text with the prefix {word!r} is refused.", "Write the quotes alone.")
        if not word.isascii():
            # Python binds names in this form, so a name typed with other code points still finds its value.
            word = unicodedata.normalize("NFKC", word)
        self._refuse_dunder(word, start)
        return Token(TokenKind.NAME, start, word)

    def _number(self, start: int) -> Token:
        end = self._digits(start)
        is_float = False
        if self._source[end : end + 1] == "." and self._source[end + 1 : end + 2] in _DIGITS:
            end, is_float = self._digits(end + 1), True
        if self._source[end : end + 1] in ("e", "E"):
            sign = self._source[end + 1 : end + 2] in ("+", "-")
            end, is_float = self._digits(end + 1 + sign), True
        if self._is_name_part(end) or self._source[end : end + 1] == "." or end - start > _LONGEST_NUMBER:
            raise self._error(start, "this is not a number.", "Numbers are written as 3, 0.5 or 1e-6.")
        self._at = end
        word = self._source[start:end]
        value = float(word) if is_float else int(word)
        if value == float("inf"):
            raise self._error(start, "this number is too large.")
        return Token(TokenKind.NUMBER, start, word, value)

    def _digits(self, start: int) -> int:
        """The end of a row of digits; single underscores may stand between them, as in Python."""
        source, end = self._source, start
        while source[end : end + 1] in _DIGITS or (
            source[end : end + 1] == "_" and end > start and source[end + 1 : end + 2] in _DIGITS
        ):
            end += 1
        if end == start:
            raise self._error(start, "digits are missing here.")
        return end

    def _text(self, start: int) -> Token:
        source, quote, length = self._source, self._source[start], len(self._source)
        parts: list[str] = []
        at = start + 1
        while at < length and source[at] != quote:
            if source[at] == "\\":
                char, at = self._escape(at)
                parts.append(char)
            else:
                parts.append(source[at])
                at += 1
        if at == length:
            raise self._error(start, "this text has no end.", f"Close it with {quote}.")
        self._at = at + 1
        return Token(TokenKind.TEXT, start, source[start : at + 1], "".join(parts))

    def _escape(self, at: int) -> tuple[str, int]:
        code = self._source[at + 1 : at + 2]
        if code in _ESCAPES:
            return _ESCAPES[code], at + 2
        if code in _HEX_ESCAPES:
            end = at + 2 + _HEX_ESCAPES[code]
            digits = self._source[at + 2 : end]
            if len(digits) == _HEX_ESCAPES[code] and all(char in "0123456789abcdefABCDEF" for char in digits):
                return chr(int(digits, 16)), end
        raise self._error(at, "this escape is not known.", "Write '\\\\' for a backslash.")

    def _is_name_part(self, at: int) -> bool:
        return at < len(self._source) and ("_" + self._source[at]).isidentifier()

    def _refuse_dunder(self, word: str, position: int) -> None:
        if word.startswith("__"):
            raise self._error(position, f"{word!r} is refused: names with two leading underscores are Python's own.")

    def _error(self, position: int, problem: str, advice: str = "") -> ConditionError:
        return Spot(self._source, position).error(problem, advice)


def _is_name_start(char: str) -> bool:
    return char.isidentifier()
