"""515 strings that programs have trouble with, made by rule: markup in many places, marks, scripts of the world, syntax."""

from __future__ import annotations

import itertools
import unicodedata

_ACTS = (
    "<script>hacked=1</script>", "<img src=x onerror=hacked=1>", "<svg onload=hacked=1>", "<iframe srcdoc='<script>'>",
    "<a href=javascript:hacked=1>x</a>", "<style>*{display:none}</style>", "<math><mtext></mtext></math>",
    "<input autofocus onfocus=hacked=1>", "<details open ontoggle=hacked=1>", "<base href=//x.test>", "<!--", "]]>",
    "<foreignObject><body onload=hacked=1>", "<animate attributeName=href values=javascript:hacked=1>",
    "&lt;script&gt;hacked=1&lt;/script&gt;", "&#x3c;img src=x onerror=hacked=1>", "<use href='data:,x#y'>",
)  # fmt: skip
_PLACES = (
    "{}", "'{}", '"{}', "`{}", '">{}', "'>{}", "--></style></script>{}", "</title></text></svg>{}", "]]>{}", "${{{}}}",
    "\u202e{}", "\u0000{}", "{}\u2028{}", "\\u003c{}", "x\n{}", "{} onclick=hacked=1", "<{}>", "<<{}", "{}/*", "//{}",
)  # fmt: skip
_SYNTAX = (
    "", " ", "\t", "\n", "\r\n", "\x00", "\x1b[31m", "\x1b]8;;javascript:hacked=1\x07x\x1b]8;;\x07", "\ufeff", "\ud800",
    "__proto__", "constructor", "toString", "hasOwnProperty", "undefined", "null", "NaN", "None", "true", "0", "-0",
    "1e999", "9" * 400, "../../etc/passwd", "C:\\nul", "file:///", "javascript:hacked=1", "data:text/html,<b>", "%00%0a",
    "%s%n{0}{x!r}", "{{7*7}}", "${7*7}", "#{7*7}", "'; DROP TABLE runs;--", '" OR ""="', "$(touch x)", "`touch x`",
    "|| true", "&& false", "\\", "\\\\n", "/", "//", "a" * 10_000, "a " * 5_000, "\u0300" * 500, "e\u0301" * 300,
    "\u202d\u202e\u2066\u2067\u2069", "\u200b\u200c\u200d\u2060", "\U000e0001tag\U000e007f", "👩‍👩‍👧‍👦" * 40, "🇦🇶" * 40, "﷽" * 60,
)  # fmt: skip


def _of_the_world() -> list[str]:
    """A few letters of each script and kind of character that Unicode has."""
    found: dict[str, str] = {}
    for code in itertools.chain(range(0xA1, 0xFFFF, 7), range(0x10000, 0x1F9FF, 97)):
        character = chr(code)
        name = unicodedata.name(character, "")
        if name:
            kind = f"{name.partition(' ')[0]} {unicodedata.category(character)} {unicodedata.bidirectional(character)}"
            found[kind] = found.get(kind, "") + character
    return [text[:40] for text in found.values()]


def _all() -> tuple[str, ...]:
    markup = [place.format(*(act, act)) for place, act in itertools.product(_PLACES, _ACTS)]
    return tuple(dict.fromkeys((*_SYNTAX, *markup, *_of_the_world())))[:515]


ODD = _all()
