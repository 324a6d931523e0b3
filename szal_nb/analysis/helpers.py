"""Functions and classes of the notebook that steps use: what can be looked through, and what must be refused."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from szal_nb.analysis.attributes import attributes_changed, mutable_attributes
from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.memory import name_in, notes_calls, remembering_methods, remembers
from szal_nb.analysis.names import CellNames, Context, Read
from szal_nb.analysis.resolved import Known, Resolved
from szal_nb.analysis.surroundings import NameKind, NotebookName, module_of
from szal_nb.analysis.survey import survey
from szal_nb.analysis.tables import CALLED_BY_PYTHON
from szal_nb.errors import InvalidStep

_NO_CONTEXT = Context()
# A class by its name and its source.
Source = tuple[str, str]


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


@lru_cache(maxsize=20_000)
def bound_globals(source: str) -> frozenset[str]:
    """The globals that the code of a class or function binds anew, but for those that it makes when there are none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    names = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    if not names:
        return frozenset()
    made = {
        id(inner): asked
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for asked in [mentioned_by(ast.unparse(node.test))]
        for inner in ast.walk(node)
    }
    return frozenset(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del) and node.id in names
        and node.id not in made.get(id(node), ())
    )  # fmt: skip


@dataclass(slots=True)
class _Found:
    """A context while it is gathered."""

    modules: list[tuple[str, str]] = field(default_factory=list)
    functions: list[tuple[str, str]] = field(default_factory=list)
    classes: list[tuple[str, str]] = field(default_factory=list)
    kinds: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[tuple[str, str]] = field(default_factory=list)
    paths: list[tuple[str, str]] = field(default_factory=list)
    remembering: list[tuple[str, str]] = field(default_factory=list)

    def context(self) -> Context:
        """The context, equal for equal names whatever their order."""
        found = (self.modules, self.functions, self.classes, self.kinds, self.bodies, self.paths)
        if not any(found):
            return _NO_CONTEXT
        modules, functions, classes, kinds, bodies, paths = (tuple(sorted(one)) for one in found)
        return Context(modules, functions, classes, kinds, bodies, paths, tuple(sorted(self.remembering)))


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


@lru_cache(maxsize=20_000)
def _is_class(source: str) -> bool:
    try:
        return any(isinstance(node, ast.ClassDef) for node in ast.parse(source).body)
    except (SyntaxError, ValueError, RecursionError):
        return False


def _behind_dots(name: str, source: str) -> frozenset[str]:
    """The methods of a class, what all of its objects have in common and can change, and its name, for its heirs."""
    found = methods_of(source) | mutable_attributes(source, name)
    return found | {name} if found or _is_class(source) else found


