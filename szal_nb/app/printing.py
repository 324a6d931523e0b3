"""How the program prints: tables and JSON on stdout, messages on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from szal_nb.model.secret import SECRETS


def print_json(document: object) -> None:
    """Prints one JSON document; what JSON does not know is shown as text."""
    print(json.dumps(SECRETS.masked_data(document), indent=2, default=str, ensure_ascii=False))


def say(message: str) -> None:
    """Prints a message for people, which is not the command's answer."""
    print(SECRETS.masked(message), file=sys.stderr, flush=True)


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, as wide as their content; the last column is not padded."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def table_line(source: str, target: str, reason: str) -> str:
    """One edge of a graph."""
    return f"{target} waits for {source}: {reason}"


def error_text(error: BaseException) -> str:
    """What a person needs to know of an error: its message, and where."""
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    return f"{error}{notes}"


def error_json(error: BaseException) -> dict[str, Any]:
    """An error as a JSON document."""
    notes = list(getattr(error, "__notes__", ()))
    return {"error": {"type": type(error).__name__, "message": str(error), "notes": notes}}
