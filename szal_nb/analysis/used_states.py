"""The hidden state that calls use: of libraries by their names, of values by their kinds. Part of the walk."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from szal_nb.analysis import commands, hidden, mocking, strings
from szal_nb.analysis.applying import Applying, Call
from szal_nb.analysis.tables import CHANGING, CHANGING_AS_STATEMENT, KNOWN_LIBRARIES
from szal_nb.analysis.values import FRESH, Value
from szal_nb.model.kept import DUCKDB, UNTOLD, patch_state

_STORES = frozenset({
    "os.environ", "sys.path", "sys.modules", "matplotlib.rcParams", "matplotlib.pyplot.rcParams", "warnings.filters",
})  # fmt: skip
_ALL_CHANGING = CHANGING | CHANGING_AS_STATEMENT
# A connection of duckdb, also the one that it keeps for the process, refuses what another thread asks of it meanwhile.
DUCKDB_KINDS = "duckdb."


class UsedStates(Applying):
    """The part of the walk that looks at what else a call uses and changes."""

    def use_states_of_kinds(self, call: Call, target: Value, owner: Value | None) -> None:
        """Those that a call uses because of what it is made on, or given."""
        kinds = [value.kind for value in (*call.values, owner or FRESH)]
        if hidden.LOADER in kinds:
            self.use_state(hidden.TORCH_RANDOM, call.node, call.text)
        if any(kind.startswith(DUCKDB_KINDS) for kind in kinds) or _asks_duckdb(target.ref):
            self.use_state("duckdb", call.node, call.text)

    def use_states_of_library(self, call: Call, name: str) -> None:
        """Those that a call of a library's function uses or changes."""
        keywords = frozenset(call.keywords)
        if name.startswith("networkx.draw") and len(call.args) > 1:
            keywords |= {"pos"}
        for state in hidden.states_of_call(name, keywords):
            self.use_state(state, call.node, f"{name}(…)")
        self._use_process(call, name)
        owner, _, method = name.rpartition(".")
        # `set()` with nothing to set is that of an event, by which steps at work at once wait for each other.
        is_event = method == "set" and not call.values
        if method in _ALL_CHANGING and (
            owner in _STORES or (call.is_discarded and not is_event and _may_be_held(owner))
        ):
            self.store_in(owner, call.node, f"{name}(…)")
        if extended := hidden.EXTENDING.get(name):
            self.store_in(f"{extended}.{_text_of(call.node.args[:1])}", call.node, f"{name}(…)")
        if name.startswith("tqdm.") and name.endswith(".pandas"):
            for extended in hidden.WITH_PROGRESS:
                self.store_in(extended, call.node, f"{name}(…)")
        if name in ("setattr", "delattr") and call.args and call.args[0].ref:
            self.store_in(f"{call.args[0].ref}.{_text_of(call.node.args[1:2])}", call.node, f"{name}(…)")
        if name == mocking.STOPPING_ALL:
            self.use_state(patch_state(UNTOLD), call.node, f"{name}()")

    def _use_process(self, call: Call, name: str) -> None:
        """What a function uses beside the notebook: a program that it starts, the database of the process."""
        if commands.starts_program(name):
            self.use_program(commands.text_of(call.node), call.node, f"{name}(…)")
        if _asks_duckdb(name) and _changes_duckdb(call, name.partition(".")[2]):
            self.use_state(patch_state(DUCKDB), call.node, call.text)

    def use_states_of_model(self, call: Call, target: Value) -> None:
        """Whoever calls a model of torch draws: while it is trained it drops out at random."""
        is_own = target.kind.startswith("class ")
        if target.kind.startswith("torch.nn.") or (is_own and self.surface.methods("forward", target.kind)[1]):
            self.use_state(hidden.TORCH_RANDOM, call.node, call.text)


def _asks_duckdb(dotted: str) -> bool:
    """Whether a function works on the connection that duckdb keeps for the process."""
    root, _, last = dotted.partition(".")
    return root == "duckdb" and last[:1].islower() and "." not in last and last != "connect"


def _changes_duckdb(call: Call, function: str) -> bool:
    """Whether it may leave something in the database in memory that is not there in another process."""
    if function in {"sql", "query", "execute", "executemany", "from_query"}:
        return strings.changes_database(strings.sql_of(call.node))
    return function in {"register", "create_function", "append", "begin"}


def _text_of(args: Sequence[ast.expr]) -> str:
    """The text that the first of these arguments is; UNTOLD where it is none that is written there."""
    return next((one.value for one in args if isinstance(one, ast.Constant) and isinstance(one.value, str)), UNTOLD)


def _may_be_held(dotted: str) -> bool:
    """Whether this may be something that a module holds, and no module or class itself."""
    root, _, last = dotted.partition(".")[0], "", dotted.rpartition(".")[2]
    return "." in dotted and (last.isupper() or root not in KNOWN_LIBRARIES)
