"""Walks through expressions: what they read, what they may be, what the calls in them do."""

from __future__ import annotations

import ast
from collections.abc import Callable as Function
from dataclasses import replace
from typing import ClassVar

from szal_nb.analysis import files, hidden, mocking, scope
from szal_nb.analysis.calls import Calls
from szal_nb.analysis.scope import target_names
from szal_nb.analysis.tables import DRAWINGS, FACES, IMMUTABLE, LATE_KIND, MISSING_KEYS, OPERATORS, RUNNING
from szal_nb.analysis.values import FRESH, NOTHING, Callable, Tokens, Value, either, merged
from szal_nb.model.kept import attributes_state, patch_state

_TRUTH = Value(kind="bool")
# Kinds whose operators make something new.
_LONGEST_PATH = 200
_NUMERIC = ("pandas.", "polars.", "numpy.", "mask", "torch.")


class Expressions(Calls):
    """The part of the walk that looks at expressions; `eval` is its door."""

    def eval(self, node: ast.expr | None, *, is_discarded: bool = False) -> Value:
        """The value of an expression. `is_discarded`: nothing is done with it."""
        if node is None or self.state is None:
            return FRESH
        if type(node) is ast.Name:
            return self._name(node)
        if type(node) is ast.Call:
            return self.call(node, is_discarded=is_discarded)
        if is_discarded and isinstance(node, ast.Await | ast.Starred | ast.BoolOp | ast.IfExp | ast.Compare):
            return self._discarded(node)
        handler = self._expressions.get(type(node))
        return handler(self, node) if handler is not None else self._children(node)

    def _discarded(self, node: ast.expr) -> Value:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.eval(child, is_discarded=True)
        return FRESH

    def _children(self, node: ast.AST) -> Value:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.eval(child)
            elif not isinstance(child, ast.expr_context | ast.operator | ast.cmpop | ast.boolop | ast.unaryop):
                self._children(child)
        return FRESH

    def _name(self, node: ast.Name) -> Value:
        value = self.load(node.id, node.lineno)
        if value.callable is not None:
            return self._with_results(value, value.callable, node)
        if value.ref:
            self.use_ref(value.ref, node)
        return value

    def _with_results(self, value: Value, function: Callable, node: ast.AST) -> Value:
        # Whoever gets the function may get at what it returns, and may run it later, over this cell's names.
        found = self.use_callable(function, node).tokens
        if function.is_external:
            found |= {self.code_token(node, function)}
        return replace(value, tokens=value.tokens | found) if found else value

    def _constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, str):
            return Value(kind="str", path=node.value if len(node.value) < _LONGEST_PATH else "")
        return Value(kind=type(node.value).__name__ if node.value is not None else "None")

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.eval(node.value)
        if owner.ref:
            dotted = f"{owner.ref}.{node.attr}"
            self.use_ref(dotted, node)
            if node.attr in ("user_ns", "user_global_ns", "user_module") and "get_ipython" in dotted:
                self.mark_dynamic(node, f"get_ipython().{node.attr}")
            return Value(ref=dotted)
        kept = self._kept_attributes(node, owner)
        if kept:
            return Value(kept, is_part=True)
        if node.attr == "plot":
            self.use_state(hidden.PYPLOT, node, ".plot")
        if node.attr in FACES:
            return Value(owner.tokens, owner.kind, is_part=owner.is_part)
        made = replace(self.part(owner), kind=_kind_of_part(owner))
        if owner.kind.startswith("class "):
            self._ask_property(node, owner)
        common = self._in_common(node, owner)
        return replace(made, tokens=made.tokens | common, is_part=True) if common else made

    def _ask_property(self, node: ast.Attribute, owner: Value) -> None:
        for method in self.surface.methods_by_themselves(node.attr, owner.kind):
            if any(ast.unparse(one) == "property" for one in getattr(method.node, "decorator_list", ())):
                self.call_by_itself(node.attr, owner, node.value)

    def _in_common(self, node: ast.Attribute, owner: Value) -> Tokens:
        """What an attribute of an object may be of what its class has for all objects: the class is read, too."""
        found = NOTHING
        for name in self.surface.having_in_common(node.attr, owner.kind) if self.is_module else ():
            self.guards_names += 1
            kind = self.load(name, node.lineno)
            self.guards_names -= 1
            found |= kind.tokens or frozenset({attributes_state(name)})
        return found

    def _kept_attributes(self, node: ast.Attribute, owner: Value) -> Tokens:
        """The object that stands for the attributes of a function of the notebook, or of a class that has lists."""
        if node.attr.startswith("__") or not isinstance(node.value, ast.Name):
            return NOTHING
        function, name = owner.callable, node.value.id
        if function is not None and function.is_external:
            return frozenset({attributes_state(function.name)})
        is_kept = owner.kind == "class" and not owner.tokens and node.attr in self.surface.mutable_attributes(name)
        return frozenset({attributes_state(name)}) if is_kept else NOTHING

    def _subscript(self, node: ast.Subscript) -> Value:
        owner = self.eval(node.value)
        index = self.eval(node.slice)
        if owner.ref:
            module = mocking.dotted_in(node.slice) if owner.ref == "sys.modules" else ""
            return Value(ref=module or f"{owner.ref}[]")
        for name in ("__getitem__", "__missing__"):
            self.call_by_itself(name, owner, node.value, None, index)
        if owner.kind == MISSING_KEYS:
            self.change(owner.tokens, node, "adds a key that is missing", ast.unparse(node), is_certain=False)
        if not owner.kind.endswith(LATE_KIND) and (index.kind == "mask" or self._makes_copy(node.slice)):
            return Value(kind=_kind_of_part(owner))
        direct = self.surface_of(owner)
        return replace(
            self.part(owner), kind=_kind_of_part(owner), direct=direct, within=owner.tokens if direct else direct
        )

    def _makes_copy(self, index: ast.expr) -> bool:
        # Picking by a condition or by a list of labels copies, in numpy, pandas and polars alike.
        match index:
            case ast.Compare() | ast.List() | ast.ListComp() | ast.UnaryOp(op=ast.Invert()):
                return True
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() | ast.BitXor()):
                return True
            case ast.Call(func=ast.Attribute(attr=attr)):
                return attr in (
                    "isin",
                    "notna",
                    "isna",
                    "notnull",
                    "isnull",
                    "between",
                    "duplicated",
                    "contains",
                    "sample",
                )
            case ast.Tuple(elts=elts):
                return any(self._makes_copy(element) for element in elts)
        return False

    def _binary(self, node: ast.BinOp) -> Value:
        # Long sums are deep on the left: walk them without recursion.
        operands: list[ast.expr] = []
        operators: list[ast.operator] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            operands.append(left.right)
            operators.append(left.op)
            left = left.left
        values = [self.eval(left)] + [self.eval(operand) for operand in reversed(operands)]
        path = values[0].path
        for operator, value in zip(reversed(operators), values[1:], strict=True):
            path = path and files.joined(path, value.path, operator)
        result = self._binary_result(node, values)
        return replace(result, path=path) if path else result

    def _binary_result(self, node: ast.BinOp, values: list[Value]) -> Value:
        kinds = {value.kind for value in values}
        made = self.call_by_itself(OPERATORS[type(node.op).__name__], values[0], node.left, None, *values[1:2])
        if made is not None:
            return made
        if len(kinds) == 1 and (kinds <= IMMUTABLE or "mask" in kinds):
            return Value(kind=kinds.pop())
        if kind := next(filter(hidden.states_of_kind, sorted(kinds)), ""):
            for state in hidden.states_of_kind(kind):
                self.use_state(state, node, ast.unparse(node))
            return Value(kind=kind)
        kinds.discard("tuple")
        if isinstance(node.op, ast.BitAnd | ast.BitOr) and "mask" in kinds:
            return Value(kind="mask")
        frames = [kind for kind in kinds if kind.startswith(_NUMERIC)]
        if "list" in kinds or (isinstance(node.op, ast.Add) and not frames and not kinds & IMMUTABLE):
            # Lists, as far as is known: the sum holds their elements.
            return self.fresh(node, self.reach(token for value in values for token in value.tokens))
        return Value(kind=frames[0] if frames else "")

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.eval(node.operand, is_discarded=isinstance(node.op, ast.Not))
        if isinstance(node.op, ast.Not):
            return _TRUTH
        return Value(kind=value.kind)

    def _compare(self, node: ast.Compare) -> Value:
        left = self.eval(node.left)
        for operator, comparator in zip(node.ops, node.comparators, strict=True):
            owner = self.eval(comparator)
            if isinstance(operator, ast.In | ast.NotIn):
                self.call_by_itself("__contains__", owner, comparator, None, left)
        return Value(kind="bool" if isinstance(node.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot) else "mask")

    def _bool(self, node: ast.BoolOp) -> Value:
        value = self.eval(node.values[0], is_discarded=True)
        self.branch()
        for operand in node.values[1:]:
            before = self.state.copy() if self.state else None
            value = either(value, self.eval(operand, is_discarded=True))
            self.state = merged(before, self.state)
        return value

    def _choice(self, node: ast.IfExp) -> Value:
        self.eval(node.test)
        self.branch()
        before = self.state.copy() if self.state else None
        body = self.eval(node.body)
        after_body, self.state = self.state, before
        orelse = self.eval(node.orelse)
        self.state = merged(after_body, self.state)
        return either(body, orelse)

    def _named(self, node: ast.NamedExpr) -> Value:
        value = self.anchored(self.eval(node.value), node.value)
        frame = self
        frame.bind(node.target.id, value, node.lineno)
        return value

    def anchored(self, value: Value, node: ast.AST) -> Value:
        """`value`, known again under other names: a new object gets a token of its own."""
        if value.tokens or value.ref or value.callable is not None or value.kind in IMMUTABLE:
            return value
        return replace(value, tokens=self.fresh(node).tokens)

    def _sequence(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        held: set[str] = set()
        for element in node.elts:
            held |= self.eval(element).tokens
        kind = type(node).__name__.lower()
        if kind == "tuple" and not held:
            return Value(kind="tuple")
        return self.fresh(node, held, kind if kind != "tuple" else "")

    def _starred(self, node: ast.Starred) -> Value:
        value = self.eval(node.value)
        self.go_through(value, node.value)
        return self.part(value)

    def _dict(self, node: ast.Dict) -> Value:
        held: set[str] = set()
        for key, value in zip(node.keys, node.values, strict=True):
            self.eval(key)
            held |= self.eval(value).tokens
        return self.fresh(node, held, "dict")

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Value:
        first = self.eval(node.generators[0].iter)
        if not isinstance(node, ast.GeneratorExp):
            self.go_through(first, node.generators[0].iter)
        state = self.state
        if state is None:
            return FRESH
        hidden_names = {name for part in node.generators for name in target_names(part.target)}
        saved = {name: (state.values.get(name), name in state.sure) for name in hidden_names}
        sure = set(state.sure)
        given = dict(self.given_lines)
        self._walk_generators(node.generators, first)
        if isinstance(node, ast.DictComp):
            self.eval(node.key)
            element = self.eval(node.value)
        else:
            element = self.eval(node.elt)
        held = self.reach(element.tokens)
        state = self.state or state
        for name, (value, was_sure) in saved.items():
            state.unbind(name)
            if value is not None:
                state.values[name] = value
            if was_sure:
                state.sure.add(name)
        # The elements may never be looked at: what they bind by walrus is not certain.
        state.sure &= sure
        for name in hidden_names:
            if name in self.given_lines and name not in given:
                del self.given_lines[name]
        kinds = {ast.ListComp: "list", ast.SetComp: "set", ast.DictComp: "dict", ast.GeneratorExp: "generator"}
        if isinstance(node, ast.GeneratorExp):
            later = [node.elt, *(test for part in node.generators for test in part.ifs)]
            later += [part.iter for part in node.generators[1:]]
            names = {inner.id for part in later for inner in ast.walk(part) if isinstance(inner, ast.Name)}
            code = tuple(sorted(names - hidden_names - self.locals_around()))
            held = held | {self.code_token(node, code)}
        return self.fresh(node, held, kinds.get(type(node), ""))

    def _walk_generators(self, generators: list[ast.comprehension], first: Value) -> None:
        for position, part in enumerate(generators):
            items = first if position == 0 else self.eval(part.iter)
            for target, element in self.element_of(part.target, part.iter, items):
                self.bind_local(target, element)
            for test in part.ifs:
                self.eval(test, is_discarded=True)

    def element_of(self, target: ast.expr, source: ast.expr, items: Value) -> list[tuple[ast.expr, Value]]:
        """Which part of a target gets what, where it goes through `source`, whose value is `items`."""
        match source, target:
            case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]), ast.Tuple(elts=[number, element]):
                if self.root.peek("enumerate").ref == "builtins.enumerate":
                    rest = self.element_of(element, inner, self.eval(inner))
                    return [(number, Value(kind="int")), *rest]
            case ast.Call(func=ast.Name(id="zip"), args=inners), ast.Tuple(elts=elements):
                is_plain = not any(isinstance(one, ast.Starred) for one in (*inners, *elements))
                if len(inners) == len(elements) and is_plain and self.root.peek("zip").ref == "builtins.zip":
                    return [
                        pair
                        for inner, element in zip(inners, elements, strict=True)
                        for pair in self.element_of(element, inner, self.eval(inner))
                    ]
        if items.kind.endswith(LATE_KIND):
            # The groups of a table are tables of their own.
            return [(target, Value(kind=items.kind))]
        if items.kind in RUNNING:
            # What a function made is no longer the function.
            return [(target, replace(self.part(items), tokens=self.without_code(self.reach(items.tokens))))]
        return [(target, replace(self.part(items), path=files.path_of_elements(items.path)))]

    def bind_local(self, target: ast.expr, value: Value) -> None:
        """Binds the targets of a comprehension, in this scope, for as long as it lasts."""
        if self.state is None:
            return
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.state.bind(inner.id, value)
            elif isinstance(inner, ast.Attribute | ast.Subscript) and isinstance(inner.ctx, ast.Store):
                self.store(inner, value)

    def _lambda(self, node: ast.Lambda) -> Value:
        value = self.function_value(node, f"lambda:{node.lineno}:{node.col_offset}")
        return value if value.callable is None else self._with_results(value, value.callable, node)

    def function_value(self, node: ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Value:
        """A function where it is defined: its defaults and annotations run now, its body when it is called."""
        defaults = tuple(
            (parameter, self.anchored(self.eval(default), default)) for parameter, default in scope.defaults_of(node)
        )
        held = {token for _, value in defaults for token in value.tokens}
        is_plain = isinstance(node, ast.Lambda) or not node.decorator_list
        function = Callable(node, name, is_plain, self, defaults=defaults)
        return Value(frozenset({*held, self.code_token(node, function)}), callable=function)

    def _joined(self, node: ast.JoinedStr) -> Value:
        path = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                path += str(part.value)
            elif isinstance(part, ast.FormattedValue):
                value = self.eval(part.value)
                self.eval(part.format_spec)
                path += value.path or f"{{{ast.unparse(part.value)}}}"
        return Value(kind="str", path=path if len(path) < _LONGEST_PATH and path.strip("{") else "")

    def _await(self, node: ast.Await) -> Value:
        return self.eval(node.value)

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> Value:
        value = self.eval(node.value)
        if isinstance(node, ast.YieldFrom):
            self.go_through(value, node.value)
        self.returned.append(self.fresh(node, value.tokens, "generator"))
        return FRESH

    def store(self, target: ast.expr, value: Value, *, rule: str = "assigns inside") -> None:
        """An assignment to an attribute or an item, or its deletion: a change of the object it belongs to."""
        if not isinstance(target, ast.Attribute | ast.Subscript):
            return
        owner = self.eval(_by_attribute(target.value))
        if isinstance(target, ast.Subscript):
            self.eval(target.slice)
        what = ast.unparse(target)
        if owner.ref:
            dotted = f"{owner.ref}.{target.attr}" if isinstance(target, ast.Attribute) else owner.ref
            if dotted.startswith("builtins."):
                if owner.ref == "builtins":
                    # All code finds it there, by its bare name.
                    self.mark_dynamic(target, f"{what} = …")
                    self.use_state(patch_state(dotted), target, what)
                # `globals()["x"] = 1`: the call has been noted.
                return
            self.store_in(dotted, target, what)
            return
        if owner.direct and isinstance(target, ast.Subscript):
            self.change_surface(owner, target, rule, what)
            self.hold_below(owner, value.tokens)
            return
        self.change(owner.tokens, target, rule, what, is_deep=owner.is_part)
        self.hold(owner.tokens, value.tokens)

    _expressions: ClassVar[dict[type, Function[..., Value]]] = {
        ast.Constant: _constant,
        ast.Attribute: _attribute,
        ast.Subscript: _subscript,
        ast.BinOp: _binary,
        ast.UnaryOp: _unary,
        ast.Compare: _compare,
        ast.BoolOp: _bool,
        ast.IfExp: _choice,
        ast.NamedExpr: _named,
        ast.List: _sequence,
        ast.Tuple: _sequence,
        ast.Set: _sequence,
        ast.Starred: _starred,
        ast.Dict: _dict,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.DictComp: _comprehension,
        ast.Lambda: _lambda,
        ast.JoinedStr: _joined,
        ast.Await: _await,
        ast.Yield: _yield,
        ast.YieldFrom: _yield,
    }


def _by_attribute(owner: ast.expr) -> ast.expr:
    """`type(x)` as `x.__class__`, which says whose it is."""
    match owner:
        case ast.Call(func=ast.Name(id="type"), args=[value], keywords=[]):
            return ast.copy_location(ast.Attribute(value=value, attr="__class__", ctx=ast.Load()), owner)
    return owner


def _kind_of_part(owner: Value) -> str:
    """What is taken out of a table or an array is one, too, as far as it matters."""
    return owner.kind if owner.kind.startswith(("pandas.", "polars.", "numpy.", *DRAWINGS)) else ""
