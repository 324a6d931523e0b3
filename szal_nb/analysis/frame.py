"""One scope while it is walked: what is bound in it, and the record of what its code does to names outside."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from szal_nb.analysis import commands, files, hidden, scope
from szal_nb.analysis.names import Change, ImportedName, Read, StateUse
from szal_nb.analysis.surface import ALWAYS_THERE, BUILTINS, Surface
from szal_nb.analysis.tables import DRAWINGS, IMMUTABLE, USED_UP
from szal_nb.analysis.values import FRESH, Callable, State, Summary, Tokens, Value, either, merged

# Ends the token of something that is code.
_CODE = "!"
Code = Callable | str | tuple[str, ...]


def is_code(token: str) -> bool:
    """Whether this is the token of a function, a class or a generator."""
    return token.endswith(_CODE)


def _place(node: ast.AST) -> str:
    """Where a node stands, from its first to its last character: `df.groupby(k).sum()` begins as `df.groupby(k)`."""
    line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
    return f"{line}:{column}:{getattr(node, 'end_lineno', line)}:{getattr(node, 'end_col_offset', column)}"


class Frame:
    """A module, function or class scope. Subclasses add the walking; see `statements`."""

    def __init__(
        self,
        surface: Surface,
        *,
        outer: Frame | None = None,
        local: frozenset[str] | None = None,
        prefix: str = "#",
    ) -> None:
        self.surface = surface
        self.outer = outer
        self.root: Frame = outer.root if outer is not None else self
        self.local = local
        self.prefix = prefix
        self.is_class = False
        self.class_name = ""
        self.state: State | None = State()
        self.record = Summary()
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()
        self.given_lines: dict[str, int] = {}
        self.imports: dict[str, list[ImportedName]] = {}
        self.returned: list[Value] = []
        self.last_state: State | None = None
        self.deferred: set[str] = set()
        self.guards_names = 0
        self.loop_exits: list[list[State]] = []
        # A branch of the loop around was met: what is read behind it an earlier round may have bound.
        self.may_be_later_round = False
        self.tries: list[list[State]] = []
        self.summaries: dict[int, Summary] = {}
        # What runs later, by token: functions, names of classes, names that a generator reads. See `code_token`.
        self.code: dict[str, Code] = {}
        self.in_progress: set[int] = set()
        # Objects that classes of the notebook made.
        self.instances: set[str] = set()

    def eval(self, node: ast.expr | None, *, is_discarded: bool = False) -> Value:
        """The value of an expression; see `expressions`."""
        raise NotImplementedError

    def run(self, body: list[ast.stmt]) -> None:
        """Walks through statements; see `statements`."""
        raise NotImplementedError

    def summary(self, function: Callable) -> Summary | None:
        """What calling the function does; None while it is being found out. See `statements`."""
        raise NotImplementedError

    def generic(self, node: ast.AST) -> Frame:
        """The scope around a definition, with its type parameters; see `definitions`."""
        raise NotImplementedError

    @property
    def is_module(self) -> bool:
        """Whether this is the cell's own scope."""
        return self.outer is None

    def fresh(self, node: ast.AST, held: Iterable[str] = (), kind: str = "") -> Value:
        """A new object made at `node`, holding the objects `held`."""
        token = f"{self.prefix}{_place(node)}"
        held = set(held)
        if token in held:
            self.record.recursive.add(token)
            held.discard(token)
        if held:
            self.record.holds.setdefault(token, set()).update(held)
        return Value(frozenset({token}), kind)

    def code_token(self, node: ast.AST, code: Code) -> str:
        """The token of a function, class or generator made at `node`: whoever has it may run this code later."""
        token = f"{self.prefix}{_place(node)}{_CODE}"
        self.root.code[token] = code
        return token

    def code_in(self, tokens: Iterable[str]) -> list[Code]:
        """The functions, classes and generators among these objects."""
        # A function that is called passes on its objects under longer names, see `applying`.
        found = (self.root.code.get(f"#{token.rpartition('~')[2].removeprefix('#')}") for token in sorted(tokens))
        return [one for one in found if one is not None]

    def free_names(self, node: scope.Function) -> frozenset[str]:
        """The names that a function made in this scope has from the functions around it."""
        mentioned = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} - scope.local_names(node)
        return frozenset(mentioned & self.locals_around())

    def locals_around(self) -> frozenset[str]:
        """The names that are local to the functions that this scope stands in."""
        around = self.outer.locals_around() if self.outer is not None else frozenset()
        return around | (self.local or frozenset())

    def without_code(self, tokens: Iterable[str]) -> Tokens:
        """These objects but for functions and classes: what a call gives that ran them and let them go."""
        found = frozenset(tokens)
        if not any(map(is_code, found)):
            return found
        return frozenset(
            token for token in found if not token.startswith("#") or not any(map(is_code, self.reach({token})))
        )

    def reach(self, tokens: Iterable[str]) -> Tokens:
        """These objects and all that they hold."""
        found = set(tokens)
        holds, below = self.record.holds, self.record.below
        if not holds and not below:
            return frozenset(found)
        todo = list(found)
        while todo:
            holder = todo.pop()
            for held in (holds.get(holder), below.get(holder)):
                new = held - found if held else ()
                found.update(new)
                todo += new
        return frozenset(found)

    def surface_of(self, value: Value) -> Tokens:
        """These objects and those at their surface; nothing, if that cannot be told."""
        record = self.record
        if value.is_part or not value.tokens or value.tokens & record.recursive:
            return frozenset()
        return value.tokens.union(*(record.holds.get(token, ()) for token in value.tokens))

    def part(self, value: Value) -> Value:
        """Something inside `value`, or a view of it; what is on a drawing is a part of it."""
        kind = value.kind if value.kind.startswith(DRAWINGS) else ""
        return Value(self.reach(value.tokens), kind, is_part=True) if value.tokens else FRESH

    def hold(self, holders: Iterable[str], held: Iterable[str]) -> None:
        """From here on, the objects `holders` may hold the objects `held`."""
        held = frozenset(held)
        if held:
            for token in holders:
                self.record.holds.setdefault(token, set()).update(held - {token})

    def hold_below(self, value: Value, held: Iterable[str]) -> None:
        """From here on, what is inside `value` may hold the objects `held`; `value` itself does not, at its surface."""
        held = frozenset(held)
        inner = value.direct - value.within
        self.hold(inner, held)
        for token in value.within if held else ():
            self.record.below.setdefault(token, set()).update(held - {token})

    def learn(self, holders: Iterable[str], held: Iterable[str]) -> None:
        """From here on, the estimators `holders` keep the objects `held`, which they leave alone."""
        for token in holders:
            self.record.learns.setdefault(token, set()).update(held)

    def load(self, name: str, line: int, *, via: str = "", is_deferred: bool = False) -> Value:
        """The value of `name` where the walk stands; a read, if it comes from outside."""
        state = self.state
        known = state.values.get(name) if state is not None else None
        if known is not None and state is not None and name in state.sure:
            return known
        if self.is_class and self.outer is not None:
            outer = self.outer.load(name, line)
            return outer if known is None else either(outer, known)
        if not self.is_module:
            return self._load_in_function(name, known, line)
        self._read(name, line, via=via, is_optional=known is not None, is_deferred=is_deferred)
        outside = self.surface.value(name)
        return outside if known is None else either(outside, known)

    def _load_in_function(self, name: str, known: Value | None, line: int) -> Value:
        if known is not None and (name not in self.global_names or (self.state and name in self.state.sure)):
            return known
        if self.local is not None and name in self.local:
            return FRESH
        frame = self.outer
        while frame is not None and not frame.is_module and name not in self.global_names:
            if frame.local is not None and name in frame.local:
                inner = frame.state.values.get(name) if frame.state is not None else None
                return inner or Value(frozenset({f"~{name}"}))
            frame = frame.outer
        value = self.root.peek(name)
        if name not in ALWAYS_THERE:
            table = self.record.builtins if value.ref == f"builtins.{name}" else self.record.reads
            table.setdefault(name, Read(name, line))
        if value.ref or value.callable is not None:
            return value
        return Value(frozenset() if value.kind in IMMUTABLE else frozenset({f"${name}"}), value.kind, path=value.path)

    def peek(self, name: str) -> Value:
        """The value of a global, without reading it."""
        known = self.state.values.get(name) if self.state is not None else None
        return known if known is not None else self.surface.value(name)

    def _read(self, name: str, line: int, *, via: str, is_optional: bool, is_deferred: bool) -> None:
        if name in ALWAYS_THERE:
            return
        is_builtin = name in BUILTINS and not self.surface.knows(name)
        table = self.record.builtins if is_builtin else self.record.reads
        is_optional = is_optional or self.guards_names > 0
        is_deferred = is_deferred or self.may_be_later_round
        seen = table.get(name)
        if seen is None:
            table[name] = Read(name, line, is_optional, via)
            if is_deferred:
                self.deferred.add(name)
        else:
            if not is_deferred and not is_optional:
                self.deferred.discard(name)
            if seen.is_optional and not is_optional:
                table[name] = Read(name, line, is_optional, via)

    def branch(self) -> None:
        """From here on, code may run in some rounds only of the loop around it."""
        self.may_be_later_round = bool(self.loop_exits)

    def read_table(self, name: str, line: int) -> None:
        """A name in SQL: a read if it turns out to be the name of a value, else a table of the database."""
        self.guards_names += 1
        self.load(name, line)
        self.guards_names -= 1

    def bind(self, name: str, value: Value, line: int) -> None:
        """From here on, `name` is `value` in the scope that Python's rules say."""
        if self.state is None:
            return
        if name in self.global_names and not self.is_module:
            self.record.gives[name] = either(self.record.gives.get(name, value), value)
            self.state.bind(name, value)
            return
        if name in self.nonlocal_names and self.outer is not None:
            self.state.bind(name, value)
            self.outer.bind(name, value, line)
            return
        if value.callable is not None:
            self.root.summaries.clear()
        self.state.bind(name, value)
        if self.is_module:
            self.given_lines.setdefault(name, line)

    def bind_global(self, name: str, value: Value, line: int, *, is_sure: bool) -> None:
        """A function that is called here binds a global."""
        if not self.is_module:
            self.global_names.add(name)
        before = self.state.copy() if self.state is not None and not is_sure else None
        self.bind(name, value, line)
        if before is not None:
            self.state = merged(before, self.state)

    def change(
        self,
        tokens: Iterable[str],
        node: ast.AST,
        rule: str,
        what: str,
        *,
        is_certain: bool = True,
        is_deep: bool = False,
    ) -> None:
        """The objects `tokens` are changed in place at `node`."""
        line = getattr(node, "lineno", 0)
        for token in self.changed_outside(tokens, is_deep=is_deep):
            self.record.changes.append((token, Change(token, line, rule, what, is_certain, is_deep)))

    def changed_outside(self, tokens: Iterable[str], *, is_deep: bool) -> list[str]:
        """Of objects that are changed, or in which something is, those that the code has from outside.

        An instance leads to its class, as whoever has it may run its code; what is changed in it is not the class,
        unless that has something for all of its instances.
        """
        reached = self.reach(tokens) if is_deep else frozenset(tokens)
        is_in_instance = is_deep and any(map(self._is_instance, reached))
        return sorted(
            token
            for token in reached
            if not token.startswith("#")
            and not (is_in_instance and self.surface.has_nothing_to_change(token.removeprefix("$")))
        )

    def _is_instance(self, token: str) -> bool:
        """Whether this is an object of a class of the notebook, as far as is known, or one that a function is given."""
        is_made_here = token.startswith("@") or token in self.root.instances
        return is_made_here or self.surface.kinds.get(token.removeprefix("$"), "").startswith("class ")

    def use_keeping(self, name: ast.expr, kind: Value, node: ast.AST) -> None:
        """A class of a step that notes something in itself, as a counter of its objects does, may do so here."""
        if isinstance(name, ast.Name) and kind.kind == "class" and name.id in self.surface.keeping_classes:
            self.change(kind.tokens, node, "changing function", ast.unparse(node), is_certain=False)

    def change_surface(self, value: Value, node: ast.AST, rule: str, what: str) -> None:
        """A container at the surface of something is changed: not what is further inside."""
        line = getattr(node, "lineno", 0)
        for token in sorted(value.direct):
            if not token.startswith("#"):
                change = Change(token, line, rule, what, is_deep=token in value.within)
                self.record.changes.append((token, change))

    def go_through(self, value: Value, node: ast.expr) -> None:
        """All elements of `value` are taken: a generator or an open file is used up by that."""
        if value.kind in USED_UP or value.kind.startswith("itertools."):
            self.change(value.tokens, node, "uses up", ast.unparse(node)[:40], is_deep=value.is_part)
        if value.kind == hidden.LOADER:
            self.use_state(hidden.TORCH_RANDOM, node, ast.unparse(node)[:40])

    def use_state(self, state: str, node: ast.AST, what: str, *, is_write: bool = True) -> None:
        """Hidden state is used at `node`."""
        self.record.states.append(StateUse(state, getattr(node, "lineno", 0), is_write, what))

    def use_file(self, path: str, node: ast.AST, what: str, *, is_write: bool) -> None:
        """The file of this path is used at `node`."""
        for state, is_written in files.states_of(path, is_write=is_write):
            self.use_state(state, node, what, is_write=is_written)

    def use_program(self, command: str, node: ast.AST, what: str) -> None:
        """A program is started at `node`, or waited for: it may use any file, and may install what others import."""
        may_read, may_write = commands.uses_of_command(command)
        if may_read:
            self.use_file(files.ANY, node, what, is_write=False)
        if may_write:
            self.use_file(files.ANY, node, what, is_write=True)
        if commands.installs(command):
            self.use_state(hidden.IMPORT_PATH, node, what)

    def use_ref(self, dotted: str, node: ast.AST) -> None:
        """A dotted thing of a module is used, in whatever way."""
        for state in hidden.states_of_use(dotted):
            self.use_state(state, node, dotted)
        for state in hidden.states_of_reading(dotted):
            self.use_state(state, node, dotted, is_write=False)

    def mark_dynamic(self, node: ast.AST, what: str) -> None:
        """The code runs code, or looks into the namespace, in a way that cannot be read here."""
        self.record.dynamic.append(Read(what, getattr(node, "lineno", 0)))
