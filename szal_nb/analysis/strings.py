"""Reads that stand in strings: `@name` in pandas' query and eval, names of tables in SQL, `{name}` in shell lines."""

from __future__ import annotations

import ast
import re

from szal_nb.analysis import files
from szal_nb.analysis.frame import Frame

_AT_NAME = re.compile(r"@([A-Za-z_]\w*)")
_TABLE = re.compile(
    r"\b(?:from|join|describe|summarize|into|update|table)\s+([A-Za-z_]\w*)(?!\w*\s*[.(])", re.IGNORECASE
)
_LISTED = re.compile(r"\bfrom\s+((?:[A-Za-z_]\w*\s*(?:as\s+\w+\s*)?,\s*)+[A-Za-z_]\w*)", re.IGNORECASE)
_SQL_WORDS = frozenset(
    {"select", "values", "lateral", "unnest", "read_csv", "read_parquet", "generate_series", "range"}
)
_READING_WORDS = frozenset({"select", "from", "with", "describe", "summarize", "show", "explain", "values", "pivot"})
_WRITING_WORDS = frozenset({"insert", "update", "delete", "create"})
_STRING_METHODS = frozenset({"query", "eval"})
_SQL_METHODS = frozenset({"sql", "query", "execute", "query_df", "from_query"})


def literal(node: ast.expr | None) -> str | None:
    """The text of a string literal; of an f-string its fixed parts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return " ".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return None


def names_in_expression(text: str) -> list[str]:
    """The names with `@` in an expression for pandas.

    >>> names_in_expression("region == @region and price > @limits['low']")
    ['region', 'limits']
    """
    return list(dict.fromkeys(_AT_NAME.findall(text)))


def changes_database(text: str) -> bool:
    """Whether a statement of SQL may change the database it is given to.

    >>> changes_database("insert into t values (1)"), changes_database("select 1")
    (True, False)
    """
    words = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL).lower().split()
    return not words or words[0].strip("(;") not in _READING_WORDS or bool(_WRITING_WORDS & set(words))


def sql_of(node: ast.Call) -> str:
    """The text of SQL that a call gets, as far as it is literal."""
    keywords = [keyword.value for keyword in node.keywords if keyword.arg in {"query", "sql"}]
    return next(filter(None, map(literal, [*node.args[:1], *keywords])), "")


def names_in_sql(text: str) -> list[str]:
    """The names of tables that a query may take from Python variables.

    >>> names_in_sql("select * from orders o join users using (id)")
    ['orders', 'users']
    """
    if not re.search(r"\b(select|from|describe|summarize|pivot|with)\b", text, re.IGNORECASE):
        return []
    found = _TABLE.findall(text)
    for listed in _LISTED.findall(text):
        found += [part.split()[0] for part in listed.split(",") if part.split()]
    defined = {
        name.lower() for name in re.findall(r"(\w+)\s+as\s*(?:not\s+)?(?:materialized\s*)?\(", text, re.IGNORECASE)
    }
    return [name for name in dict.fromkeys(found) if name.lower() not in _SQL_WORDS | defined]


def read_in_call(frame: Frame, node: ast.Call, name: str) -> None:
    """Records the reads in the string arguments of a call of `name`."""
    if name not in _STRING_METHODS and name not in _SQL_METHODS:
        return
    text = literal(node.args[0]) if node.args else None
    for keyword in node.keywords:
        if text is None and keyword.arg in {"expr", "query", "sql"}:
            text = literal(keyword.value)
    if not text:
        return
    if name in _STRING_METHODS:
        for found in names_in_expression(text):
            frame.load(found, node.lineno)
    if name in _SQL_METHODS:
        for found in names_in_sql(text):
            frame.read_table(found, node.lineno)
        for path, is_write in files.uses_in_sql(text, may_change=changes_database(text)):
            frame.use_file(path, node, f"{name}(…)", is_write=is_write)
