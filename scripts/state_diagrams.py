"""Draws the tables of `szal_nb.model.state` into ARCHITECTURE.md; with `--check` only says whether they are in step."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from szal_nb.model.transition import RUN_TRANSITIONS, STEP_TRANSITIONS

PAGE = Path(__file__).parent.parent / "ARCHITECTURE.md"


def diagram(transitions: Mapping[tuple[StrEnum, type], StrEnum]) -> str:
    """The table as a Mermaid state diagram: one arrow for all events between two states."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in transitions.items():
        if before is not after:
            arrows.setdefault((before.value, after.value), []).append(event.__struct_config__.tag)
    first = next(iter(transitions))[0].value
    lines = [f"    [*] --> {first}"]
    lines += [f"    {before} --> {after}: {', '.join(kinds)}" for (before, after), kinds in arrows.items()]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```"


def with_diagrams(page: str) -> str:
    """`page` with what stands between the markers made anew."""
    for name, transitions in {"runs": RUN_TRANSITIONS, "steps": STEP_TRANSITIONS}.items():
        begin, end = f"<!-- states of {name} -->", f"<!-- end of states of {name} -->"
        drawn = f"{begin}\n{diagram(transitions)}\n{end}"
        page, count = re.subn(
            re.escape(begin) + ".*?" + re.escape(end), lambda _, drawn=drawn: drawn, page, flags=re.DOTALL
        )
        if count != 1:
            sys.exit(f"{PAGE.name} has no place for the states of {name}: {begin} … {end}")
    return page


if __name__ == "__main__":
    before = PAGE.read_text()
    after = with_diagrams(before)
    if "--check" in sys.argv:
        sys.exit(before != after)
    PAGE.write_text(after)
