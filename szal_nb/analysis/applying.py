"""What calling a function of the notebook does here: its summary, with what was passed in place of its parameters."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from szal_nb.analysis import files, hidden, memory, scope
from szal_nb.analysis.frame import Frame, is_code
from szal_nb.analysis.names import Change
from szal_nb.analysis.tables import IMMUTABLE
from szal_nb.analysis.values import FRESH, NOTHING, Callable, Summary, Tokens, Value, either
from szal_nb.model.kept import UNTOLD, attributes_state, calls_state, default_state, patch_state

_LONGEST_TOKEN = 200
# How an attribute of what is passed to a function is assigned.
_STORING = ("assigns inside", "changing function")
_CALLED = "()"
# Defaults that whoever gets them can change.
_MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.Call)


@dataclass(frozen=True, slots=True)
class Call:
    """A call with its arguments evaluated. `is_discarded`: nothing is done with what it returns."""

    node: ast.Call
    args: list[Value]
    keywords: dict[str, Value]
    is_discarded: bool = False

    @property
    def values(self) -> list[Value]:
        """All arguments."""
        return [*self.args, *self.keywords.values()]

    @property
    def callee(self) -> str:
        """The code of what is called, short enough for a sentence."""
        return short(self.node.func)

    @property
    def text(self) -> str:
        """The call, short enough for a sentence."""
        return f"{self.callee}(…)"


def short(node: ast.expr) -> str:
    """The code of an expression, with what is in brackets left out."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{short(value)}.{attr}"
        case ast.Call(func=func):
            return f"{short(func)}(…)"
        case ast.Subscript(value=value):
            return f"{short(value)}[…]"
    return "…"


def _gives_out(found: Summary, token: str) -> bool:
    """Whether what a function returns may be, or hold, this object."""
    return token in found.returns.tokens or any(token in held for held in found.holds.values())


