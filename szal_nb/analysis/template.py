"""References in texts: `{{ steps.load.output.url }}` in inputs and settings, read by the language of conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from szal_nb.analysis.condition import compile_reference
from szal_nb.analysis.condition_error import ConditionError, Spot

_LONGEST_TEMPLATE = 1_000_000
_DEEPEST_TEMPLATE = 100


class Unresolved(StrEnum):
    """What becomes of a reference that leads nowhere: an error, the empty text, or the reference as it stands."""

    ERROR = "error"
    EMPTY = "empty"
    KEEP = "keep"


def render(template: Any, values: Mapping[str, Any], *, unresolved: Unresolved = Unresolved.ERROR) -> Any:
    """The template with its references replaced, also inside lists and the values of mappings.

    A text that is one reference and nothing else becomes the value itself, of its own type. Among other text, texts
    stand as they are and other plain values as JSON. Braces without an end are text. `values` is as for
    `Condition.evaluate`; raises `ConditionError`.

    >>> render({"url": "{{ base }}/x?n={{ n }}", "n": "{{ n }}"}, {"base": "https://x.org", "n": 3})
    {'url': 'https://x.org/x?n=3', 'n': 3}
    """
    return _rendered(template, values, unresolved, 0)


def _rendered(template: Any, values: Mapping[str, Any], unresolved: Unresolved, depth: int) -> Any:
    if depth > _DEEPEST_TEMPLATE:
        raise Spot("", 0).error(f"the template is nested deeper than {_DEEPEST_TEMPLATE} levels.")
    match template:
        case str():
            return _text(template, values, unresolved)
        case list():
            return [_rendered(item, values, unresolved, depth + 1) for item in template]
        case dict():
            return {key: _rendered(item, values, unresolved, depth + 1) for key, item in template.items()}
    return template


def _text(template: str, values: Mapping[str, Any], unresolved: Unresolved) -> Any:
    if len(template) > _LONGEST_TEMPLATE:
        raise Spot("", 0).error(f"the template has more than {_LONGEST_TEMPLATE:,} characters.")
    parts: list[Any] = []
    done = 0
    while (start := template.find("{{", done)) >= 0 and (end := _end_of_reference(template, start)):
        parts += [template[done:start], _resolved(template[start:end], values, unresolved)]
        done = end
    parts.append(template[done:])
    if len(parts) == 3 and not parts[0] and not parts[2]:
        return parts[1]
    return "".join(part if type(part) is str else _json(part, template) for part in parts)


def _end_of_reference(template: str, start: int) -> int:
    """The place behind the `}}` that ends the reference, 0 if there is none; braces inside quotes are text.

    Where a quote has no end, the first `}}` ends the reference, which is then refused as a bad one, never kept as text.
    """
    quote = ""
    at = start + 2
    while at < len(template):
        char = template[at]
        if quote and char == "\\":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif template.startswith("}}", at):
            return at + 2
        at += 1
    return template.find("}}", start + 2) + 2 if "}}" in template[start:] else 0


def _resolved(reference: str, values: Mapping[str, Any], unresolved: Unresolved) -> Any:
    path = reference[2:-2]
    if not path.strip():
        raise Spot(reference, 2).error("this reference is empty.")
    compiled = compile_reference(path)
    try:
        return compiled.value(values)
    except ConditionError:
        if unresolved is Unresolved.ERROR:
            raise
    return "" if unresolved is Unresolved.EMPTY else reference


def _json(value: Any, template: str) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        spot = Spot(template, 0)
        raise spot.error(
            f"a value of type {type(value).__name__} cannot stand in a text.", "Let the text be the reference."
        ) from error
