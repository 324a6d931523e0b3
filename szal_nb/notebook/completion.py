"""Completion of flags, and of step names behind flags that take them, in the lines of szal's magics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from IPython.core.completer import SimpleCompletion, context_matcher

from szal_nb.notebook.arguments import COMMANDS
from szal_nb.notebook.flags import flags_of, parser_of

_STEP_FLAGS = frozenset({"--after", "--parent", "--only", "--from", "--until"})


def completions(line: str, steps: Iterable[str] = ()) -> Sequence[str] | None:
    """What may stand at the end of `line` instead of its last word; None if the line is no command of ours.

    >>> completions("%%szal_step load --retr")
    ['--retries', '--retry-on']
    >>> completions("%%szal_step load --backoff e")
    ['exponential']
    """
    match = re.match(r"\s*(?:[\w.]+\s*=\s*)?(%{1,2}szal_\w+)\s", line)
    if match is not None:
        command, rest = match[1], line[match.end() :]
    elif line.startswith("#|") and (match := re.match(r"#\|\s*(step|rollback)\s*:", line)) is not None:
        command, rest = f"%%szal_{match[1]}", line[match.end() :]
    else:
        return None
    if command not in COMMANDS:
        return None
    words = rest.split()
    token = "" if not words or rest[-1].isspace() else words.pop()
    if token.startswith("-"):
        found: Iterable[str] = [flag for flag in flags_of(command) if flag not in words]
    else:
        found = _values_after(command, words, steps)
    return sorted(text for text in found if text.startswith(token))


def _values_after(command: str, words: Sequence[str], steps: Iterable[str]) -> Iterable[str]:
    flag = next((word for word in reversed(words) if word.startswith("-")), "")
    if flag in _STEP_FLAGS or (command == "%%szal_rollback" and not words):
        return [step for step in steps if step not in words]
    for action in parser_of(command)._actions:  # noqa: SLF001 - argparse has no other way to ask
        if flag in action.option_strings and action.choices and words[-1] == flag:
            return [str(choice) for choice in action.choices]
    return ()


def matcher(steps: Callable[[], Iterable[str]]) -> Any:
    """A matcher for `ip.Completer.custom_matchers`."""

    @context_matcher()  # type: ignore[untyped-decorator]
    def szal_matcher(context: Any) -> dict[str, Any]:
        line = context.line_with_cursor[: context.cursor_position]
        found = completions(line, steps())
        if found is None:
            return {"completions": []}
        return {"completions": [SimpleCompletion(text, type="param") for text in found], "suppress": True}

    return szal_matcher
