"""Each sentence of docs/promises.md is quoted in the docstring of a test: what no test quotes, nobody holds."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# So many words in a row make a quotation. Between two of them may stand a word or two that only join them.
RUN, JOIN = 4, 2


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def sentences() -> list[str]:
    page = (ROOT / "docs" / "promises.md").read_text()
    page = re.sub(r"```.*?```", "", page[page.index("\n## ") :], flags=re.DOTALL)
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    # A title in bold is no sentence, nor is what only leads to a list.
    titled = [re.sub(r"^\*\*[^*]*\.\*\* ", "", line.removeprefix("- ")) for line in lines]
    parts = [part for line in titled for part in re.split(r"(?<=[.;])\s+", line)]
    return [part for part in parts if len(words(part)) >= RUN and not part.endswith(":")]


def quoted(trees: list[ast.Module]) -> set[tuple[str, ...]]:
    """All runs of words in the docstrings of tests."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = words(ast.get_docstring(node) or "")
                found |= {tuple(said[i : i + RUN]) for i in range(len(said) - RUN + 1)}
    return found


@cache
def quotations() -> set[tuple[str, ...]]:
    return quoted([ast.parse(path.read_text()) for path in sorted(ROOT.glob("tests/**/test_*.py"))])


def unquoted(sentence: str, known: set[tuple[str, ...]]) -> list[str]:
    """The words of a sentence that no test quotes, as runs of more than `JOIN`."""
    said = words(sentence)
    is_held = [False] * len(said)
    for i in range(len(said) - RUN + 1):
        if tuple(said[i : i + RUN]) in known:
            is_held[i : i + RUN] = [True] * RUN
    text = " ".join(word if not held else "|" for word, held in zip(said, is_held, strict=True))
    return [run.strip() for run in text.split("|") if len(run.split()) > JOIN]


@pytest.mark.parametrize("sentence", sentences())
def test_a_sentence_is_quoted_by_a_test(sentence):
    assert not unquoted(sentence, quotations())


def test_a_sentence_that_no_test_quotes_is_found():
    known = quoted([ast.parse('def test_one():\n    """Nothing is completed unless what it gave is stored."""')])

    assert not unquoted('Nothing is "completed" unless what it gave is stored;', known)
    assert unquoted('Nothing is "completed" unless what it gave is stored on three continents.', known) == [
        "on three continents"
    ]
