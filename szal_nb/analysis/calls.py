"""What calls do: methods by their name, functions of libraries by their dotted name, all others by doubt."""

from __future__ import annotations

import ast
from dataclasses import replace

from szal_nb.analysis import commands, files, hidden, magic, memory, mocking, strings
from szal_nb.analysis.applying import Call, called
from szal_nb.analysis.names import FITTING
from szal_nb.analysis.tables import (
    ASKING_GENERATORS,
    CHANGING,
    CHANGING_AS_STATEMENT,
    CONTAINER_METHODS,
    DRAWINGS,
    FACTORIES,
    FETCHING,
    FUNCTION_CHANGES,
    FUNCTION_HOLDS,
    FUNCTION_SHARES,
    GENERATOR_KINDS,
    HOLDING,
    IMMUTABLE,
    ITERATING,
    KEEPING_CODE,
    KEEPING_KINDS,
    KNOWN_LIBRARIES,
    LATE,
    LATE_KIND,
    MAKING_LISTS,
    MISSING_KEYS,
    NOT_GOING_THROUGH,
    PLOTTING,
    RECIPES,
    RUNNING,
    SHALLOW,
    SHARING,
    TABLE_CHANGING,
    UNCHANGING,
    USED_UP,
    WRITING_TO,
    changes_drawing,
    gives_drawing,
    is_said_to_change,
    makes_drawing,
)
from szal_nb.analysis.threads import MEMORY_ENGINE, THREAD_BOUND, bound_kind, is_in_memory
from szal_nb.analysis.used_states import DUCKDB_KINDS, UsedStates
from szal_nb.analysis.values import FRESH, Tokens, Value, either

_DYNAMIC = frozenset({"globals", "locals", "exec", "eval", "compile", "__import__", "vars", "dir"})
_TABLES = ("pandas.", "polars.")
_KNOWN_METHODS = UNCHANGING | CHANGING | CHANGING_AS_STATEMENT
_RETURNING_SELF = frozenset({"fit", "partial_fit", "set_params", "set_output"})
_MADE_BY_BUILTINS = {
    "len": "int", "range": "range", "str": "str", "int": "int", "float": "float", "bool": "bool", "repr": "str",
    "open": "file", "bytes": "bytes", "isinstance": "bool", "hasattr": "bool", "callable": "bool", "type": "type",
    "input": "str", "format": "str", "chr": "str", "ord": "int", "hash": "int", "id": "int", "complex": "complex",
    "round": "", "abs": "", "sum": "",
}  # fmt: skip
# What they map, or are given to run, gives what the function gave.
_POOLS = ("concurrent.futures.", "multiprocessing.", "joblib.")
_DATABASES = ("duckdb.", "sqlite3.")
_SQL = frozenset({"sql", "query"})
_NOT_TABLES = frozenset({
    "set_option", "get_option", "Timestamp", "Timedelta", "ExcelFile", "ExcelWriter", "HDFStore", "unique", "factorize",
})  # fmt: skip


