"""Fingerprints: content hashes of what a step computes, equal in every process, whatever its comments and layout.

    fingerprint(node: StepNode, surroundings: Surroundings) -> str        32 hexadecimal digits
    parts(node, surroundings) -> dict[str, str]                           what it is made of, by name
    difference(before, after) -> tuple[str, ...]                          the names of the parts that differ
    fingerprint_of(node, read: Mapping[str, ValueRef]) -> str             with the content of all that it read

Values are no part of the first: they have hashes of their own. Nor are flags that say how often or where a step runs.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain

import msgspec

from szal_nb.analysis.surroundings import Surroundings
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.step import MapMode, StepKind
from szal_nb.model.value import ValueRef

_CLASS = "class "
_ATTRIBUTES = "attributes of "
_DEFINITIONS = (_CLASS, "function ", "callable ", _ATTRIBUTES)

# Changes with the rules below, so that old fingerprints are not taken for new ones.
_SCHEME = "1"


def fingerprint(node: StepNode, surroundings: Surroundings) -> str:
    """The content hash of a step's code with the notebook's functions and classes that it uses."""
    return digest_of(parts(node, surroundings))


def digest_of(found: Mapping[str, str]) -> str:
    """The fingerprint that is made of these parts."""
    return _digest("\0".join([_SCHEME, *(f"{name}\0{found[name]}" for name in sorted(found))]))


def parts(node: StepNode, surroundings: Surroundings) -> dict[str, str]:
    """What the fingerprint of a step is made of: a name that a person understands, and a hash or a short text."""
    step = node.step
    found = {"code": code_digest(step.source, is_function=step.kind is StepKind.FUNCTION)}
    bound = {binding.name for binding in node.bindings if binding.step is not None}
    for name in node.definitions:
        known = surroundings.names.get(name)
        if name in bound or known is None:
            continue
        if known.source:
            found[f"{known.kind} {name}"] = code_digest(known.source, is_function=False)
        else:
            found[f"{known.kind} {name}"] = known.statement or ""
        if known.attributes:
            found[f"{_ATTRIBUTES}{name}"] = code_digest("\n".join(text for _, text in known.attributes))
    for statement in node.imports:
        found[statement] = ""
    flags = {
        "--when": step.when or "",
        "--map": " ".join(step.map),
        "--map-mode": "" if step.map_mode is MapMode.ZIP else step.map_mode.value,
        "--map-errors": "" if step.map_errors == "fail" else step.map_errors,
        "--needs": " ".join(f"{name}={source}" for name, source in sorted(step.needs)),
        "--out": " ".join(step.out),
    }
    found.update((name, text) for name, text in flags.items() if text)
    return found


def with_parts(graph: FlowGraph, surroundings: Surroundings) -> FlowGraph:
    """The graph, each of its nodes with the parts of its fingerprint."""
    nodes = tuple(
        msgspec.structs.replace(node, parts=tuple(sorted(parts(node, surroundings).items()))) for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def fingerprint_of(node: StepNode, read: Mapping[str, ValueRef]) -> str:
    """The fingerprint of a step's code and of what it reads; "" where the content of that is not known.

    `read` has what the record says of each value, by the name that the step reads it under. A step whose code uses
    names that cannot be known, and one that reads a live value, have none.
    """
    return FingerprintBase(node)(read)


class FingerprintBase:
    """`fingerprint_of` one step, with all of it that is the same in every run."""

    __slots__ = ("_names", "_text")

    def __init__(self, node: StepNode) -> None:
        is_known = node.is_cacheable and node.parts
        self._text = "\0".join([_SCHEME, *chain.from_iterable(node.parts)]) if is_known else ""
        self._names = tuple(sorted((binding.name, binding.is_optional) for binding in node.bindings))

    def __call__(self, read: Mapping[str, ValueRef]) -> str:
        """The fingerprint, for what was read this time."""
        text = self._text
        if not text:
            return ""
        for name, is_optional in self._names:
            ref = read.get(name)
            if (not is_optional) if ref is None else ref.hash is None:
                return ""
            text += f"\0reads\0{name}\0{ref.hash if ref is not None else ''}"
        return _digest(text)


def key_of_elements(node: StepNode, read: Mapping[str, ValueRef]) -> str:
    """What must be equal for a resumed run to go on with elements of a mapped step; "" where that cannot be told.

    As `fingerprint_of`, but with what a resume takes as it is anyway: values that are made again, because they lived in
    the process that died, and objects of the function's own module. The elements themselves must be known.
    """
    is_known = node.is_cacheable or any(name.startswith("object ") for name, _ in node.parts)
    mapped = [read.get(name) for name in node.step.map]
    if not is_known or not node.parts or any(ref is None or ref.hash is None for ref in mapped):
        return ""
    texts = [_SCHEME, str(node.step.map_mode), *(text for part in node.parts for text in part)]
    for name in sorted(read):
        texts += ("reads", name, read[name].hash or "")
    return _digest("\0".join(texts))


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the parts that are not equal, in alphabetical order.

    >>> difference({"code": "a", "function f": "1"}, {"code": "a", "function f": "2", "--when": "x"})
    ('--when', 'function f')
    """
    names = sorted({*before, *after})
    return tuple(name for name in names if before.get(name) != after.get(name))


