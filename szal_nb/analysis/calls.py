"""What calls do: methods by their name, library functions by their dotted name, notebook functions by their body."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace

from szal_nb.analysis import hidden, magic, strings
from szal_nb.analysis.frame import Frame
from szal_nb.analysis.names import Change
from szal_nb.analysis.tables import (
    CHANGING,
    CHANGING_AS_STATEMENT,
    CONTAINER_METHODS,
    FUNCTION_CHANGES,
    FUNCTION_HOLDS,
    FUNCTION_SHARES,
    HOLDING,
    IMMUTABLE,
    KEEPING_KINDS,
    KNOWN_LIBRARIES,
    SHALLOW,
    SHARING,
    UNCHANGING,
)
from szal_nb.analysis.values import FRESH, Callable, Tokens, Value, either

_DYNAMIC = frozenset({"globals", "locals", "exec", "eval", "compile", "__import__", "vars", "dir"})
_TABLES = ("pandas.", "polars.")
_KNOWN_METHODS = UNCHANGING | CHANGING | CHANGING_AS_STATEMENT


class Calls(Frame):
    """The part of the walk that looks at calls; `call` is its door."""

    def call(self, node: ast.Call, *, is_discarded: bool) -> Value:
        """The value of a call, with all that it does recorded."""
        self.record.has_calls = True
        func = node.func
        owner: Value | None = None
        if isinstance(func, ast.Attribute):
            owner = self.eval(func.value, is_discarded=is_discarded and isinstance(func.value, ast.Call))
            target = Value(ref=f"{owner.ref}.{func.attr}") if owner.ref else FRESH
            if target.ref:
                self.use_ref(target.ref, func)
        elif isinstance(func, ast.Name):
            target = self.load(func.id, func.lineno)
            if target.ref:
                self.use_ref(target.ref, func)
        else:
            target = self.eval(func)
        args, keywords = self._arguments(node)
        if target.callable is not None:
            return self._call_notebook_function(node, target.callable, args, keywords)
        if target.ref:
            return self._call_library(node, target.ref, args, keywords, is_discarded)
        if owner is not None and isinstance(func, ast.Attribute):
            return self._call_method(node, func.attr, owner, args, keywords, is_discarded)
        return self._call_unknown(node, target, args, keywords, is_discarded)

    def _arguments(self, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
        args = [self.eval(argument) for argument in node.args]
        keywords: dict[str, Value] = {}
        for position, keyword in enumerate(node.keywords):
            keywords[keyword.arg or f"**{position}"] = self.eval(keyword.value)
        return args, keywords

    def _call_method(
        self,
        node: ast.Call,
        name: str,
        owner: Value,
        args: list[Value],
        keywords: dict[str, Value],
        is_discarded: bool,
    ) -> Value:
        everything = [*args, *keywords.values()]
        for state in hidden.states_of_method(name, frozenset(keywords)):
            self.use_state(state, node, f".{name}(…)")
        strings.read_in_call(self, node, name)
        self._change_by_functions(node, name, [owner, *everything])
        what = f"{_short(node.func)}(…)"
        is_deep = owner.is_part or self._changes_what_it_holds(name, owner)
        is_table = owner.kind.startswith(_TABLES)
        if owner.kind in IMMUTABLE:
            return Value(kind=owner.kind if owner.kind == "str" else "")
        if owner.kind.endswith("!unseeded") and name.startswith(("fit", "partial_fit")):
            self.use_state(hidden.NUMPY_RANDOM, node, what)
        if _is_inplace(node):
            self.change(owner.tokens, node, "inplace=True", what, is_deep=is_deep)
        elif self._changes(name, owner, is_table=is_table, is_discarded=is_discarded):
            self.change(owner.tokens, node, "changing method", what, is_deep=is_deep)
            if name in HOLDING:
                held = self.reach(token for value in everything for token in value.tokens)
                self.hold(owner.tokens, held)
        elif is_discarded and name not in UNCHANGING and not (is_table and name in CHANGING_AS_STATEMENT):
            self.change(owner.tokens, node, "method of unknown effect", what, is_certain=False, is_deep=is_deep)
        return self._method_result(node, name, owner, everything, is_table=is_table)

    def _changes(self, name: str, owner: Value, *, is_table: bool, is_discarded: bool) -> bool:
        if is_table:
            return name in {"insert", "pop", "update", "isetitem"} or (
                owner.kind.startswith("polars.")
                and name in {"insert_column", "replace_column", "drop_in_place", "extend", "append"}
            )
        if name in CHANGING or (is_discarded and name in CHANGING_AS_STATEMENT):
            return True
        # torch marks its methods that work in place so.
        return name.endswith("_") and not name.startswith("_") and name not in UNCHANGING

    def _changes_what_it_holds(self, name: str, owner: Value) -> bool:
        # An optimizer's step changes the parameters that it was made with; a list's append changes the list only.
        if name in HOLDING and not name.startswith(("fit", "set_params")):
            return False
        return name not in CONTAINER_METHODS and not owner.kind.startswith(KEEPING_KINDS)

    def _method_result(
        self, node: ast.Call, name: str, owner: Value, everything: Iterable[Value], *, is_table: bool
    ) -> Value:
        if name in {"fit", "partial_fit", "set_params", "set_output"}:
            return owner
        if name == "cursor" and owner.kind:
            return Value(self.fresh(node, owner.tokens).tokens | owner.tokens, owner.kind)
        if name in SHALLOW and not is_table:
            return self.fresh(node, owner.tokens, owner.kind) if owner.tokens else FRESH
        if is_table and name != "pipe":
            return Value(kind=owner.kind)
        if name in SHARING or name not in _KNOWN_METHODS:
            return Value(self.part(owner).tokens | self._functions_of(everything))
        return FRESH

    def _functions_of(self, values: Iterable[Value]) -> Tokens:
        return frozenset(token for value in values if value.callable is not None for token in value.tokens)

    def _call_library(
        self, node: ast.Call, dotted: str, args: list[Value], keywords: dict[str, Value], is_discarded: bool
    ) -> Value:
        name = dotted.removeprefix("builtins.")
        if "get_ipython" in dotted:
            return magic.call(self, node, dotted)
        if name in _DYNAMIC:
            return self._look_into_namespace(node, name, args)
        for state in hidden.states_of_call(name, frozenset(keywords)):
            self.use_state(state, node, f"{name}(…)")
        owner, _, method = name.rpartition(".")
        if owner and (method in CHANGING or method in CHANGING_AS_STATEMENT or _is_inplace(node)):
            for state in hidden.states_of_store(owner) if owner in _STORES else ():
                self.use_state(state, node, f"{name}(…)")
        strings.read_in_call(self, node, method)
        everything = [*args, *keywords.values()]
        self._change_by_functions(node, name, everything)
        held = frozenset(token for value in everything for token in self.reach(value.tokens))
        for position in FUNCTION_CHANGES.get(name, ()):
            if position < len(args):
                owner_value = args[position]
                self.change(
                    owner_value.tokens,
                    node,
                    "changing function",
                    f"{_short(node.func)}(…)",
                    is_deep=owner_value.is_part,
                )
        if name in FUNCTION_SHARES:
            return Value(held)
        if name in FUNCTION_HOLDS:
            return self.fresh(node, held, name if "." not in name and name != "tuple" else "")
        if name.partition(".")[0] in KNOWN_LIBRARIES or owner == "":
            unseeded = "!unseeded" if hidden.is_unseeded(name, frozenset(keywords)) else ""
            if _takes_estimators(name):
                return self.fresh(node, held, name + unseeded)
            return Value(kind=_made_kind(name) + unseeded)
        if is_discarded:
            self._maybe_changed(node, everything)
        return Value(self.fresh(node, held).tokens | held, kind=name)

    def _look_into_namespace(self, node: ast.Call, name: str, args: list[Value]) -> Value:
        if name in {"vars", "dir"} and args:
            return self.part(args[0])
        if name == "compile":
            return FRESH
        if name == "locals" and not self.is_module:
            return FRESH
        self.mark_dynamic(node, f"{name}()")
        return Value(ref=f"builtins.{name}()")

    def _call_unknown(
        self, node: ast.Call, target: Value, args: list[Value], keywords: dict[str, Value], is_discarded: bool
    ) -> Value:
        everything = [*args, *keywords.values()]
        held = frozenset(token for value in everything for token in self.reach(value.tokens))
        self._change_by_functions(node, _short(node.func), everything)
        if target.kind == "class":
            return self.fresh(node, held, f"class {_short(node.func)}")
        if is_discarded:
            self._maybe_changed(node, everything)
            self.change(target.tokens, node, "call of unknown effect", f"{_short(node.func)}(…)", is_certain=False)
        return Value(self.fresh(node, held).tokens | held)

    def _maybe_changed(self, node: ast.Call, values: Iterable[Value]) -> None:
        for value in values:
            if value.tokens and value.kind not in IMMUTABLE:
                what = f"{_short(node.func)}(…)"
                rule = "passed to a function of unknown effect"
                self.change(value.tokens, node, rule, what, is_certain=False, is_deep=True)

    def _change_by_functions(self, node: ast.Call, name: str, values: list[Value]) -> None:
        """A function handed to another may be called with whatever else was handed over."""
        functions = [value.callable for value in values if value.callable is not None]
        if not functions or name in {"sorted", "defaultdict"}:
            return
        for function in functions:
            found = self.summary(function)
            if found is not None and found.changed_parameters:
                for value in values:
                    if value.tokens and value.callable is None:
                        what = f"{_short(node.func)}({function.name})"
                        tokens = self.reach(value.tokens)
                        rule = "function that changes its argument"
                        self.change(tokens, node, rule, what, is_certain=False, is_deep=True)

    def use_callable(self, function: Callable, node: ast.AST) -> None:
        """A notebook function is used without being called here: what it reads is read."""
        self._apply(node, function, {}, is_called=False)

    def _call_notebook_function(
        self, node: ast.Call, function: Callable, args: list[Value], keywords: dict[str, Value]
    ) -> Value:
        self._change_by_functions(node, function.name, [*args, *keywords.values()])
        found = self.summary(function)
        if found is None:
            return Value(frozenset(token for value in [*args, *keywords.values()] for token in value.tokens))
        passed: dict[str, Value] = {}

        def give(parameter: str, value: Value) -> None:
            passed[parameter] = either(passed[parameter], value) if parameter in passed else value

        spread: list[Value] = []
        for position, (argument, value) in enumerate(zip(node.args, args, strict=True)):
            if isinstance(argument, ast.Starred) or spread:
                spread.append(value)
            else:
                give(found.parameters[position] if position < len(found.parameters) else found.vararg, value)
        for keyword, value in keywords.items():
            if keyword.startswith("**"):
                spread.append(value)
            else:
                give(keyword if keyword in found.parameters else found.kwarg, value)
        for value in spread:
            for parameter in (*found.parameters, found.vararg, found.kwarg):
                give(parameter, value)
        return self._apply(node, function, passed, is_called=True)

    def _apply(self, node: ast.AST, function: Callable, passed: dict[str, Value], *, is_called: bool) -> Value:
        found = self.summary(function)
        if found is None:
            return FRESH
        record = self.record
        line = getattr(node, "lineno", 0)
        meant = {f"@{function.name}.{parameter}": value for parameter, value in passed.items()}
        # A class body is no scope for the functions in it.
        frame: Frame = self
        while frame.is_class and frame.outer is not None:
            frame = frame.outer
        for read in (*found.reads.values(), *found.builtins.values()):
            value = frame.load(
                read.name,
                line if function.is_external or not frame.is_module else read.line,
                via=function.name,
                is_deferred=not is_called,
            )
            meant[f"${read.name}"] = value
        here = self.fresh(node)
        # A parameter that nothing was passed for has its default; those of an outer function stay what they are.
        own = (f"@{function.name}.", "$")

        def substitute(tokens: Iterable[str]) -> Tokens:
            result: set[str] = set()
            for token in tokens:
                if token.startswith("#"):
                    result |= here.tokens
                else:
                    known = meant.get(token)
                    if known is not None:
                        result |= known.tokens
                    elif not token.startswith(own):
                        result.add(token)
            return frozenset(result)

        for holder, held in found.holds.items():
            self.hold(substitute({holder}), self.reach(substitute(held)))
        for token, change in found.changes:
            if is_called or not token.startswith("@"):
                what = change.what if change.rule == "notebook function" else f"{function.name}: {change.what}"
                concretes = substitute({token})
                is_deep = change.is_deep or (token in meant and meant[token].is_part)
                for concrete in sorted(self.reach(concretes) if is_deep else concretes):
                    if not concrete.startswith("#"):
                        is_certain = change.is_certain and is_called
                        known_change = Change(concrete, line, "notebook function", what, is_certain, is_deep)
                        record.changes.append((concrete, known_change))
        for use in found.states:
            record.states.append(replace(use, line=line) if function.is_external else use)
        record.dynamic.extend(replace(read, line=line) for read in found.dynamic)
        record.has_calls = record.has_calls or found.has_calls
        if is_called:
            for name, value in found.gives.items():
                self.bind_global(name, Value(substitute(value.tokens), value.kind), line, name in found.surely_given)
        returned = found.returns
        tokens = substitute(returned.tokens)
        if returned.is_part:
            tokens = self.reach(tokens)
        return Value(tokens, returned.kind, returned.ref, returned.callable, is_part=returned.is_part)


_STORES = frozenset({
    "os.environ", "sys.path", "sys.modules", "matplotlib.rcParams", "matplotlib.pyplot.rcParams", "warnings.filters",
})  # fmt: skip


def _short(node: ast.expr) -> str:
    """The code of a callee, short enough for a sentence."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_short(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return f"{_short(node.func)}(…)"
    if isinstance(node, ast.Subscript):
        return f"{_short(node.value)}[…]"
    return "…"