class Calls(UsedStates):
    """The part of the walk that looks at calls; `call` is its door."""

    def call(self, node: ast.Call, *, is_discarded: bool) -> Value:
        """The value of a call, with all that it does recorded."""
        self.record.has_calls = True
        func = node.func
        owner: Value | None = None
        if isinstance(func, ast.Attribute):
            owner = self.eval(func.value, is_discarded=is_discarded and isinstance(func.value, ast.Call))
            target = Value(ref=f"{owner.ref}.{func.attr}") if owner.ref else FRESH
        elif isinstance(func, ast.Name):
            target = self.load(func.id, func.lineno)
            self.use_keeping(func, target, node)
        else:
            target = self.eval(func)
        if target.ref:
            self.use_ref(target.ref, func)
        call = self._with_arguments(node, is_discarded=is_discarded)
        self._change_arguments(call, target)
        self.use_states_of_kinds(call, target, owner)
        self._go_through_arguments(call, target)
        if target.callable is not None:
            return self.call_function(call, target.callable)
        found = self._called(call, target, owner)
        axes = call.keywords.get("ax")
        if axes is None or not axes.tokens:
            return found
        # What is drawn on axes is a part of them; many functions give the axes themselves.
        drawn = self.part(axes)
        return replace(drawn, tokens=drawn.tokens | found.tokens, kind=drawn.kind or found.kind)

    def _go_through_arguments(self, call: Call, target: Value) -> None:
        name = target.ref.removeprefix("builtins.")
        for argument, value in zip(call.node.args, call.args, strict=True) if target.callable is None else ():
            # What `zip` makes of an iterator of the notebook takes from it later.
            if name not in NOT_GOING_THROUGH or (name in USED_UP and self._is_iterator(value)):
                self.go_through(value, argument)

    def _is_iterator(self, value: Value) -> bool:
        is_own = value.kind.startswith("class ")
        return is_own and any(self.surface.methods_by_themselves(name, value.kind) for name in ("__iter__", "__next__"))

    def _called(self, call: Call, target: Value, owner: Value | None) -> Value:
        func = call.node.func
        if target.ref:
            return self._call_library(call, target.ref)
        if memory.is_remembering(target.kind):
            return self.call_remembering(call, target)
        if owner is not None and isinstance(func, ast.Attribute):
            return self._call_method(call, func.attr, owner)
        return self._call_unknown(call, target)

    def _change_arguments(self, call: Call, target: Value) -> None:
        if (out := call.keywords.get("out")) is not None:
            # As numpy and torch have it: the result is written there.
            self.change(out.tokens, call.node, "written to", call.text, is_deep=out.is_part)
        if (axes := call.keywords.get("ax")) is not None and target.callable is None:
            # As pandas and seaborn have it: it is drawn there.
            self.change(axes.tokens, call.node, "drawn on", call.text, is_deep=axes.is_part)
        drawings = [value for value in call.values if value.kind.startswith(DRAWINGS)]
        is_function = any(value.callable is not None for value in (target, *call.values)) if drawings else False
        if is_function or target.ref.startswith("matplotlib.pyplot."):
            # A function does not know that it is given a drawing; from `plt.sca(ax)` on, others draw there.
            for drawing in drawings:
                self.change(drawing.tokens, call.node, "drawn on", call.text, is_certain=False, is_deep=True)

    def _with_arguments(self, node: ast.Call, *, is_discarded: bool) -> Call:
        args = [self.eval(argument) for argument in node.args]
        keywords = {
            keyword.arg or f"**{position}": self.eval(keyword.value) for position, keyword in enumerate(node.keywords)
        }
        return Call(node, args, keywords, is_discarded)

    def _call_method(self, call: Call, name: str, owner: Value) -> Value:
        node = call.node
        of_method = () if owner.kind in GENERATOR_KINDS else hidden.states_of_method(name, frozenset(call.keywords))
        for state in (*hidden.states_of_kind(owner.kind), *of_method):
            self.use_state(state, node, f".{name}(…)")
        strings.read_in_call(self, node, name)
        self.change_by_functions(call, [owner, *call.values])
        if name == "shuffle" and call.args:
            # Of a generator, as `random.shuffle` is of the global one.
            self.change(call.args[0].tokens, node, "changing method", call.text, is_deep=call.args[0].is_part)
        if name in WRITING_TO:
            position, keyword = WRITING_TO[name]
            for database in [*call.args[position : position + 1], *filter(None, [call.keywords.get(keyword)])]:
                self.change(database.tokens, call.node, "changing function", call.text, is_deep=True)
        self._use_handle(call, owner)
        paths, named, mode = _paths(call)
        for path, is_write in files.uses_of_method(name, owner.path, paths, named, mode):
            self.use_file(path, node, f".{name}(…)", is_write=is_write)
        if owner.kind == "class" and (given := self._of_class(node, name, owner)) is not None:
            return given
        methods, is_only = self.surface.methods(name, owner.kind)
        found = files.listed(name, owner.path, paths)
        if found and not methods:
            return Value(path=found)
        results = [self.call_method(call, method, owner, is_certain=is_only) for method in methods]
        if is_only:
            return self.one_of(results)
        if results:
            return either(self.one_of(results), self._known_method(call, name, owner))
        return self._known_method(call, name, owner)

    def _start(self, call: Call, owner: Value, put: list[str]) -> Value:
        """A patcher puts something in place of these, or takes it away."""
        for dotted in put:
            self.store_in(dotted, call.node, call.text)
        self.change(owner.tokens, call.node, "changing method", call.text)
        return Value(owner.tokens, is_part=True)

    def _of_class(self, node: ast.Call, name: str, owner: Value) -> Value | None:
        """What a method that is called through its class gives of what the class keeps; None if it keeps nothing."""
        if not isinstance(node.func, ast.Attribute) or not isinstance(node.func.value, ast.Name):
            return None
        class_name = node.func.value.id
        methods, _ = self.surface.methods(name, f"class {class_name}")
        for method in methods:
            if memory.is_remembering_method(method.node):
                return self.remembered_by_class(method, FRESH, owner)
        is_keeping = bool(methods) and class_name in self.surface.keeping_classes
        if is_keeping:
            self.use_keeping(node.func.value, owner, node)
        return self.kept_by_class(class_name, FRESH) if is_keeping else None

    def call_by_itself(
        self, name: str, owner: Value, node: ast.expr, call: Call | None = None, *passed: Value
    ) -> Value | None:
        """What a method that Python calls by itself gives; None where no class of the notebook says it.

        `call` is the call of the object itself, if it is that; `passed` what else the method is given.
        """
        methods = self.surface.methods_by_themselves(name, owner.kind) if owner.kind.startswith("class ") else []
        if call is None and methods:
            made = ast.copy_location(ast.Call(ast.Attribute(node, name, ast.Load()), [node for _ in passed], []), node)
            call = Call(made, [*passed], {}, is_discarded=False)
        results = [self.call_method(call, method, owner, is_certain=True) for method in methods] if call else []
        return self.one_of(results) if results else None

    def go_through(self, value: Value, node: ast.expr) -> None:
        """All elements are taken, also where a class of the notebook says how."""
        super().go_through(value, node)
        for name in ("__iter__", "__next__", "__aiter__", "__anext__"):
            self.call_by_itself(name, value, node)

    def _known_method(self, call: Call, name: str, owner: Value) -> Value:
        node = call.node
        if name in mocking.STARTING and (put := mocking.put_by(owner.kind)):
            return self._start(call, owner, put)
        if owner.kind in IMMUTABLE:
            if name in MAKING_LISTS:
                return self.fresh(node, (), "list")
            return Value(kind=owner.kind if owner.kind == "str" else "")
        if owner.kind.startswith(RECIPES) and name == "on" and call.args:
            self.change(call.args[0].tokens, node, "drawn on", call.text, is_deep=call.args[0].is_part)
        if owner.kind.endswith("!unseeded") and name.startswith(("fit", "partial_fit")):
            self.use_state(hidden.NUMPY_RANDOM, node, call.text)
        self._change_owner(call, name, owner)
        if owner.kind.startswith(DRAWINGS):
            return self.part(owner) if gives_drawing(name) else replace(self.part(owner), kind="")
        if owner.kind in GENERATOR_KINDS and name not in _KNOWN_METHODS:
            return self.fresh(node, self.reach(token for value in call.values for token in value.tokens))
        return self._method_result(call, name, owner)

    def _change_owner(self, call: Call, name: str, owner: Value) -> None:
        """Records that a method changes its object, if it does or may."""
        is_deep = owner.is_part or _changes_what_it_holds(name, owner)
        if _is_inplace(call.node):
            self.change(owner.tokens, call.node, "inplace=True", call.text, is_deep=is_deep)
        elif owner.kind.startswith(_DATABASES) and name in _SQL and strings.changes_database(strings.sql_of(call.node)):
            self.change(owner.tokens, call.node, "changing statement", call.text, is_deep=True)
        elif _changes(name, owner, is_discarded=call.is_discarded):
            held = frozenset(token for value in _kept_arguments(name, call) for token in value.tokens)
            if owner.direct and name in CONTAINER_METHODS:
                self.change_surface(owner, call.node, "changing method", call.text)
                if name in HOLDING:
                    self.hold_below(owner, held)
                return
            is_fitting = name.startswith(("fit", "partial_fit"))
            rule = FITTING if is_fitting else "changing method"
            self.change(owner.tokens, call.node, rule, call.text, is_deep=is_deep)
            if is_fitting:
                self.learn(owner.tokens, held)
            elif name in HOLDING:
                self.hold(owner.tokens, held)
        elif (
            is_said_to_change(name, owner.kind) or (call.is_discarded and name not in UNCHANGING)
        ) and not owner.kind.startswith((*_TABLES, *DRAWINGS)):
            rule = "method of unknown effect"
            self.change(owner.tokens, call.node, rule, call.text, is_certain=False, is_deep=is_deep)

    def _method_result(self, call: Call, name: str, owner: Value) -> Value:
        is_table = owner.kind.startswith(_TABLES)
        is_array = owner.kind.startswith("numpy.")
        if is_array and name in {"astype", "copy"}:
            return Value(kind=owner.kind) if name == "copy" else replace(owner, is_part=True)
        if name in {"setdefault", "get"} and not is_table:
            direct = self.surface_of(owner)
            default = frozenset(token for value in call.args[1:] for token in value.tokens)
            tokens = self.reach([*owner.tokens, *default])
            within = owner.tokens if direct else direct
            return Value(tokens, is_part=True, direct=direct | default if direct else direct, within=within)
        if name in _RETURNING_SELF:
            return owner
        if owner.kind in THREAD_BOUND and name in FETCHING:
            return FRESH
        if owner.kind in THREAD_BOUND or (name == "cursor" and owner.kind):
            return Value(self.fresh(call.node, owner.tokens).tokens | owner.tokens, owner.kind)
        if name in SHALLOW and not is_table:
            return self.fresh(call.node, owner.tokens, owner.kind) if owner.tokens else FRESH
        if owner.kind.startswith(DUCKDB_KINDS):
            # A relation is looked at only when it is read.
            return FRESH if name in FETCHING else self.fresh(call.node, owner.tokens, "duckdb.relation")
        if is_table and name != "pipe":
            return self._result_of_table(call, name, owner)
        if name in SHARING or name not in _KNOWN_METHODS or owner.kind.startswith(_POOLS):
            functions = [token for value in call.values if value.callable is not None for token in value.tokens]
            return Value(self.reach([*owner.tokens, *self.without_code(functions)]), is_part=True)
        # What a pool of threads maps gives what the function gave.
        given = self.without_code(
            token for value in call.values if value.callable is not None for token in value.tokens
        )
        return Value(given, is_part=True) if given else FRESH

    def _result_of_table(self, call: Call, name: str, owner: Value) -> Value:
        if name in ITERATING:
            return self.fresh(call.node, owner.tokens, "generator")
        if name in LATE:
            return self.fresh(call.node, owner.tokens, f"{owner.kind.partition('.')[0]}{LATE_KIND}")
        if name in PLOTTING:
            return self.fresh(call.node, (), "matplotlib.axes")
        kind = owner.kind.removesuffix(LATE_KIND)
        return Value(kind=owner.kind if kind == owner.kind else f"{kind}.DataFrame")

    def _call_library(self, call: Call, dotted: str) -> Value:
        name = dotted.removeprefix("builtins.")
        if "get_ipython" in dotted:
            return magic.call(self, call.node, dotted)
        if (
            name == "importlib.import_module"
            and len(call.args) == 1
            and (module := mocking.dotted_in(call.node.args[0]))
        ):
            return Value(ref=module)
        if name == "vars" and len(call.args) == 1 and call.args[0].ref:
            return Value(ref=f"{call.args[0].ref}.__dict__")
        if name in _DYNAMIC:
            return self._look_into_namespace(call, name)
        self.use_states_of_library(call, name)
        paths, named, mode = _paths(call)
        for path, is_write in files.uses_of_function(name, paths, named, mode):
            self.use_file(path, call.node, f"{name}(…)", is_write=is_write)
        made = files.path_of_call(name, paths)
        if made:
            return Value(kind="str" if name == "str" else "", path=made)
        strings.read_in_call(self, call.node, name.rpartition(".")[2])
        for handle in call.values:
            self._use_handle(call, handle)
        self.change_by_functions(call, call.values)
        for position in FUNCTION_CHANGES.get(name, ()):
            if position < len(call.args):
                changed = call.args[position]
                self.change(changed.tokens, call.node, "changing function", call.text, is_deep=changed.is_part)
        written = files.written_by_handle(name, paths, named, mode)
        result = self._library_result(call, name)
        return replace(result, path=written) if written else result

    def _use_handle(self, call: Call, handle: Value) -> None:
        """What is open for writing is written to, and its file is whole only when it is closed.

        A program is waited for; an archive gives what is in it.
        """
        if handle.kind == commands.STARTED:
            self.use_program("", call.node, call.text)
        if files.is_archive(handle.kind) and isinstance(call.node.func, ast.Attribute):
            paths, named, _ = _paths(call)
            for path in files.extracted_by(call.node.func.attr, paths, named):
                self.use_file(path, call.node, call.text, is_write=True)
        if handle.path and files.is_handle(handle.kind):
            self.use_file(handle.path, call.node, call.text, is_write=True)

    def _mock(self, call: Call, name: str) -> Value:
        """Something is put in place of what modules hold, until somebody takes it away: it is as if it stayed."""
        found = mocking.patched_by(name, call.node, [value.ref for value in call.args])
        for dotted in found:
            self.store_in(dotted, call.node, f"{name}(…)")
        if not found:
            self.mark_dynamic(call.node, f"{name}(…)")
        held = self._kept_by(call, name)
        return Value(self.fresh(call.node, held).tokens | held, kind=mocking.patcher_kind(found))

    def _library_result(self, call: Call, name: str) -> Value:
        if name in mocking.PATCHERS:
            return self._mock(call, name)
        held = self._kept_by(call, name)
        if name in USED_UP:
            # Going through it uses up the generators that it goes through.
            used = [value.tokens for value in call.values if value.kind in USED_UP]
            return Value(self.fresh(call.node, held).tokens.union(*used), name)
        if name in FUNCTION_SHARES:
            return Value(held, is_part=True)
        if name in FUNCTION_HOLDS:
            drawn = next((value.kind for value in call.values if value.kind.startswith(DRAWINGS)), "")
            is_told = name == MISSING_KEYS or ("." not in name and name != "tuple")
            made = self.fresh(call.node, held, drawn or (name if is_told else ""))
            return replace(made, path=files.path_of_elements(call.args[0].path)) if call.args else made
        root = name.partition(".")[0]
        if root in KNOWN_LIBRARIES or root == name:
            unseeded = "!unseeded" if hidden.is_unseeded(name, frozenset(call.keywords)) else ""
            if _keeps_arguments(name):
                return self.fresh(call.node, held, bound_kind(call.values) or name + unseeded)
            if is_in_memory(name, call.args[0].path if call.args else ""):
                return self.fresh(call.node, held, MEMORY_ENGINE)
            return Value(kind=_made_kind(name) + unseeded)
        if call.is_discarded:
            self._maybe_change(call)
        return Value(self.fresh(call.node, held).tokens | held, kind=name)

    def _kept_by(self, call: Call, name: str) -> Tokens:
        """What the result of a library's function may hold of its arguments: `sorted` runs its key and lets it go."""
        kept: set[str] = set()
        root = name.partition(".")[0]
        is_lazy = name in USED_UP or name.startswith("itertools.") or _keeps_arguments(name)
        keeps_code = is_lazy or name in KEEPING_CODE or not (root in KNOWN_LIBRARIES or root == name)
        for value in call.values:
            found = self.reach(value.tokens)
            is_let_go = not is_lazy if value.kind in RUNNING else value.callable is not None and not keeps_code
            kept |= self.without_code(found) if is_let_go else found
        return frozenset(kept)

    def _look_into_namespace(self, call: Call, name: str) -> Value:
        if name in {"vars", "dir"} and call.args:
            return self.part(call.args[0])
        if name == "compile" or (name == "locals" and not self.is_module):
            return FRESH
        self.mark_dynamic(call.node, f"{name}()")
        return Value(ref=f"builtins.{name}()")

    def _call_unknown(self, call: Call, target: Value) -> Value:
        held = self.reach(token for value in call.values for token in value.tokens)
        self.change_by_functions(call, call.values)
        if (given := self.call_by_itself("__call__", target, call.node.func, call)) is not None:
            return given
        self.use_states_of_model(call, target)
        if not call.is_discarded and self.surface.are_remembered(target.tokens):
            # Code that came out of a memory may keep something that its calls change.
            self.change(target.tokens, call.node, "call of unknown effect", call.text, is_certain=False, is_deep=True)
        if target.kind == "class":
            made = self.fresh(call.node, held | target.tokens, f"class {call.callee}")
            self.root.instances |= made.tokens
            if self.surface.methods("__new__", made.kind)[1]:
                # It may be one that it has made before.
                made = self.kept_by_class(call.callee, made)
            makers, is_only = self.surface.methods("__init__", made.kind)
            if is_only:
                for maker in makers:
                    self.call_method(call, maker, made, is_certain=True)
            return made
        if call.is_discarded:
            self._maybe_change(call)
            self.change(target.tokens, call.node, "call of unknown effect", call.text, is_certain=False)
        # What is called may keep something, too.
        held |= {called(token) for token in self.without_code(self.reach(target.tokens))}
        return Value(self.fresh(call.node, held).tokens | held, bound_kind([target]), is_part=True)

    def _maybe_change(self, call: Call) -> None:
        rule = "passed to a function of unknown effect"
        for value in call.values:
            self.change(value.tokens, call.node, rule, call.text, is_certain=False, is_deep=True)