@lru_cache(maxsize=20_000)
def code_digest(source: str, *, is_function: bool = False) -> str:
    """The hash of code without its comments and layout; of the text itself, if it is not Python.

    >>> code_digest("x = 1  # one") == code_digest("x=1")
    True
    """
    try:
        tree = ast.parse(source)
        if is_function:
            # The decorator of a step carries its flags.
            for statement in tree.body:
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                    statement.decorator_list = []
        return _digest("\0".join(_tokens(tree)))
    except (SyntaxError, ValueError, RecursionError):
        return _digest(source)


def _tokens(tree: ast.AST) -> Iterator[str]:
    """A tree as text, the same on every version of Python that can parse it: empty fields are left out."""
    todo: list[object] = [tree]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, ast.Constant):
            yield f"{type(item.value).__name__}:{item.value!r}"
        elif isinstance(item, ast.AST):
            yield f"({type(item).__name__}"
            todo.append(")")
            for name, value in reversed(list(ast.iter_fields(item))):
                if value is None or value == [] or isinstance(value, ast.expr_context):
                    continue
                todo.append(value if isinstance(value, ast.AST | list) else repr(value))
                todo.append(f".{name}")
        elif isinstance(item, list):
            todo.extend(value if isinstance(value, ast.AST) else repr(value) for value in reversed(item))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def changed_classes(before: Callable[[], FlowGraph], now: FlowGraph) -> frozenset[str]:
    """The classes of the notebook that steps of both graphs use and that are not the same in them.

    `before` is asked for only if there are such classes: reading a graph of 10,000 steps takes its time.
    """
    here = _definitions(now, _CLASS)
    return _changed(_definitions(before(), _CLASS), here) if here else frozenset()


def changed_definitions(before: FlowGraph, now: FlowGraph) -> frozenset[str]:
    """As `changed_classes`, of functions and other callables too, and of what the notebook assigned to either."""
    found = (
        _changed(_definitions(before, kind), _definitions(now, kind), is_all=kind == _ATTRIBUTES)
        for kind in _DEFINITIONS
    )
    return frozenset().union(*found)


def _changed(then: Mapping[str, str], here: Mapping[str, str], *, is_all: bool = False) -> frozenset[str]:
    names = then.keys() | here.keys() if is_all else then.keys() & here.keys()
    return frozenset(name for name in names if then.get(name) != here.get(name))


def _definitions(graph: FlowGraph, kind: str) -> dict[str, str]:
    # As `parts` names what the notebook defines.
    return {
        part.removeprefix(kind): digest for node in graph.nodes for part, digest in node.parts if part.startswith(kind)
    }