class Applying(Frame):
    """The part of the walk that looks through functions of the notebook."""

    def store_in(self, dotted: str, node: ast.AST, what: str) -> None:
        """What a module holds under a dotted name is assigned or changed."""
        owner = dotted.removesuffix(UNTOLD).removesuffix(".")
        for state in hidden.states_of_store(owner) if owner else ():
            self.use_state(state, node, what)
        if owner != dotted and (not owner or all(map(str.isidentifier, owner.split(".")))):
            self.use_state(patch_state(dotted), node, what)

    def use_callable(self, function: Callable, node: ast.AST) -> Value:
        """A function is used without being called here: what it reads is read; what it may return, of those."""
        return self._apply(node, function, {}, is_called=False)

    def call_function(self, call: Call, function: Callable) -> Value:
        """The value of a call of a function of the notebook."""
        self.change_by_functions(call, call.values)
        found = self.summary(function)
        if found is None:
            return Value(frozenset(token for value in call.values for token in value.tokens))
        passed = _passed(call, found)
        self._leave_out(call, function, found, passed)
        return self._apply(call.node, function, passed, is_called=True)

    def _leave_out(self, call: Call, function: Callable, found: Summary, passed: dict[str, Value]) -> None:
        """Adds to `passed` what parameters have that nothing is passed for: an object that outlives the call."""
        if not function.is_external:
            passed.update({name: value for name, value in function.defaults if name not in passed})
            return
        for name, default in scope.defaults_of(function.node):
            token = f"@{function.name}.{name}"
            is_changed = token in found.changed_parameters
            if name in passed or not (is_changed or _gives_out(found, token)):
                continue
            if isinstance(default, ast.Name):
                self.guards_names += 1
                passed[name] = self.load(default.id, call.node.lineno, via=function.name)
                self.guards_names -= 1
            elif isinstance(default, _MUTABLE) or (is_changed and not isinstance(default, ast.Constant)):
                state = default_state(function.name, name)
                self.use_state(state, call.node, call.text, is_write=is_changed)
                passed[name] = Value(frozenset({state}))

    def call_method(self, call: Call, method: Callable, owner: Value, *, is_certain: bool) -> Value:
        """The value of a call of a method of a class of the notebook; not certain if it may be another's."""
        found = self.summary(method)
        if found is None:
            return Value(owner.tokens, is_part=True)
        decorators = {node.id for node in getattr(method.node, "decorator_list", ()) if isinstance(node, ast.Name)}
        if "staticmethod" in decorators:
            passed = _passed(call, found)
        else:
            passed = _passed(call, replace(found, parameters=found.parameters[1:]))
            if found.parameters:
                passed[found.parameters[0]] = FRESH if "classmethod" in decorators else owner
        # Only what it changes is taken from outside: the class came with all that it reads.
        touched = {token for token, _ in found.changes}
        made = self._apply_narrowed(call, method, found, passed, touched, is_certain=is_certain)
        if memory.is_remembering_method(method.node):
            return self.remembered_by_class(method, made, owner)
        by_default = {f"@{method.name}.{one}" for one in found.parameters if one not in passed}
        if found.returns.tokens & by_default:
            # The default is a part of the class, to which the object leads.
            made = replace(made, tokens=made.tokens | self.reach(owner.tokens), is_part=True)
        is_inside = made.is_part and bool(made.tokens & owner.tokens)
        return self.kept_by_class(method.name.partition(".")[0], made) if is_inside else made

    def remembered_by_class(self, method: Callable, made: Value, owner: Value) -> Value:
        """What a method gave that remembers: something inside of what its class keeps, and of its object."""
        if made.kind in IMMUTABLE:
            return made
        kept = self.surface.remembering_classes & {method.name.partition(".")[0]}
        return replace(made, tokens=made.tokens | owner.tokens | kept, is_part=True)

    def kept_by_class(self, name: str, made: Value) -> Value:
        """What methods of a class gave that keeps something for all of its objects: that may be what they gave."""
        if made.kind in IMMUTABLE or not (
            name in self.surface.keeping_classes or self.surface.mutable_attributes(name)
        ):
            return made
        return replace(made, tokens=made.tokens | {attributes_state(name)}, is_part=True)

    def _apply_narrowed(
        self,
        call: Call,
        function: Callable,
        found: Summary,
        passed: Mapping[str, Value],
        touched: Collection[str],
        *,
        is_certain: bool,
    ) -> Value:
        """The value of a call of which only these objects are taken from outside."""
        reads = {name: replace(read, is_optional=True) for name, read in found.reads.items() if f"${name}" in touched}
        narrowed = replace(found, reads=reads, builtins={})
        self.guards_names += 1
        value = self._apply_summary(call.node, function, narrowed, passed, is_called=True, is_certain=is_certain)
        self.guards_names -= 1
        return value

    def call_remembering(self, call: Call, target: Value) -> Value:
        """The value of a call of a function that remembers: something inside its memory."""
        function, is_counting = self.surface.remembering(target.kind)
        found = self.summary(function) if function is not None else None
        _, name = memory.names_of(target.kind)
        held = self.reach(token for value in call.values for token in value.tokens)
        if function is None or found is None:
            return Value(held | target.tokens, is_part=True)
        touched = {token for token, _ in found.changes}
        made = self._apply_narrowed(
            call, function, found, _passed(call, found), touched | found.returns.tokens, is_certain=False
        )
        if is_counting or touched or any(use.is_write for use in found.states):
            # What it does besides, the first call does, and the others do not.
            self.use_state(calls_state(name), call.node, call.text)
        if made.kind in IMMUTABLE:
            return Value(kind=made.kind)
        return Value(held | made.tokens | target.tokens, made.kind, is_part=True)

    def one_of(self, values: list[Value]) -> Value:
        """A value that is one of these."""
        result = values[0] if values else FRESH
        for value in values[1:]:
            result = either(result, value)
        return result

    def change_by_functions(self, call: Call, values: list[Value]) -> None:
        """A function handed to another may be called with whatever else was handed over."""
        for function in [value.callable for value in values if value.callable is not None]:
            found = self.summary(function)
            if found is None or not found.changed_parameters:
                continue
            for value in values:
                if value.tokens and value.callable is None:
                    what = f"{call.callee}({function.name})"
                    rule = "function that changes its argument"
                    self.change(self.reach(value.tokens), call.node, rule, what, is_certain=False, is_deep=True)

    def _apply(self, node: ast.AST, function: Callable, passed: Mapping[str, Value], *, is_called: bool) -> Value:
        found = self.summary(function)
        if found is None:
            return FRESH
        return self._apply_summary(node, function, found, passed, is_called=is_called)

    def _apply_summary(
        self,
        node: ast.AST,
        function: Callable,
        found: Summary,
        passed: Mapping[str, Value],
        *,
        is_called: bool,
        is_certain: bool = True,
    ) -> Value:
        meant = {f"@{function.name}.{parameter}": value for parameter, value in passed.items()}
        meant |= self._globals_of(node, function, found, is_called=is_called)
        substitution = _Substitution(function.name, meant, self.fresh(node).tokens)
        for holder, held in found.holds.items():
            self.hold(substitution.of({holder}), self.reach(substitution.of(held)))
        for holder, held in found.below.items():
            self.hold(substitution.of({holder}), self.reach(substitution.of(held)))
        for holder, held in found.learns.items():
            self.learn(substitution.of({holder}), substitution.of(held))
        self._apply_changes(
            node, function, found, substitution, is_called=is_called, is_certain=is_called and is_certain
        )
        self._apply_uses(node, function, found, {token: value.path for token, value in meant.items()})
        if is_called:
            for name, value in found.gives.items():
                given = Value(substitution.of(value.tokens), value.kind)
                self.bind_global(name, given, _line(node), is_sure=name in found.surely_given)
        returned = found.returns
        tokens = substitution.of(returned.tokens)
        returned = replace(returned, direct=NOTHING, within=NOTHING)
        return replace(returned, tokens=self.reach(tokens) if returned.is_part else tokens)

    def _globals_of(self, node: ast.AST, function: Callable, found: Summary, *, is_called: bool) -> dict[str, Value]:
        """What the globals that the function reads are here."""
        # A class body is no scope for the functions in it.
        frame: Frame = self
        while frame.is_class and frame.outer is not None:
            frame = frame.outer
        is_here = frame.is_module and not function.is_external
        return {
            f"${read.name}": frame.load(
                read.name, read.line if is_here else _line(node), via=function.name, is_deferred=not is_called
            )
            for read in (*found.reads.values(), *found.builtins.values())
        }

    def _apply_changes(
        self,
        node: ast.AST,
        function: Callable,
        found: Summary,
        substitution: _Substitution,
        *,
        is_called: bool,
        is_certain: bool,
    ) -> None:
        for token, change in found.changes:
            if not is_called and token.startswith("@"):
                continue
            module = substitution.meant.get(token, FRESH).ref
            if module and change.rule in _STORING:
                self.store_in(_place_in(module, change.what), node, f"{function.name}: {change.what}")
            what = change.what if change.rule == "notebook function" else f"{function.name}: {change.what}"
            is_deep = change.is_deep or substitution.is_part(token)
            objects = substitution.of({token})
            for concrete in self.changed_outside(objects, is_deep=is_deep):
                known = Change(
                    concrete, _line(node), "notebook function", what, change.is_certain and is_certain, is_deep
                )
                self.record.changes.append((concrete, known))

    def _apply_uses(self, node: ast.AST, function: Callable, found: Summary, paths: Mapping[str, str]) -> None:
        record = self.record
        line = _line(node)
        for use in found.states:
            state = files.substituted(use.state, paths)
            if state:
                record.states.append(replace(use, state=state, line=line if function.is_external else use.line))
        record.dynamic += [replace(read, line=line) for read in found.dynamic]
        record.has_calls = record.has_calls or found.has_calls