def _changes(name: str, owner: Value, *, is_discarded: bool) -> bool:
    if owner.kind.startswith(RECIPES):
        return False
    if owner.kind in GENERATOR_KINDS:
        return name not in ASKING_GENERATORS
    if owner.kind.startswith(DRAWINGS):
        return changes_drawing(name)
    if owner.kind.startswith(_TABLES) and not (owner.is_part and name in CHANGING):
        # What is in a cell of a table may be a list.
        return name in TABLE_CHANGING[owner.kind.partition(".")[0]]
    if name in CHANGING or (is_discarded and name in CHANGING_AS_STATEMENT):
        return True
    if name == "get" and owner.kind.startswith("queue."):
        return True
    # torch marks its methods that work in place so.
    return name.endswith("_") and not name.startswith("_") and name not in UNCHANGING


def _changes_what_it_holds(name: str, owner: Value) -> bool:
    # An optimizer's step changes the parameters that it was made with; a list's append changes the list only.
    if name in HOLDING and not name.startswith(("fit", "set_params")):
        return False
    return name not in CONTAINER_METHODS and not owner.kind.startswith(KEEPING_KINDS)


def _is_inplace(node: ast.Call) -> bool:
    return any(
        keyword.arg == "inplace" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
        for keyword in node.keywords
    )