class Helpers:
    """Looks through the functions and classes among the names that are known."""

    def __init__(self, known: Known) -> None:
        self._known_names = known
        # The classes, by their names and by those that stand behind dots; how often each is defined.
        self._classes: Counter[Source] = Counter()
        self._by_name: dict[str, set[Source]] = {}
        self._by_method: dict[str, set[Source]] = {}
        self._keeping: dict[Source, frozenset[str]] = {}
        # The names behind dots that steps may use which were looked at: they decide which classes matter to them.
        self.behind_dots: set[str] = set()

    def add_class(self, name: str, source: str) -> frozenset[str]:
        """Takes in a class, of the notebook or of a step; names behind dots that it matters to are returned."""
        methods, names = methods_of(source), _behind_dots(name, source)
        if names:
            self._classes[name, source] += 1
            if name in attributes_changed(source):
                self._keeping[name, source] = methods
            self._by_name.setdefault(name, set()).add((name, source))
            for one in names:
                self._by_method.setdefault(one, set()).add((name, source))
        return names

    def drop_class(self, name: str, source: str) -> frozenset[str]:
        """Takes away a class that was taken in; as before."""
        names, one = _behind_dots(name, source), (name, source)
        if names:
            self._classes[one] -= 1
        if names and not self._classes[one]:
            del self._classes[one]
            self._keeping.pop(one, None)
            self._by_name[name].discard(one)
            for behind in names:
                self._by_method[behind].discard(one)
        return names

    def keeping_classes(self) -> dict[str, frozenset[str]]:
        """The classes of the notebook whose methods change what their instances have in common, with their methods."""
        around = self._known_names.around
        keeping = {name: methods for (name, _), methods in self._keeping.items() if name in around}
        for name, source in self._classes:
            if name not in keeping and name in around and notes_calls(source, self._look):
                keeping[name] = methods_of(source)
        return keeping

    def context(self, mentioned: Collection[str], attributes: Collection[str] = ()) -> Context:
        """What is known, at this point of the flow, of all these names and of those that functions among them use.

        `attributes` are names behind dots: the classes that have such methods are part of the context.
        """
        if not mentioned and not attributes:
            return _NO_CONTEXT
        found = _Found()
        seen = set(mentioned)
        behind_dots = set(attributes)
        self._add_all(list(seen), seen, behind_dots, found)
        if classes := {kind.removeprefix("class ") for _, kind in found.kinds if kind.startswith("class ")}:
            # Whoever calls a model calls the first; the others Python calls by itself.
            behind_dots |= {"forward", *CALLED_BY_PYTHON, *classes}
        if self._classes:
            found.bodies = self._bodies(seen, behind_dots)
            # What their methods name is known where these are called, whoever has an object: modules, other classes.
            named = {inner for name, source in found.bodies for inner in (name, *mentioned_by(source))} - seen
            seen |= named
            self._add_all(list(named), seen, behind_dots, found)
            around = self._known_names.around
            found.remembering += [
                (name, name) for name, source in found.bodies if remembering_methods(source) and name in around
            ]
        self.behind_dots |= behind_dots
        return found.context()

    def _add_all(self, todo: list[str], seen: set[str], behind_dots: set[str], found: _Found) -> None:
        """Adds what is known of these names, and of those that functions among them use."""
        while todo:
            source = self._add(todo.pop(), found)
            if source:
                behind_dots |= attributes_of(source)
            for inner in mentioned_by(source) if source else ():
                if inner not in seen:
                    seen.add(inner)
                    todo.append(inner)

    def _bodies(self, mentioned: set[str], behind_dots: set[str]) -> list[Source]:
        """The classes that are mentioned or have one of these methods, and those that their own code needs in turn."""
        found: set[Source] = set()
        for name in mentioned & self._by_name.keys():
            found |= self._by_name[name]
        new, todo = set(found), [*behind_dots]
        while new or todo:
            for one in new:
                more = (attributes_of(one[1]) | mentioned_by(one[1])) - behind_dots
                behind_dots |= more
                todo += more
            having = [self._by_method[method] for method in todo if method in self._by_method]
            new, todo = set().union(*having) - found, []
            found |= new
        return list(found)

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
        remembered = self.memory_of(name, known)
        if remembered:
            found.remembering.append((name, remembered))
        return _add_of_notebook(name, known, found)

    def memory_of(self, name: str, known: NotebookName) -> str:
        """The name of what this function of the notebook remembers; "" if it remembers nothing.

        It is the name with which the function was defined, as far as that still is this function.
        """
        if known.kind != NameKind.CALLABLE or not known.source or not remembers(known.source, self._look):
            return ""
        defined = name_in(known.source)
        around = self._look(defined)
        return defined if around is not None and around.source == known.source else name

    def _look(self, name: str) -> NotebookName | None:
        return self._known_names.around.get(name)

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
            for bound in sorted(bound_globals(source)):
                raise InvalidStep(
                    found.step.name,
                    f"it uses {name}, a {_noun(known.kind)} of the notebook whose code binds {bound!r} anew, which no "
                    f"step sees.",
                    f"Only plain functions are looked through: let {name} return what it makes, keep it in an object, "
                    f"or define {name} in the step that uses it.",
                )
        result = []
        for read in names:
            if read == name:
                continue
            givers = self._known_names.givers_of(read)
            if givers:
                raise InvalidStep(
                    found.step.name,
                    f"it uses {name}, a {_noun(known.kind)} of the notebook whose code reads {read!r}, "
                    f"which {steps_named(givers)} {'give' if len(givers) > 1 else 'gives'}.",
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


def _noun(kind: str) -> str:
    return {NameKind.CLASS: "class", NameKind.DATA: "value"}.get(NameKind(kind), "callable")


def steps_named(names: Sequence[str]) -> str:
    """Steps, as a sentence names them."""
    quoted = [repr(name) for name in dict.fromkeys(names)]
    if len(quoted) == 1:
        return f"step {quoted[0]}"
    return f"steps {', '.join(quoted[:-1])} and {quoted[-1]}"
