"""Notebooks as text for tests: `# %%` begins an ordinary cell, `# %% name --flags` a step; `#: a -> b, c` are edges."""

from __future__ import annotations

import ast
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.analysis.making import is_told
from szal_nb.analysis.tables import IMMUTABLE, USED_UP
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Step


@dataclass
class Cells:
    plain: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    edges: set[tuple[str, str]] = field(default_factory=set)


def step(name: str, source: str, flags: str = "") -> Step:
    """A step with list flags such as `--pure a b --after c`."""
    found = Step(name=name, source=source)
    flag, values = "", {}
    for word in shlex.split(flags):
        if word.startswith("--"):
            flag = word.removeprefix("--")
            values[flag] = ()
        else:
            values[flag] += (word,)
    if "needs" in values:
        values["needs"] = tuple(tuple(word.split("=")) for word in values["needs"])
    for single in ("when", "parent"):
        if single in values:
            values[single] = " ".join(values[single])
    return replace(found, **values)


def parse_cells(text: str) -> Cells:
    cells = Cells()
    head, *parts = text.split("# %%")
    for line in head.splitlines():
        if line.startswith("#:"):
            source, _, targets = line[2:].partition("->")
            cells.edges |= {(source.strip(), target.strip()) for target in targets.split(",")}
    for part in parts:
        first, _, source = part.partition("\n")
        if first.strip():
            name, _, flags = first.strip().partition(" ")
            cells.steps.append(step(name, source, flags))
        else:
            cells.plain.append(source)
    return cells


def read_cells(path: Path) -> Cells:
    return parse_cells(path.read_text())


def surroundings(plain: list[str]) -> Surroundings:
    """What ordinary cells bind, as the notebook layer would say it."""
    found: dict[str, NotebookName] = {}
    for source in plain:
        names = analyze_cell(source)
        for one in names.imports:
            found[one.name] = NotebookName("module", statement=one.statement)
        for given in names.gives:
            found[given.name] = (
                NotebookName("function", source=given.function)
                if given.function
                else NotebookName(
                    "data", made=given.kind if given.kind in IMMUTABLE | USED_UP or is_told(given.kind) else ""
                )
            )
        found |= {name: NotebookName("data") for name in names.private}
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = NotebookName("class", source=ast.unparse(node))
            elif isinstance(node, ast.FunctionDef) and node.decorator_list:
                found[node.name] = NotebookName("callable", source=ast.unparse(node))
    return Surroundings(found)


def notebook_graph(cells: Cells | str, **flow) -> FlowGraph:
    cells = parse_cells(cells) if isinstance(cells, str) else cells
    flow = FlowDefinition(name="test", steps=tuple(cells.steps), **flow)
    return build_graph(flow, surroundings(cells.plain))


def closure(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """All pairs of which the second waits for the first, at once or through others."""
    followers: dict[str, set[str]] = {}
    for source, target in pairs:
        followers.setdefault(source, set()).add(target)
    found = set()
    for start in followers:
        todo, seen = [start], set()
        while todo:
            for target in followers.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        found |= {(start, target) for target in seen}
    return found


# What generated notebooks call; `a` and `b` are names of theirs.
HELPERS = """
import copy

class Box:
    total = 0

    def __init__(self, value=None):
        self.value = value

    def put(self, item):
        self.value.append(item)

    def add(self, item):
        self.put(item)
        return self

    def read(self):
        return self.value

def last(x):
    return x[-1] if x and isinstance(x[-1], list) else x

def grow(x):
    x.append(9)

def grown(x, n=1):
    for _ in range(n):
        grow(x)
    return x

def inner(x):
    for part in x:
        if isinstance(part, list):
            part.append(3)

def each(function, *items):
    return [function(item) for item in items]

def total():
    return len(str(a)) + len(str(b))

double = lambda x: x + x
"""