def _kept_arguments(name: str, call: Call) -> list[Value]:
    # A key cannot be changed.
    return call.values[1:] if name == "setdefault" else call.values


def _paths(call: Call) -> tuple[list[str], dict[str, str], str]:
    """The paths that the arguments are, and the mode in which a file is opened."""
    mode = next((keyword.value for keyword in call.node.keywords if keyword.arg == "mode"), None)
    for argument in reversed(call.node.args[:2]):
        # The mode of `open(path, mode)` or `path.open(mode)`.
        mode = mode or (argument if isinstance(argument, ast.Constant) and _is_mode(argument.value) else None)
    text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else ""
    return [value.path for value in call.args], {name: value.path for name, value in call.keywords.items()}, text


def _is_mode(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 4 and set(value) <= set("rwxabt+")


def _keeps_arguments(dotted: str) -> bool:
    """Whether what is made keeps its arguments: objects do, results of functions do not."""
    last = dotted.rpartition(".")[2]
    return (last[:1].isupper() or dotted in FACTORIES) and not dotted.startswith(
        ("pandas.", "polars.", "numpy.", "datetime.", "pathlib.")
    )


def _made_kind(dotted: str) -> str:
    if dotted.startswith("pandas."):
        return "pandas.DataFrame" if dotted.rpartition(".")[2] not in _NOT_TABLES else dotted
    if dotted.startswith(DRAWINGS) and not makes_drawing(dotted):
        return "pandas.DataFrame" if dotted == "seaborn.load_dataset" else ""
    return _MADE_BY_BUILTINS.get(dotted, dotted)
