"""From the source of a cell to the names it reads, gives and changes. Pure: no flow, no notebook, no values.

`analyze_cell(source, context=None) -> CellNames`; the result types are in `names`. Without a context, names such as
`np` and `plt` stand for the modules that are nearly always meant; with one, only for what it says.
Results are kept by source and context, so that changing one cell of a notebook costs the analysis of that cell only.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from szal_nb.analysis import hidden, scope
from szal_nb.analysis.frame import Frame
from szal_nb.analysis.names import Captured, CellNames, Change, Context, Given, ImportedName, Read, StateUse
from szal_nb.analysis.statements import Walker
from szal_nb.analysis.surface import Surface
from szal_nb.analysis.survey import survey
from szal_nb.analysis.values import State, Value

__all__ = ["CellNames", "Context", "analyze_cell"]

_KEPT = 20_000
# Functions of asyncio that want the loop to run already.
_ON_LOOP = frozenset({
    "create_task", "ensure_future", "get_running_loop", "get_event_loop", "current_task", "all_tasks",
})  # fmt: skip


@lru_cache(maxsize=_KEPT)
def analyze_cell(source: str, context: Context | None = None) -> CellNames:
    r"""What the code of a cell reads, gives, changes and uses besides; `SyntaxError` if it is not Python.

    >>> names = analyze_cell("total = price * count\nbasket.append(total)")
    >>> names.read_names, names.given_names, names.changed_names
    (('price', 'count', 'basket'), ('total',), ('basket',))
    """
    tree = ast.parse(source)
    walker = Walker(Surface(context))
    try:
        walker.run(tree.body)
        return _result(source, tree, walker)
    except RecursionError:
        return _too_deep(tree)


def _result(source: str, tree: ast.Module, walker: Walker) -> CellNames:
    record = walker.record
    state = walker.state or walker.last_state or State()
    bound = [name for name in walker.given_lines if name in state.values]
    # Another name for a module (`xp = np`) is given as any name is: no statement could bind it elsewhere.
    imported = [name for name in bound if state.values[name].kind == "import" and name in walker.imports]
    given = [name for name in bound if name not in imported and not name.startswith("_")]
    shown = {*given, *imported}
    lines = source.splitlines()
    reads = [
        replace(read, is_optional=True) if read.name in walker.deferred and read.name in walker.given_lines else read
        for read in record.reads.values()
    ]
    known = walker.surface
    gives = tuple(_given(name, walker, state, lines) for name in given)
    return CellNames(
        reads=tuple(reads),
        gives=gives,
        changes=_strongest(record.changes),
        deletes=tuple(Read(name, line) for name, line in state.gone.items()),
        imports=tuple(_joined(walker.imports[name]) for name in imported),
        states=_distinct(record.states),
        captured=tuple(dict.fromkeys([*record.captured, *_captured(gives, walker, state)])),
        builtins=tuple(record.builtins.values()),
        private=tuple(name for name in bound if name not in shown),
        helpers=tuple(r.name for r in reads if r.name in known.functions or r.name in known.classes),
        dynamic=tuple(dict.fromkeys(record.dynamic)),
        holds=_pairs(record.holds, record.below),
        learns=_pairs(record.learns),
        is_async=_is_async(source, tree),
        needs_loop="asyncio" in source and any(map(_asks_for_loop, scope.own_nodes(tree.body))),
        has_calls=record.has_calls,
    )


def _given(name: str, walker: Walker, state: State, lines: list[str]) -> Given:
    value = state.values[name]
    return Given(
        name,
        walker.given_lines[name],
        is_optional=name not in state.sure,
        kind=value.kind or hidden.alias_of(value.ref),
        objects=value.tokens,
        function=_function_source(name, value, lines),
        path=value.path,
    )


def _captured(gives: tuple[Given, ...], walker: Walker, state: State) -> Iterator[Captured]:
    """What the code in values reads, where it cannot be made anew over the values of the step that uses it."""
    classes = [captured for captured in walker.record.captured if captured.what == "class"]
    for given in gives:
        value = state.values[given.name]
        if given.function or value.kind == "class":
            continue
        what = "closure" if value.callable is not None else "generator" if value.kind == "generator" else "object"
        for code in walker.code_in(walker.reach(value.tokens)):
            if isinstance(code, tuple):
                reads = list(code)
            elif isinstance(code, str):
                reads = [captured.name for captured in classes if captured.owner == code]
            else:
                found = walker.summary(code)
                reads = list(found.reads) if found is not None else []
            yield from (Captured(name, given.line, given.name, what) for name in reads if name != given.name)


def _function_source(name: str, value: Value, lines: list[str]) -> str:
    function = value.callable
    if function is None or function.is_external or not function.is_plain or not isinstance(function.frame, Frame):
        return ""
    node = function.node
    if not function.frame.is_module:
        # It was made by another function: one that needs the names of that function cannot be made anew.
        if function.frame.is_class or function.frame.free_names(node):
            return ""
        return f"{name} = {ast.unparse(node)}" if isinstance(node, ast.Lambda) else ast.unparse(node)
    text = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    if isinstance(node, ast.Lambda):
        return f"{name} = {ast.unparse(node)}"
    # More than the function may stand on its lines.
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return ast.unparse(node)
    return text if len(body) == 1 and isinstance(body[0], type(node)) else ast.unparse(node)


def _joined(found: list[ImportedName]) -> ImportedName:
    """One import of a name; alternatives are tried in the order in which they are written."""
    statements = list(dict.fromkeys(one.statement for one in found))
    text = statements[-1]
    for statement in reversed(statements[:-1]):
        text = f"try:\n    {statement}\nexcept ImportError:\n{textwrap.indent(text, '    ')}"
    return replace(found[-1] if len(statements) == 1 else found[0], statement=text)


def _strongest(changes: list[tuple[str, Change]]) -> tuple[Change, ...]:
    """One change a name: the first certain one that is no fitting, else the first certain one, else the first."""
    found: dict[str, Change] = {}
    for name, change in changes:
        if not name[:1].isidentifier():
            continue
        seen = found.get(name)
        if seen is None:
            found[name] = change
        else:
            best = min(seen, change, key=lambda one: (not one.is_certain, one.need_not_reach))
            found[name] = replace(best, is_deep=seen.is_deep or change.is_deep)
    return tuple(found.values())


def _distinct(states: list[StateUse]) -> tuple[StateUse, ...]:
    found: dict[tuple[str, bool], StateUse] = {}
    for use in states:
        found.setdefault((use.state, use.is_write), use)
    return tuple(found.values())


def _pairs(*tables: dict[str, set[str]]) -> tuple[tuple[str, frozenset[str]], ...]:
    tokens = sorted({token for table in tables for token in table})
    return tuple((token, frozenset().union(*(table.get(token, ()) for table in tables))) for token in tokens)


def _is_async(source: str, tree: ast.Module) -> bool:
    if "await" not in source and "async" not in source:
        return False
    for node in scope.own_nodes(tree.body):
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            return True
        if isinstance(node, ast.comprehension) and node.is_async:
            return True
    return False


def _asks_for_loop(node: ast.AST) -> bool:
    """Whether this is a call that finds the kernel's loop, which runs on the main thread alone."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("asyncio.") in _ON_LOOP


def _too_deep(tree: ast.Module) -> CellNames:
    """Code too deeply nested to walk: every name may be read, and it is ordered with all steps."""
    names = sorted(survey(tree).mentioned)
    reads = tuple(Read(name, 1, is_optional=True) for name in names)
    return CellNames(reads=reads, dynamic=(Read("very deeply nested code", 1),), has_calls=True)
