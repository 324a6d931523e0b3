"""What the scope of a cell knows of the names around it: modules, functions, classes, the kinds of values, builtins."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable

from szal_nb.analysis import hidden, memory
from szal_nb.analysis.attributes import attributes_changed, has_only_methods, mutable_attributes
from szal_nb.analysis.names import Context
from szal_nb.analysis.surroundings import NameKind, NotebookName
from szal_nb.analysis.tables import CONVENTIONS, IMMUTABLE
from szal_nb.analysis.values import Callable, Value

BUILTINS = frozenset(dir(builtins)) | {"get_ipython", "display", "__file__", "exit", "quit"}
# Names that every namespace has and no step gives.
ALWAYS_THERE = frozenset(
    {"__name__", "__doc__", "__builtins__", "__annotations__", "__debug__", "__spec__", "__class__"}
)
# The largest class whose methods are looked through, in nodes of its syntax tree: some hundred lines.
_MOST_NODES = 1500


class Surface:
    """What the module scope knows of the names around it: the context, made ready for look-ups."""

    def __init__(self, context: Context | None) -> None:
        self.is_alone = context is None
        context = context or Context()
        self.modules = dict(context.modules)
        self.functions = dict(context.functions)
        self.classes = dict(context.classes)
        self.kinds = dict(context.kinds)
        self.paths = dict(context.paths)
        classes = {name for name, _ in context.bodies}
        self._remembering = {name: memory for name, memory in context.remembering if name not in classes}
        self.keeping_classes = frozenset(name for name, source in context.bodies if name in attributes_changed(source))
        self.remembering_classes = frozenset(name for name, _ in context.remembering if name in classes)
        self._callables: dict[str, Callable | None] = {}
        self._methods: dict[str, list[tuple[str, Callable]]] | None = None
        self._bases: dict[str, list[str]] = {}
        self._bodies = context.bodies
        self._common: dict[str, tuple[str, ...]] | None = None

    def add_class(self, node: ast.ClassDef) -> None:
        """A class that the code itself defines: its methods are known from here on, if it is of a notebook's size."""
        if sum(1 for _ in ast.walk(node)) > _MOST_NODES:
            # Methods that call each other without end cost more to follow than a library's class in a cell is worth.
            return
        known = self._known_methods()
        self._bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                found = Callable(inner, f"{node.name}.{inner.name}", is_external=True)
                known.setdefault(inner.name, []).append((node.name, found))

    def methods(self, name: str, kind: str) -> tuple[list[Callable], bool]:
        """The functions that a method of this name may be on an object of this kind; whether it is the only one."""
        if kind and not kind.startswith("class "):
            return [], False
        found = self._known_methods().get(name, ())
        owners = kind.removeprefix("class ")
        own = [function for owner, function in found if owner == owners]
        return (own, True) if own else ([function for _, function in found], False)

    def methods_by_themselves(self, name: str, kind: str) -> list[Callable]:
        """What Python calls under this name of an object of this kind, as far as the notebook says it."""
        todo, seen = [kind.removeprefix("class ")], set()
        while todo:
            owner = todo.pop(0)
            found = [function for one, function in self._known_methods().get(name, ()) if one == owner]
            if found:
                return found
            seen.add(owner)
            todo += [base for base in self._bases.get(owner, ()) if base not in seen]
        return []

    def _known_methods(self) -> dict[str, list[tuple[str, Callable]]]:
        if self._methods is None:
            self._methods = {}
            for _, source in self._bodies:
                for node in ast.parse(source).body:
                    if isinstance(node, ast.ClassDef):
                        self.add_class(node)
        return self._methods

    def knows(self, name: str) -> bool:
        """Whether the context says something of this name."""
        return name in self.kinds or name in self.modules or name in self.functions or name in self.classes

    def has_nothing_to_change(self, name: str) -> bool:
        """Whether the class of this name has only methods and constants, and its methods remember nothing."""
        source = dict(self._bodies).get(name, "")
        is_keeping = name in self.keeping_classes or not source or memory.remembering_methods(source)
        return not is_keeping and has_only_methods(source)

    def value(self, name: str) -> Value:
        """The value of a name from outside."""
        if name in self.modules:
            return Value(ref=self.modules[name])
        if name in self.functions:
            return Value(callable=self._callable(name))
        if name in self._remembering:
            return Value(frozenset({name}), kind=memory.kind_of(name, self._remembering[name]))
        if name in self.classes:
            return Value(kind="class")
        if name in self.kinds:
            kind = self.kinds[name]
            if hidden.aliased(kind):
                return Value(ref=hidden.aliased(kind))
            path = self.paths.get(name, f"{{{name}}}")
            return Value(frozenset() if kind in IMMUTABLE else frozenset({name}), kind=kind, path=path)
        if name in BUILTINS:
            return Value(ref=f"builtins.{name}")
        if self.is_alone and name in CONVENTIONS:
            return Value(ref=CONVENTIONS[name])
        return Value(frozenset({name}), path=f"{{{name}}}")

    def mutable_attributes(self, name: str) -> frozenset[str]:
        """The attributes of a class of the notebook that whoever gets them can change."""
        source = self.classes.get(name) or dict(self._bodies).get(name)
        return mutable_attributes(source, name) if source else frozenset()

    def having_in_common(self, attribute: str, kind: str) -> tuple[str, ...]:
        """The classes that have a list, say, under this name for all objects, if one of `kind` may be theirs."""
        if kind and not kind.startswith("class "):
            return ()
        if self._common is None:
            self._common = {}
            for name in dict.fromkeys((*self.classes, *(name for name, _ in self._bodies))):
                for one in self.mutable_attributes(name):
                    self._common[one] = (*self._common.get(one, ()), name)
        return self._common.get(attribute, ())

    def are_remembered(self, tokens: Iterable[str]) -> bool:
        """Whether functions of the notebook remember one of these objects."""
        return bool(self._remembering) and any(token.removeprefix("$") in self._remembering for token in tokens)

    def remembering(self, kind: str) -> tuple[Callable | None, bool]:
        """The function of a value of this kind, which remembers, if its text is known; whether it counts its calls."""
        name, _ = memory.names_of(kind)
        if name not in self._remembering:
            return None, False
        return self._callable(name), memory.counts(self.classes[name], self._notebook_name)

    def _notebook_name(self, name: str) -> NotebookName | None:
        if name in self.modules:
            return NotebookName(NameKind.MODULE)
        source = self.functions.get(name, self.classes.get(name))
        return NotebookName(NameKind.CALLABLE, source) if source is not None else None

    def _callable(self, name: str) -> Callable | None:
        if name not in self._callables:
            source = self.functions[name] if name in self.functions else self.classes[name]
            self._callables[name] = function_in(source, name)
        return self._callables[name]


def function_in(source: str, name: str) -> Callable | None:
    """The function that `source` defines, or the lambda it binds; None if it is neither."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return None
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return Callable(node, name, is_plain=not node.decorator_list, is_external=True)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Lambda):
            return Callable(node.value, name, is_external=True)
    return None
