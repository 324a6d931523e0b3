"""What people and bodies say of a run in a line, as events hold it: reasons and notes."""

from __future__ import annotations

_LONGEST_CHARS = 1000


def said(text: object) -> str:
    """The text of a reason or a note, whatever was given for one; a long one is cut.

    >>> said(TimeoutError("no answer")), len(said("x" * 5000))
    ('no answer', 1001)
    """
    whole = text if isinstance(text, str) else "" if text is None else str(text)
    return whole if len(whole) <= _LONGEST_CHARS else f"{whole[:_LONGEST_CHARS]}…"
