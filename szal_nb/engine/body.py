"""Bodies of steps: what is called for one attempt. A body takes its inputs by name and gives its values by name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Awaitable, Mapping
from types import CodeType, FunctionType
from typing import Any, Protocol

from szal_nb.engine.code_globals import Lender
from szal_nb.engine.context import CURRENT
from szal_nb.engine.namespace import build_namespace, rebuilt
from szal_nb.errors import InvalidStep
from szal_nb.model.graph import DISPLAY, StepNode

_RESULT = "__szal_result__"


class Body(Protocol):
    """What the runner needs of a step's body."""

    is_async: bool

    def definition(self, name: str) -> Any:
        """The function or class of the notebook that the body finds under this name; None if there is none."""
        ...

    def call(self, inputs: dict[str, Any]) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Runs once; returns what was given, by name (an awaitable of it if `is_async`)."""
        ...


def compile_cell(source: str, filename: str) -> CodeType:
    """`source` as module code with top-level await, its last expression kept for `CellBody`.

    Raises SyntaxError with `filename` and the line in `source`.
    """
    tree = ast.parse(source, filename)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1]
        target = ast.copy_location(ast.Name(_RESULT, ast.Store()), last)
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        ast.fix_missing_locations(tree)
    code: CodeType = compile(tree, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


class CellBody:
    """The body of a cell step. `code` comes from `compile_cell`; a trailing `;` in the cell hides its last value."""

    def __init__(
        self,
        node: StepNode,
        code: CodeType,
        definitions: Mapping[str, Any],
        ambient: Mapping[str, Any],
        *,
        is_quiet: bool = False,
    ) -> None:
        self.node = node
        self.is_async = bool(code.co_flags & inspect.CO_COROUTINE)
        # What lends inputs to code that finds its globals by itself, where the notebook may have others.
        self.lender: Lender | None = None
        self._code = code
        self._definitions = definitions
        self._ambient = ambient
        self._is_quiet = is_quiet

    def definition(self, name: str) -> Any:
        """The notebook's function or class of this name."""
        return self._definitions.get(name)

    def call(self, inputs: dict[str, Any]) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Runs the cell in a fresh namespace."""
        __tracebackhide__ = True
        if self.lender is not None:
            self.lender.lend(self._definitions.values(), inputs)
        namespace = build_namespace(self.node, inputs, self._definitions, self._ambient)
        if self.is_async:
            return self._await(namespace)
        exec(self._code, namespace)
        return self._given(namespace)

    def __getstate__(self) -> dict[str, Any]:
        # Another process has its own front end, or none.
        return {**self.__dict__, "_ambient": {}}

    async def _await(self, namespace: dict[str, Any]) -> dict[str, Any]:
        __tracebackhide__ = True
        await eval(self._code, namespace)
        return self._given(namespace)

    def _given(self, namespace: dict[str, Any]) -> dict[str, Any]:
        given = {name: namespace[name] for name in self.node.values if name in namespace}
        result = namespace.get(_RESULT)
        if result is not None and not self._is_quiet:
            context = CURRENT.get()
            if context is not None:
                context.presenter.show(context, result)
            given[DISPLAY] = result
        return given


class FunctionBody:
    """The body of a function step: its parameters are its inputs, its return value is what it gives."""

    def __init__(self, node: StepNode, function: FunctionType) -> None:
        self.node = node
        # The flag says it, but of a function that something is attached to: that may be marked as one.
        self.is_async = bool(function.__code__.co_flags & inspect.CO_COROUTINE) or (
            bool(function.__dict__) and inspect.iscoroutinefunction(function)
        )
        self._function = function
        self._names = node.step.out or (node.step.name,)
        self._name = self._names[0]
        self.lender: Lender | None = None
        self._positional, self._parameters = _parameters(function)
        # Most functions: parameters that go by name, nothing changed in place, one result.
        self._is_simple = not self._positional and not node.changes and len(self._names) == 1

    def definition(self, name: str) -> Any:
        """The function or class of this name that the function finds."""
        return self._function.__globals__.get(name)

    def call(self, inputs: dict[str, Any]) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Calls the function with those inputs that it has parameters for; the others are its globals."""
        __tracebackhide__ = True
        if self.lender is not None:
            self.lender.lend(map(self.definition, self.node.definitions), inputs)
        if self._is_simple and self._parameters.issuperset(inputs):
            result = self._function(**inputs)
            return self._await_one(result) if self.is_async else {self._name: result}
        args = [inputs[name] for name in self._positional if name in inputs]
        kwargs = {name: value for name, value in inputs.items() if name in self._parameters}
        function = self._function
        if len(args) + len(kwargs) < len(inputs):
            read = {name: value for name, value in inputs.items() if name not in kwargs}
            function = rebuilt(function, {**function.__globals__, **read}, force=True)
        result = function(*args, **kwargs)
        # What it changes in place it gives again.
        changed = {name: inputs[name] for name in self.node.changes if name in inputs}
        if self.is_async:
            return self._await(result, changed)
        return {**changed, **self._given(result)}

    async def _await_one(self, coroutine: Awaitable[Any]) -> dict[str, Any]:
        __tracebackhide__ = True
        return {self._name: await coroutine}

    async def _await(self, coroutine: Awaitable[Any], changed: dict[str, Any]) -> dict[str, Any]:
        __tracebackhide__ = True
        return {**changed, **self._given(await coroutine)}

    def _given(self, result: Any) -> dict[str, Any]:
        names = self._names
        if len(names) == 1:
            return {names[0]: result}
        if isinstance(result, Mapping):
            missing = [name for name in names if name not in result]
            if missing:
                raise InvalidStep(self.node.step.name, f"its result lacks {', '.join(missing)}, named in out=.")
            return {name: result[name] for name in names}
        if not isinstance(result, tuple) or len(result) != len(names):
            raise InvalidStep(
                self.node.step.name,
                f"out= names {len(names)} values, but it returned {type(result).__name__}.",
                f"Return a tuple of {len(names)} values or a dict with these names.",
            )
        return dict(zip(names, result, strict=True))


def _parameters(function: FunctionType) -> tuple[list[str], frozenset[str]]:
    """The names of the parameters that are given by position only, and of those that can be given by name."""
    if function.__dict__:
        # A decorator may have left word that the parameters are others than they look.
        parameters = inspect.signature(function).parameters.values()
        named = (p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        return [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY], frozenset(named)
    code = function.__code__
    first = code.co_posonlyargcount
    names = code.co_varnames
    return list(names[:first]), frozenset(names[first : code.co_argcount + code.co_kwonlyargcount])
