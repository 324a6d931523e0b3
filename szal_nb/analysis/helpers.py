"""Functions and classes of the notebook that steps use: what can be looked through, and what must be refused."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.keeping import attributes_changed
from szal_nb.analysis.names import CellNames, Context, Read
from szal_nb.analysis.resolved import Known, Resolved
from szal_nb.analysis.surroundings import NameKind, NotebookName, module_of
from szal_nb.analysis.survey import survey
from szal_nb.errors import InvalidStep


@lru_cache(maxsize=20_000)
def mentioned_by(source: str) -> frozenset[str]:
    """All identifiers in the source of a function or class; none if it is not Python."""
    try:
        return frozenset(survey(ast.parse(source)).mentioned)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()


@lru_cache(maxsize=20_000)
def is_plain_function(source: str) -> bool:
    """Whether the source is one undecorated function, or a lambda bound to a name."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return False
    match body:
        case [ast.FunctionDef(decorator_list=[]) | ast.AsyncFunctionDef(decorator_list=[])]:
            return True
        case [ast.Assign(value=ast.Lambda(), targets=[ast.Name()]) | ast.AnnAssign(value=ast.Lambda())]:
            return True
    return False


@lru_cache(maxsize=20_000)
def attributes_of(source: str) -> frozenset[str]:
    """The names behind dots in the source of a function or class."""
    try:
        return frozenset(survey(ast.parse(source)).attributes)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()


