"""What the documents show as code, in the order of the page, for tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_HEADING_OR_FENCE = re.compile(r"^## ([^\n]*)$|^```(\w*)\n(.*?)^```$\n?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """Blocks with no text between them: the cells of one notebook, one script, or lines of a shell."""

    page: str
    section: str
    number: int  # in its section, from 1
    language: str
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.section} {self.number}"

    @property
    def is_notebook(self) -> bool:
        """Whether there is a magic in it, which only a kernel understands."""
        return any(re.search(r"^[^#\n]*%szal_", block, re.MULTILINE) for block in self.blocks)


def samples(page: Path) -> Iterator[Sample]:
    """What a page shows."""
    section, number, end = "", 0, -1
    blocks: list[tuple[tuple[str, int, str], str]] = []
    for found in _HEADING_OR_FENCE.finditer(page.read_text()):
        if found[1] is not None:
            section, number = found[1], 0
            continue
        number += found.start() != end
        end = found.end()
        blocks.append(((section, number, found[2]), found[3]))
    for (section, number, language), together in groupby(blocks, key=lambda block: block[0]):
        yield Sample(page.name, section, number, language, tuple(block for _, block in together))