def _is_inplace(node: ast.Call) -> bool:
    for keyword in node.keywords:
        if keyword.arg == "inplace":
            return not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    return False


def _takes_estimators(dotted: str) -> bool:
    """Whether what is made keeps its arguments: objects do, results of functions do not."""
    last = dotted.rpartition(".")[2]
    return last[:1].isupper() and not dotted.startswith(("pandas.", "polars.", "numpy.", "datetime.", "pathlib."))


def _made_kind(dotted: str) -> str:
    if dotted.startswith("pandas.") and dotted != "pandas.ExcelWriter":
        return "pandas.DataFrame" if dotted.rpartition(".")[2] not in _NOT_TABLES else dotted
    if dotted.startswith("polars."):
        return dotted
    plain = {"len": "int", "range": "range", "str": "str", "int": "int", "float": "float", "bool": "bool",
             "repr": "str", "round": "", "abs": "", "open": "file", "sum": "", "bytes": "bytes",
             "isinstance": "bool", "hasattr": "bool", "callable": "bool", "type": "type", "input": "str",
             "format": "str", "chr": "str", "ord": "int", "hash": "int", "id": "int", "complex": "complex"}  # fmt: skip
    return plain.get(dotted, dotted)


_NOT_TABLES = frozenset(
    {"set_option", "get_option", "Timestamp", "Timedelta", "ExcelFile", "HDFStore", "unique", "factorize"}
)
