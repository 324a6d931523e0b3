"""Fingerprints of steps where more than their text is known: functions around them, and modules of the user's own."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import msgspec

from szal_nb.analysis.fingerprint import code_digest, parts
from szal_nb.analysis.surroundings import Surroundings
from szal_nb.model.graph import FlowGraph, StepNode

_PLAIN = (str, bytes, int, float, complex, bool, type(None))


_Parts = tuple[tuple[str, str], ...]


def fingerprinted(graph: FlowGraph, surroundings: Surroundings) -> FlowGraph:
    """The graph of a notebook, ready to be recorded: each node with the parts of its fingerprint.

    Modules that are no installed packages count with their text.
    """
    modules = _Modules()
    found = [_Fixed(node, surroundings) for node in graph.nodes]
    return _with_parts(graph, [fixed.with_more(modules.behind(fixed.imported)) for fixed in found])


def functions_fingerprinted(
    graph: FlowGraph, functions: Mapping[str, FunctionType], *, before: FlowGraph | None = None
) -> FlowGraph:
    """The same for a graph whose steps were made of functions outside of a notebook.

    What they use of their own module counts too, and a step that uses what cannot be written down (an object made when
    its module was imported) is never reused.

    `before` is what this gave for the same graph earlier. It is given again if nothing has changed since: all that is
    derived from a graph once then serves every run of it.
    """
    modules = _Modules()
    found = []
    for node, fixed in zip(graph.nodes, graph.derived(_fixed_of), strict=True):
        around = _Around(functions[node.step.name], fixed.bound)
        more = around.parts | modules.behind(fixed.imported) if fixed.imported else around.parts
        found.append(fixed.with_more(more, is_known=around.is_known))
    if before is not None and found == [(node.parts, node.is_cacheable) for node in before.nodes]:
        return before
    return _with_parts(graph, found)


def _with_parts(graph: FlowGraph, found: Iterable[tuple[_Parts, bool]]) -> FlowGraph:
    nodes = (
        msgspec.structs.replace(node, parts=made_of, is_cacheable=is_cacheable)
        for node, (made_of, is_cacheable) in zip(graph.nodes, found, strict=True)
    )
    return dataclasses.replace(graph, nodes=tuple(nodes))


class _Fixed:
    """What of the fingerprint of a step its own text and that of its notebook say."""

    def __init__(self, node: StepNode, surroundings: Surroundings) -> None:
        self._parts = parts(node, surroundings)
        self._sorted = tuple(sorted(self._parts.items()))
        self._is_cacheable = node.is_cacheable
        self.bound = frozenset(binding.name for binding in node.bindings)
        self.imported = tuple(name for text in _import_texts(node, surroundings) for name in modules_imported(text))

    def with_more(self, more: Mapping[str, str], *, is_known: bool = True) -> tuple[_Parts, bool]:
        """All that the fingerprint is made of, and whether that is all it depends on."""
        found = tuple(sorted({**self._parts, **more}.items())) if more else self._sorted
        return found, self._is_cacheable and is_known


def _fixed_of(graph: FlowGraph) -> list[_Fixed]:
    return [_Fixed(node, Surroundings()) for node in graph.nodes]


def _import_texts(node: StepNode, surroundings: Surroundings) -> Iterator[str]:
    yield from node.imports
    yield node.step.source
    for name in node.definitions:
        known = surroundings.names.get(name)
        if known is not None:
            yield known.source or known.statement or ""


class _Around:
    """What a function uses of the module that it was defined in, transitively."""

    def __init__(self, function: FunctionType, bound: frozenset[str]) -> None:
        self.parts: dict[str, str] = {}
        self.is_known = True
        self._bound = bound
        self._home = _package_of(function.__module__)
        self._seen: set[int] = {id(function)}
        self._uses(function)

    def _uses(self, function: FunctionType) -> None:
        code = function.__code__
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True)) if code.co_freevars else {}
        for name, cell in cells.items():
            try:
                self._take(name, cell.cell_contents)
            except ValueError:
                continue
        for name in _names_of(code):
            if name not in cells and name not in self._bound and name in function.__globals__:
                self._take(name, function.__globals__[name])
        for number, value in enumerate((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())):
            self._take(f"default {number} of {function.__name__}", value)

    def _take(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType):
            self.parts[f"import {value.__name__}"] = ""
        elif isinstance(value, FunctionType) and _package_of(value.__module__) == self._home:
            self._take_function(name, value)
            if id(value) not in self._seen:
                self._seen.add(id(value))
                self._uses(value)
        elif isinstance(value, type) and _package_of(value.__module__) == self._home:
            self.parts[f"class {name}"] = _source_digest(value)
            for member in [*vars(value).values()] if id(value) not in self._seen else ():
                self._seen.add(id(value))
                if isinstance(member, FunctionType):
                    self._uses(member)
        elif callable(value) and hasattr(value, "__qualname__"):
            self.parts[f"import {getattr(value, '__module__', '')}.{value.__qualname__}"] = ""
        elif _is_plain(value):
            self.parts[f"data {name}"] = _data_digest(value)
        elif not (hasattr(value, "__module__") and type(value).__module__ in ("typing", "szal_nb.api.flow")):
            self.parts[f"object {name}"] = type(value).__qualname__
            self.is_known = False

    def _take_function(self, name: str, value: FunctionType) -> None:
        self.parts[f"function {name}"] = _source_digest(value)
        attributes = dict(value.__dict__)
        if attributes and _is_plain(attributes):
            self.parts[f"attributes of {name}"] = _data_digest(attributes)


def _data_digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    return type(value) in _PLAIN


def _names_of(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names_of(constant)
    return found


def _package_of(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _source_digest(thing: Any) -> str:
    return _function_digest(thing.__code__) if isinstance(thing, FunctionType) else _text_digest(thing)


@lru_cache(maxsize=20_000)
def _function_digest(code: CodeType) -> str:
    return _text_digest(code)


def _text_digest(thing: Any) -> str:
    try:
        return code_digest(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError):
        text = repr((thing.co_code, thing.co_names, thing.co_consts)) if isinstance(thing, CodeType) else repr(thing)
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


class _Modules:
    """The modules that are no installed packages: the user's own. Each is read once."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, ...]] = {}

    def behind(self, imported: Iterable[str]) -> dict[str, str]:
        """The user's modules of these that are imported, also through one another, each with a hash of its text."""
        found: dict[str, str] = {}
        todo = list(imported)
        seen = set()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if name not in self._texts:
                self._texts[name] = tuple(_read(file) for file in _files_of(name))
            if self._texts[name]:
                found[f"module {name}"] = code_digest("\0".join(map(code_digest, self._texts[name])))
                todo += [inner for text in self._texts[name] for inner in modules_imported(text)]
        return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@lru_cache(maxsize=20_000)
def modules_imported(text: str) -> tuple[str, ...]:
    """The modules that code imports, wherever it does, by the first part of their names."""
    if "import" not in text:
        return ()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update((alias.name.partition(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = None
    return tuple(found)


_INSTALLED = tuple(
    str(Path(path).resolve()) for path in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix} if path
)


def _files_of(module: str) -> tuple[Path, ...]:
    """The Python files of a module of the user's own; none for what was installed, is built in or is not there."""
    if (
        module in sys.builtin_module_names
        or module in sys.stdlib_module_names
        or module == __package__.partition(".")[0]
    ):
        return ()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations:
        folders = [Path(place) for place in spec.submodule_search_locations]
        files = [file for folder in folders if folder.is_dir() for file in sorted(folder.rglob("*.py"))]
    else:
        files = [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
    return tuple(file for file in files if not _is_installed(file))


def _is_installed(file: Path) -> bool:
    resolved = file.resolve()
    return any(part in ("site-packages", "dist-packages") for part in resolved.parts) or any(
        resolved.is_relative_to(place) for place in _INSTALLED
    )