def _place_in(module: str, what: str) -> str:
    """What of a module is assigned by a function to which that is passed.

    >>> _place_in("math", "module.pi"), _place_in("plt", "module.rcParams['x']"), _place_in("math", "setattr(…)")
    ('math.pi', 'plt.rcParams', 'math.?')
    """
    _, *path = what.partition("[")[0].split(".")
    return ".".join((module, *(path if path and all(map(str.isidentifier, path)) else [UNTOLD])))


def called(token: str) -> str:
    """The token of what an object that is called gives: for a parameter, what is passed for it, but for its code."""
    return f"{token}{_CALLED}" if token.startswith("@") and not token.endswith(_CALLED) else token


@dataclass(frozen=True, slots=True)
class _Substitution:
    """Which objects here the tokens of a function's summary are."""

    function: str
    meant: Mapping[str, Value]
    new: Tokens

    def of(self, tokens: Iterable[str]) -> Tokens:
        """The objects here."""
        # A parameter that nothing was passed for has its default; those of an outer function stay what they are.
        own = (f"@{self.function}.", "$")
        result: set[str] = set()
        for token in tokens:
            known = self.meant.get(token.removesuffix(_CALLED))
            if token.startswith("#"):
                # Each call makes its own; where calls are nested deeply, one stands for all.
                result |= {f"{new}~{token[1:]}" for new in self.new} if len(token) < _LONGEST_TOKEN else self.new
            elif known is not None:
                result |= known.tokens if token in self.meant else {one for one in known.tokens if not is_code(one)}
            elif not token.startswith(own):
                result.add(token)
        return frozenset(result)

    def is_part(self, token: str) -> bool:
        """Whether what stands for the token is something inside its objects."""
        return token in self.meant and self.meant[token].is_part


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _passed(call: Call, found: Summary) -> dict[str, Value]:
    """What each parameter gets; what is spread by a star may be any of them."""
    passed: dict[str, Value] = {}

    def give(parameter: str, value: Value) -> None:
        passed[parameter] = either(passed[parameter], value) if parameter in passed else value

    spread: list[Value] = []
    for position, (argument, value) in enumerate(zip(call.node.args, call.args, strict=True)):
        if isinstance(argument, ast.Starred) or spread:
            spread.append(value)
        else:
            give(found.parameters[position] if position < len(found.parameters) else found.vararg, value)
    for keyword, value in call.keywords.items():
        if keyword.startswith("**"):
            spread.append(value)
        else:
            give(keyword if keyword in found.parameters else found.kwarg, value)
    for value in spread:
        for parameter in (*found.parameters, found.vararg, found.kwarg):
            give(parameter, value)
    return passed
