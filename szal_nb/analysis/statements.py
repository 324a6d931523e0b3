"""Walks through statements in order: what is bound where, along every way through the code."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable as Function
from typing import ClassVar

from szal_nb.analysis import hidden, mocking, scope
from szal_nb.analysis.definitions import Definitions
from szal_nb.analysis.tables import IMMUTABLE, USED_UP
from szal_nb.analysis.values import FRESH, State, Value, merged
from szal_nb.model.kept import UNTOLD

_NAME_ERRORS = frozenset({"NameError", "UnboundLocalError"})
_DEEPEST_REPEATED_LOOP = 3


class Walker(Definitions):
    """The whole walk; `run` is its door."""

    def run(self, body: list[ast.stmt]) -> None:
        """Walks through statements, until one that nothing comes after."""
        for statement in body:
            if self.state is None:
                return
            handler = self._statements.get(type(statement))
            if handler is not None:
                handler(self, statement)
            else:
                self._other(statement)
            if self.tries and self.state is not None:
                self.tries[-1].append(self.state.copy())

    def _expression(self, node: ast.Expr) -> None:
        self.eval(node.value, is_discarded=True)

    def _assign(self, node: ast.Assign) -> None:
        value = node.value
        if isinstance(value, ast.Lambda) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            self.bind(name, self.function_value(value, name), node.lineno)
            return
        if len(node.targets) == 1 and self._assign_each(node.targets[0], value):
            return
        found = self.anchored(self.eval(value), value)
        for target in node.targets:
            self.assign(target, found)

    def _assign_each(self, target: ast.expr, value: ast.expr) -> bool:
        """`a, b = x, y`: element by element."""
        if not (isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)):
            return False
        if len(target.elts) != len(value.elts):
            return False
        if any(isinstance(element, ast.Starred) for element in (*target.elts, *value.elts)):
            return False
        found = [self.anchored(self.eval(element), element) for element in value.elts]
        for inner, inner_value in zip(target.elts, found, strict=True):
            self.assign(inner, inner_value)
        return True

    def assign(self, target: ast.expr, value: Value) -> None:
        """Binds a target of any form to a value."""
        if isinstance(target, ast.Name):
            self.bind(target.id, value, target.lineno)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, self.fresh(target, self.reach(value.tokens), "list"))
        elif isinstance(target, ast.Tuple | ast.List):
            self.go_through(value, target)
            is_new = all(token.startswith("#") and token not in self.record.holds for token in value.tokens)
            for element in target.elts:
                if is_new and not value.kind.startswith("matplotlib."):
                    # What one call returns is taken to be separate objects.
                    self.assign(element, Value(self.fresh(element).tokens))
                else:
                    kind = "" if value.kind in USED_UP else value.kind
                    self.assign(element, Value(self.part(value).tokens, kind))
        else:
            self.store(target, value)

    def _augmented(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Name):
            value = self.eval(node.value)
            self.eval(_loaded(node.target))
            self.store(node.target, value, rule="augmented assignment")
            return
        name = node.target.id
        before = self.load(name, node.lineno)
        value = self.eval(node.value)
        if hidden.states_of_reading(before.ref):
            # `environ |= …` changes the mapping of the process.
            self.store_in(before.ref, node, ast.unparse(node))
            return
        if before.kind in IMMUTABLE or before.ref or (not before.tokens and not before.kind):
            # A tuple holds what is added to it; others are made of what cannot change.
            held = self.reach(value.tokens) if before.kind == "tuple" else ()
            self.bind(name, self.fresh(node, held) if held else Value(kind=before.kind), node.lineno)
            return
        is_certain = bool(before.kind) or value.kind in {"list", "dict", "set"}
        self.change(
            before.tokens,
            node,
            "augmented assignment",
            ast.unparse(node),
            is_certain=is_certain,
            is_deep=before.is_part,
        )
        self.hold(before.tokens, self.reach(value.tokens))
        self.bind(name, before, node.lineno)

    def _annotated(self, node: ast.AnnAssign) -> None:
        if self.is_module or self.is_class:
            self.eval(node.annotation)
        if node.value is None:
            return
        if isinstance(node.value, ast.Lambda) and isinstance(node.target, ast.Name):
            self.bind(node.target.id, self.function_value(node.value, node.target.id), node.lineno)
            return
        value = self.anchored(self.eval(node.value), node.value)
        self.assign(node.target, value)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete_target(target)

    def _delete_target(self, target: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._delete_target(element)
        elif not isinstance(target, ast.Name):
            self.store(target, FRESH, rule="deletes inside")
        elif self.state is not None:
            if target.id not in self.state.sure and (self.is_module or target.id in self.global_names):
                self.load(target.id, target.lineno)
            self.state.unbind(target.id)
            self.state.gone[target.id] = target.lineno

    def _return(self, node: ast.Return) -> None:
        value = self.eval(node.value)
        self.returned.append(self.anchored(value, node.value) if node.value is not None else FRESH)
        self.state = None

    def _raise(self, node: ast.Raise) -> None:
        self.eval(node.exc)
        self.eval(node.cause)
        self._stop()

    def _stop(self) -> None:
        self.last_state = self.state
        self.state = None

    def _assert(self, node: ast.Assert) -> None:
        self.eval(node.test)
        before = self.state.copy() if self.state else None
        self.eval(node.msg)
        self.state = before

    def _break(self, _: ast.Break) -> None:
        if self.loop_exits and self.state is not None:
            self.loop_exits[-1].append(self.state)
        self.state = None

    def _continue(self, _: ast.Continue) -> None:
        if self.loop_exits and self.state is not None:
            self.loop_exits[-1].append(self.state)
        self.state = None

    def _if(self, node: ast.If) -> None:
        self.eval(node.test)
        self.branch()
        before = self.state.copy() if self.state else None
        self.run(node.body)
        after_body, self.state = self.state, before
        self.run(node.orelse)
        self.state = merged(after_body, self.state)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        items = self.eval(node.iter)
        self.go_through(items, node.iter)

        def once() -> None:
            for target, value in self.element_of(node.target, node.iter, items):
                self.assign(target, value)
            self.run(node.body)

        self._loop(once, node.orelse, is_endless=False)

    def _while(self, node: ast.While) -> None:
        def once() -> None:
            self.eval(node.test)
            self.run(node.body)

        is_endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self._loop(once, node.orelse, is_endless=is_endless)

    def _loop(self, once: Function[[], None], orelse: list[ast.stmt], *, is_endless: bool) -> None:
        before = self.state
        if before is None:
            return
        self.branch()
        head: State | None = before
        exits: list[State] = []
        times = 2 if len(self.loop_exits) < _DEEPEST_REPEATED_LOOP else 1
        for _ in range(times):
            self.state = head.copy() if head is not None else None
            self.loop_exits.append([])
            once()
            exits = self.loop_exits.pop()
            end = self.state
            for left in exits:
                end = merged(end, left)
            joined = merged(before, end)
            if joined is None or head is None or joined.values == head.values:
                head = joined
                break
            head = joined
        after: State | None = head
        if is_endless:
            after = None
            for left in exits:
                after = merged(after, left)
        self.branch()
        self.state = after.copy() if after is not None else None
        if orelse and not is_endless:
            self.run(orelse)
            self.state = merged(after, self.state) if exits else self.state

    def _try(self, node: ast.Try) -> None:
        before = self.state.copy() if self.state else None
        guards = any(_catches_name_errors(handler.type) for handler in node.handlers)
        self.guards_names += guards
        # The body may stop after any of its statements.
        self.tries.append([])
        self.run(node.body)
        caught = before.copy() if before is not None else None
        for state in self.tries.pop():
            caught = merged(caught, state)
        self.guards_names -= guards
        self.branch()
        self.run(node.orelse)
        after = self.state
        for handler in node.handlers:
            self.state = caught.copy() if caught is not None else None
            self.eval(handler.type)
            if handler.name and self.state is not None:
                self.state.bind(handler.name, FRESH)
            self.run(handler.body)
            if handler.name and self.state is not None:
                self.state.unbind(handler.name)
            after = merged(after, self.state)
        if not node.finalbody:
            self.state = after
            return
        self.state = after.copy() if after is not None else caught
        self.run(node.finalbody)
        if after is None:
            self.state = None

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        before = None
        awaits = "a" if isinstance(node, ast.AsyncWith) else ""
        managers = []
        uses = len(self.record.states)
        for item in node.items:
            value = self.eval(item.context_expr)
            managers.append((value, item.context_expr))
            # What one does not tell is taken away again with it.
            for dotted in mocking.put_by(value.kind):
                if dotted != UNTOLD:
                    self.store_in(dotted, item.context_expr, ast.unparse(item.context_expr))
            entered = self.call_by_itself(f"__{awaits}enter__", value, item.context_expr) or value
            if item.optional_vars is not None:
                self.assign(item.optional_vars, self.anchored(entered, item.context_expr))
            if value.kind.endswith(("suppress", ".raises", "assertRaises")):
                before = self.state.copy() if self.state else None
        self.run(node.body)
        for manager, expression in reversed(managers):
            self.call_by_itself(f"__{awaits}exit__", manager, expression)
        own = {hidden.OWN_WHILE_ENTERED.get(manager.kind) for manager, _ in managers}
        inside = self.record.states[uses:]
        self.record.states[uses:] = [use for use in inside if use.state not in own or not use.is_write]
        if before is not None:
            self.state = merged(before, self.state)

    def _match(self, node: ast.Match) -> None:
        subject = self.part(self.eval(node.subject))
        after: State | None = None
        is_complete = False
        self.branch()
        for case in node.cases:
            before = self.state.copy() if self.state else None
            self._children(case.pattern)
            for name in scope.pattern_names(case.pattern):
                self.bind(name, subject, case.pattern.lineno)
            self.eval(case.guard)
            self.run(case.body)
            after = merged(after, self.state)
            is_complete = case.guard is None and _matches_all(case.pattern)
            self.state = before
        self.state = after if is_complete else merged(after, self.state)

    def _global(self, node: ast.Global) -> None:
        if not self.is_module:
            self.global_names.update(node.names)

    def _nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocal_names.update(node.names)

    def _other(self, node: ast.stmt) -> None:
        # Statements of newer Pythons: what they read is read, what they store is bound.
        self._children(node)
        for name in scope.target_names(node):
            self.bind(name, FRESH, node.lineno)

    def _nothing(self, _: ast.Pass) -> None:
        """`pass`."""

    _statements: ClassVar[dict[type, Function[..., None]]] = {
        ast.Expr: _expression,
        ast.Assign: _assign,
        ast.AugAssign: _augmented,
        ast.AnnAssign: _annotated,
        ast.Delete: _delete,
        ast.Import: Definitions.define_import,
        ast.ImportFrom: Definitions.define_import,
        ast.FunctionDef: Definitions.define_function,
        ast.AsyncFunctionDef: Definitions.define_function,
        ast.ClassDef: Definitions.define_class,
        ast.Return: _return,
        ast.Raise: _raise,
        ast.Assert: _assert,
        ast.Break: _break,
        ast.Continue: _continue,
        ast.If: _if,
        ast.For: _for,
        ast.AsyncFor: _for,
        ast.While: _while,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Match: _match,
        ast.Global: _global,
        ast.Nonlocal: _nonlocal,
        ast.Pass: _nothing,
    }
    if sys.version_info >= (3, 12):
        _statements[ast.TypeAlias] = Definitions.define_alias


def _loaded(target: ast.expr) -> ast.expr:
    """The same place, as an expression that reads it."""
    match target:
        case ast.Attribute(value=value, attr=attr):
            return ast.copy_location(ast.Attribute(value=value, attr=attr, ctx=ast.Load()), target)
        case ast.Subscript(value=value, slice=index):
            return ast.copy_location(ast.Subscript(value=value, slice=index, ctx=ast.Load()), target)
    return target


def _catches_name_errors(kind: ast.expr | None) -> bool:
    return kind is not None and any(isinstance(node, ast.Name) and node.id in _NAME_ERRORS for node in ast.walk(kind))


def _matches_all(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and (pattern.pattern is None or _matches_all(pattern.pattern))
