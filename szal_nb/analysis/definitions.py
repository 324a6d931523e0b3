"""Walks through what defines: imports, functions, classes; and says what calling a function of the notebook does."""

from __future__ import annotations

import ast
from dataclasses import replace

from szal_nb.analysis import memory, scope
from szal_nb.analysis.expressions import Expressions
from szal_nb.analysis.frame import Frame
from szal_nb.analysis.names import Captured, ImportedName
from szal_nb.analysis.surface import Surface
from szal_nb.analysis.values import FRESH, Callable, Summary, Value, either

Names = frozenset[str] | None


class Definitions(Expressions):
    """The part of the walk that looks at definitions, and into bodies of functions when they are used."""

    def __init__(self, surface: Surface, *, outer: Frame | None = None, local: Names = None, prefix: str = "#") -> None:
        super().__init__(surface, outer=outer, local=local, prefix=prefix)
        self.methods: list[tuple[Definitions, Callable, ast.FunctionDef | ast.AsyncFunctionDef]] = []

    def summary(self, function: Callable) -> Summary | None:
        """What calling the function does; None while it is being found out (recursion)."""
        key = id(function.node)
        known = self.root.summaries.get(key)
        if known is not None:
            return known
        if key in self.root.in_progress:
            return None
        self.root.in_progress.add(key)
        try:
            found = self._summarise(function)
        finally:
            self.root.in_progress.discard(key)
        self.root.summaries[key] = found
        return found

    def _summarise(self, function: Callable) -> Summary:
        node = function.node
        outer = function.frame if isinstance(function.frame, Frame) else self.root
        around, local = outer.generic(node), scope.local_names(node)
        frame = type(self)(self.surface, outer=around, local=local, prefix=f"#{function.name}@")
        args = node.args
        record = frame.record
        record.parameters = tuple(arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs))
        record.vararg = args.vararg.arg if args.vararg else ""
        record.kwarg = args.kwarg.arg if args.kwarg else ""
        for name in (*record.parameters, record.vararg, record.kwarg):
            if name:
                token = f"@{function.name}.{name}"
                frame.bind(name, Value(frozenset({token}), path=f"{{{token}}}"), node.lineno)
        frame.run(scope.body_of(node))
        # Functions that call functions would else say the same change again for every way that leads to it.
        record.changes = list(
            {(token, c.is_certain, c.is_deep): (token, c) for token, c in reversed(record.changes)}.values()
        )[::-1]
        for name in record.gives:
            if frame.state is not None and name in frame.state.sure:
                record.surely_given.add(name)
        if frame.returned:
            returned = frame.returned[0]
            for other in frame.returned[1:]:
                returned = either(returned, other)
            if returned.kind == "generator":
                returned = replace(returned, tokens=returned.tokens | {frame.code_token(node, function)})
            record.returns = returned
        return record

    def generic(self, node: ast.AST) -> Frame:
        """The scope around a definition that holds its type parameters; this one, if it has none.

        As in Python, it sees what the class around it sees.
        """
        names = frozenset(parameter.name for parameter in scope.type_parameters(node))  # type: ignore[attr-defined]
        if not names:
            return self
        inner = type(self)(self.surface, outer=self, local=names, prefix=self.prefix)
        inner.is_class = True
        inner.record = self.record
        for name in names:
            inner.bind(name, FRESH, 0)
        return inner

    def define_alias(self, node: ast.stmt) -> None:
        """A `type` statement: what it names is looked up when it is asked for, and may be the alias itself."""
        name, value = node.name.id, node.value  # type: ignore[attr-defined]
        self.bind(name, self.fresh(node), node.lineno)
        inner = self.generic(node)
        self._eval_bounds(inner, node)
        inner.eval(value)

    def _eval_bounds(self, inner: Frame, node: ast.AST) -> None:
        for parameter in scope.type_parameters(node):
            inner.eval(getattr(parameter, "bound", None))
            inner.eval(getattr(parameter, "default_value", None))

    def define_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import statement."""
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            self.mark_dynamic(node, f"from {node.module} import *")
        for name, statement, dotted in scope.imported_names(node):
            self.bind(name, Value(kind="import", ref=dotted), node.lineno)
            if self.is_module:
                self.imports.setdefault(name, []).append(ImportedName(name, statement, dotted, node.lineno))

    def define_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A `def` statement: its body is looked at when it is used; at once, if it stays tied to this namespace."""
        for decorator in node.decorator_list:
            self.eval(decorator)
        around = self.generic(node)
        self._eval_bounds(around, node)
        for annotation in scope.outside_of(node):
            if annotation not in node.decorator_list and isinstance(annotation, ast.expr):
                around.eval(annotation)
        value = self.function_value(node, node.name)
        function = value.callable
        if function is None or not function.is_plain:
            # What it gives may be what it keeps.
            value = Value(value.tokens | self.fresh(node).tokens if self._remembers(node) else value.tokens)
        self.bind(node.name, value, node.lineno)
        if function is not None and self.is_class:
            self.methods.append((self, function, node))
        elif function is not None and not function.is_plain:
            self.use_callable(function, node)
            self.capture(function, node.name, "decorated function")

    def _remembers(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        """Whether a decorator makes the function remember what it gave."""
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            known = self.root.peek(called.id) if isinstance(called, ast.Name) else FRESH
            if memory.is_remembering_name(decorator) or memory.is_called_so(known.ref):
                return True
            if known.callable is not None and memory.keeps_between_calls(ast.unparse(known.callable.node)):
                return True
        return False

    def capture(self, function: Callable, owner: str, what: str) -> None:
        """A callable that stays tied to this cell's namespace reads globals of it later."""
        found = self.summary(function)
        frame: Frame | None = self
        while frame is not None and frame.is_class:
            if frame.class_name:
                owner, what = frame.class_name, "class"
            frame = frame.outer
        if found is None or frame is None or not frame.is_module:
            return
        for read in found.reads.values():
            if read.name != owner:
                frame.record.captured.append(Captured(read.name, read.line, owner, what))

    def define_class(self, node: ast.ClassDef) -> None:
        """A `class` statement: its body runs now."""
        for decorator in node.decorator_list:
            self.eval(decorator)
        around = self.generic(node)
        self._eval_bounds(around, node)
        for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
            around.use_keeping(base, around.eval(base), base)
        inner = type(self)(self.surface, outer=around, prefix=f"#{node.name}@")
        inner.is_class = True
        inner.class_name = node.name
        inner.record = self.record
        inner.run(node.body)
        made = Value(frozenset({self.code_token(node, node.name)}), "class")
        if inner.state is not None:
            self.hold(made.tokens, self.reach(token for value in inner.state.values.values() for token in value.tokens))
        self.bind(node.name, made, node.lineno)
        self.surface.add_class(node)
        if self.is_class:
            self.methods += inner.methods
            return
        # Methods may name the classes around them: they are looked at when those are bound.
        for frame, function, definition in inner.methods:
            frame.use_callable(function, definition)
            frame.capture(function, definition.name, "method")
