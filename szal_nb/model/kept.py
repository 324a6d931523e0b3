"""The names of hidden states: how they are recorded, and those that functions and classes keep from call to call."""

from __future__ import annotations

import re
import sys

# Global random generators.
RANDOM, NUMPY_RANDOM, TORCH_RANDOM = "random", "numpy.random", "torch.random"
GENERATORS = (RANDOM, NUMPY_RANDOM, TORCH_RANDOM)
# Whether what `warnings.catch_warnings` sets counts for the step alone that entered it. Python 3.14 has other insides,
# and a switch of its own for this.
WARNINGS_ARE_OWN = sys.version_info < (3, 14)
_ATTRIBUTES = "attributes of "
_MEMORY = "memory of "
_CALLS = "calls of "
_PATCH = "patch of "
_DEFAULT = re.compile(r"default of ([^\W\d]\w*)\(([^\W\d]\w*)=…\)")


def state_name(state: str) -> str:
    """The name under which a state is recorded among a step's values; no name of Python."""
    return f"<{state}>"


def state_of(name: str) -> str:
    """The state that is recorded under this name."""
    return name.strip("<>")


def default_state(function: str, parameter: str) -> str:
    """The state that a parameter's default is, which calls change.

    >>> default_state("add", "seen")
    'default of add(seen=…)'
    """
    return f"default of {function}({parameter}=…)"


def attributes_state(name: str) -> str:
    """The state that the attributes of a function or class are."""
    return f"{_ATTRIBUTES}{name}"


def attributes_owner(state: str) -> str:
    """Whose attributes the state is; "" if it is another one."""
    return state.removeprefix(_ATTRIBUTES) if state.startswith(_ATTRIBUTES) else ""


def memory_state(name: str) -> str:
    """The state that a function or class keeps where nobody can read it: what it gave before, or how often it ran.

    >>> memory_state("load")
    'memory of load'
    """
    return f"{_MEMORY}{name}"


def calls_state(name: str) -> str:
    """The state that the calls of a function are that remembers, where only the first of them does something.

    >>> calls_state("draw")
    'calls of draw'
    """
    return f"{_CALLS}{name}"


def are_calls(state: str) -> bool:
    """Whether it matters to the state whether there was a call."""
    return state.startswith(_CALLS)


def memory_owner(state: str) -> str:
    """Whose memory, or calls, the state is; "" if it is another one."""
    return state.removeprefix(_MEMORY).removeprefix(_CALLS) if state.startswith((_MEMORY, _CALLS)) else ""


def patch_state(dotted: str) -> str:
    """The state that an attribute of a module is, which steps assign or change.

    >>> patch_state("math.pi")
    'patch of math.pi'
    """
    return f"{_PATCH}{dotted}"


# The database in memory that duckdb keeps for the process, as if it were an attribute of the module.
DUCKDB = "duckdb.default_connection"
# Stands for an attribute that the code does not tell.
UNTOLD = "?"


def patched(state: str) -> str:
    """Which attribute of which module the state is; "" if it is another one."""
    return state.removeprefix(_PATCH) if state.startswith(_PATCH) else ""


def default_owner(state: str) -> tuple[str, str] | None:
    """Of which function and which parameter the state is the default; None if it is another one.

    >>> default_owner("default of add(seen=…)"), default_owner("random")
    (('add', 'seen'), None)
    """
    found = _DEFAULT.fullmatch(state)
    return (found[1], found[2]) if found else None


def is_kept(state: str) -> bool:
    """Whether a function or class of the notebook keeps the state."""
    return state.startswith((_ATTRIBUTES, _MEMORY, _CALLS)) or default_owner(state) is not None


def kept_owner(state: str) -> str:
    """The function or class that keeps the state; "" if none does."""
    default = default_owner(state)
    return default[0] if default is not None else attributes_owner(state) or memory_owner(state)