@lru_cache(maxsize=20_000)
def methods_of(source: str) -> frozenset[str]:
    """The names of the functions that a class defines; none if the source is not one class."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        inner.name
        for node in body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, functions)
    )


@dataclass(slots=True)
class _Found:
    """A context while it is gathered."""

    modules: list[tuple[str, str]] = field(default_factory=list)
    functions: list[tuple[str, str]] = field(default_factory=list)
    classes: list[tuple[str, str]] = field(default_factory=list)
    kinds: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[tuple[str, str]] = field(default_factory=list)
    paths: list[tuple[str, str]] = field(default_factory=list)

    def context(self) -> Context:
        """The context, equal for equal names whatever their order."""
        return Context(
            tuple(sorted(self.modules)),
            tuple(sorted(self.functions)),
            tuple(sorted(self.classes)),
            tuple(sorted(self.kinds)),
            tuple(sorted(self.bodies)),
            tuple(sorted(self.paths)),
        )


def _add_of_notebook(name: str, known: NotebookName, found: _Found) -> str:
    source = known.source or ""
    if known.kind == NameKind.MODULE:
        found.modules.append((name, module_of(name, known)))
        return ""
    if known.kind == NameKind.DATA:
        found.kinds.append((name, known.made))
        return ""
    if known.kind != NameKind.CLASS and source and is_plain_function(source):
        found.functions.append((name, source))
    else:
        found.classes.append((name, source))
    return source


class Helpers:
    """Looks through the functions and classes among the names that are known."""

    def __init__(self, known: Known, with_code: Collection[str] | None = None) -> None:
        """`with_code` are the names of the notebook that have a source, where they are known."""
        self._known_names = known
        # All names that were asked for so far: what others are bound to does not matter to what was found.
        self.asked: set[str] = set()
        # Those that code of the notebook reads by itself, which no step may give.
        self.free: set[str] = set()
        names = known.around if with_code is None else with_code
        sources = ((name, known.around.get(name)) for name in names)
        around = [(name, one.source) for name, one in sources if one is not None and one.source]
        self._classes = {
            (name, source): methods for name, source in (*around, *known.classes) if (methods := methods_of(source))
        }

    @cached_property
    def keeping_classes(self) -> dict[str, frozenset[str]]:
        """The classes of the notebook whose methods change what their instances have in common, with their methods."""
        return {
            name: methods
            for (name, source), methods in self._classes.items()
            if name in self._known_names.around and name in attributes_changed(source)
        }

    def context(self, mentioned: Iterable[str], attributes: Iterable[str] = ()) -> Context:
        """What is known, at this point of the flow, of all these names and of those that functions among them use.

        `attributes` are names behind dots: the classes that have such methods are part of the context.
        """
        found = _Found()
        seen = set(mentioned)
        todo = list(seen)
        behind_dots = set(attributes)
        while todo:
            source = self._add(todo.pop(), found)
            if source and self._classes:
                behind_dots |= attributes_of(source)
            for inner in mentioned_by(source) if source else ():
                if inner not in seen:
                    seen.add(inner)
                    todo.append(inner)
        self.asked |= seen
        if self._classes:
            found.bodies = self._bodies(seen, behind_dots)
        return found.context()

    def _bodies(self, mentioned: set[str], attributes: set[str]) -> list[tuple[str, str]]:
        """The classes that are mentioned or have one of these methods, and those that their own code needs in turn."""
        left = dict(self._classes)
        found: list[tuple[str, str]] = []
        is_growing = True
        while is_growing:
            new = [key for key, methods in left.items() if key[0] in mentioned or methods & attributes]
            for key in new:
                del left[key]
                attributes = attributes | attributes_of(key[1])
            found += new
            is_growing = bool(new)
        return found

    def _add(self, name: str, found: _Found) -> str:
        """Adds what is known of a name; its source, if it is one of code."""
        version = self._known_names.versions.get(name)
        if version is not None:
            if version.function:
                found.functions.append((name, version.function))
            else:
                found.kinds.append((name, version.kind))
            if version.path:
                found.paths.append((name, version.path))
            return version.function
        known = self._known_names.around.get(name)
        if known is None:
            if name in self._known_names.imported:
                found.modules.append((name, self._known_names.imported[name].module))
            return ""
        return _add_of_notebook(name, known, found)

    def reads_of(self, found: Resolved, name: str) -> list[Read]:
        """The reads behind a class or another callable that is used as it is; refused if a step gives one of them."""
        known = self._known_names.around[name]
        source = known.source or ""
        if not source:
            names: Iterable[str] = known.reads
        elif known.kind != NameKind.CLASS and is_plain_function(source):
            return []
        else:
            names = (read.name for read in self._names_of(source).reads)
        result = []
        for read in names:
            if read == name:
                continue
            givers = self._givers(read)
            self.free.add(read)
            if givers:
                raise InvalidStep(
                    found.step.name,
                    f"it uses {name}, a {_noun(known.kind)} of the notebook whose code reads {read!r}, "
                    f"which {_steps(givers)} {'give' if len(givers) > 1 else 'gives'}.",
                    f"Only plain functions are made anew over a step's values: pass {read!r} to {name} as an "
                    f"argument, or define {name} in the step that uses it.",
                )
            result.append(Read(read, 0, is_optional=True, via=name))
        return result

    def _names_of(self, source: str) -> CellNames:
        try:
            return analyze_cell(source, Context())
        except (SyntaxError, ValueError):
            return CellNames()

    def _givers(self, name: str) -> list[str]:
        return [] if name.startswith("_") else list(self._known_names.givers.get(name, ()))

    def _is_data(self, name: str) -> bool:
        known = self._known_names.around.get(name)
        return known is not None and known.kind == NameKind.DATA

    def check_captured(self, found: list[Resolved]) -> None:
        """Refuses callables of a step, used by others, that read a global with more than one value over the run."""
        capturing = [one for one in found if one.names.captured]
        if not capturing:
            return
        used: dict[tuple[str, str], str] = {}
        changed: dict[str, list[str]] = {}
        places = {one.step.name: number for number, one in enumerate(found)}
        for one in found:
            for binding in one.bindings.values():
                if binding.step is not None:
                    used.setdefault((binding.step, binding.source), one.step.name)
            for change, _ in one.changes:
                changed.setdefault(change.name, []).append(one.step.name)
        for one in capturing:
            for captured in one.names.captured:
                user = used.get((one.step.name, captured.owner))
                if user is None:
                    continue
                problem = self._ambiguity(captured.name, places[one.step.name], places, changed)
                if problem:
                    raise InvalidStep(
                        one.step.name,
                        f"line {captured.line}: the {captured.what} {captured.owner}, which step {user!r} uses, reads "
                        f"{captured.name!r}, which {problem}.",
                        f"Pass {captured.name!r} to it as an argument, or give it one name for each value.",
                    )

    def _ambiguity(self, name: str, place: int, places: Mapping[str, int], changed: Mapping[str, Sequence[str]]) -> str:
        """What gives a global more than one value for code that was made at `place`; "" if it has one."""
        givers, is_data = self._givers(name), self._is_data(name)
        is_of_both = is_data and any(places[step] > place for step in givers)
        if len(givers) > 1 or is_of_both:
            return f"is given by {'the notebook and ' if is_of_both else ''}{_steps(givers)}"
        changers = [step for step in changed.get(name, ()) if places[step] > place]
        return f"{_steps(changers)} changes in place" if changers and (givers or is_data) else ""


def _noun(kind: str) -> str:
    return {NameKind.CLASS: "class", NameKind.DATA: "value"}.get(NameKind(kind), "callable")


def _steps(names: list[str]) -> str:
    quoted = [repr(name) for name in dict.fromkeys(names)]
    if len(quoted) == 1:
        return f"step {quoted[0]}"
    return f"steps {', '.join(quoted[:-1])} and {quoted[-1]}"
