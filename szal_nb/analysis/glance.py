"""A first look at a step's source, needed before it can be analysed: what it mentions, imports and may bind."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from szal_nb.analysis import scope
from szal_nb.analysis.names import ImportedName
from szal_nb.analysis.survey import survey
from szal_nb.errors import InvalidStep
from szal_nb.model.step import Step, StepKind


@dataclass(frozen=True, slots=True)
class Glance:
    """`source` is what the analysis looks at: for a function the function, then a call of it with its inputs.

    `bound` are names that the step may give, `parameters` the inputs of a function, `optional` those with defaults.
    `attributes` are the names behind dots; `classes` are the names and sources of classes that the step defines.
    """

    source: str
    mentioned: frozenset[str] = frozenset()
    imports: tuple[ImportedName, ...] = ()
    bound: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    classes: tuple[tuple[str, str], ...] = ()
    parameters: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    is_async: bool = False


def glance_at(step: Step) -> Glance:
    """A first look at a step; `InvalidStep` if its source is not Python."""
    try:
        if step.kind is StepKind.FUNCTION:
            return _function(step.source, step.name, step.out)
        return _cell(step.source)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise InvalidStep(step.name, f"{line}{error.msg}.", "Mend the code of the cell.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidStep(step.name, f"its code cannot be read: {error}.", "Mend the code of the cell.") from error


def forget_glances() -> None:
    """Drops what is kept of all sources, for benchmarks."""
    _cell.cache_clear()
    _function.cache_clear()


@lru_cache(maxsize=20_000)
def _cell(source: str) -> Glance:
    tree = ast.parse(source)
    found = survey(tree)
    imports = [
        ImportedName(name, statement, dotted, node.lineno)
        for node in found.imports
        for name, statement, dotted in scope.imported_names(node)
    ]
    bound = found.bound - {one.name for one in imports}
    classes = tuple((node.name, ast.unparse(node)) for node in found.classes)
    attributes = frozenset(found.attributes)
    return Glance(source, frozenset(found.mentioned), tuple(imports), frozenset(bound), attributes, classes)


@lru_cache(maxsize=20_000)
def _function(source: str, step: str, out: tuple[str, ...]) -> Glance:
    given = frozenset(out or (step,))
    if not source.strip():
        return Glance("", bound=given)
    tree = ast.parse(source)
    node = next((n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)), None)
    if node is None:
        return Glance("", bound=given)
    lines = source.splitlines()
    for decorator in node.decorator_list:
        for number in range(decorator.lineno, (decorator.end_lineno or decorator.lineno) + 1):
            lines[number - 1] = ""
    args = node.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    positional = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    optional = set(positional[len(positional) - len(args.defaults) :])
    optional |= {arg.arg for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True) if value is not None}
    keyword_only = {arg.arg for arg in args.kwonlyargs}
    passed = ", ".join(f"{name}={name}" if name in keyword_only else name for name in names)
    target = ", ".join(name if name.isidentifier() else "_given" for name in (out or (step,)))
    called = f"{'await ' if isinstance(node, ast.AsyncFunctionDef) else ''}{node.name}({passed})"
    text = "\n".join(lines) + f"\n{target} = {called}\n"
    found = survey(tree)
    return Glance(
        text,
        frozenset(found.mentioned) | set(names),
        bound=given,
        attributes=frozenset(found.attributes),
        parameters=tuple(names),
        optional=frozenset(optional),
        is_async=isinstance(node, ast.AsyncFunctionDef),
    )
