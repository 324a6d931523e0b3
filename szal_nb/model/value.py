"""What the record says of a value: where it is kept and what it looks like, never the value itself."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from szal_nb.model.kept import is_kept, state_of

_CLASS_TYPES = frozenset({"type", "abc.ABCMeta", "enum.EnumType"})


class ValueRef(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One value that a step gave, or that a run took in, under a name.

    `hash` is the content hash in hexadecimal, None for a `live` value, which exists only in the process that made
    it (`live` says why). `content` is the stored JSON itself where that is short: it stands nowhere else. `identity`
    is equal for names that were bound to one object. `shape` counts rows first. `needed` says that a later step reads
    it, or `--out` names it. `size` is in bytes as stored. `unchecked` are the types of parts that the guard could not
    look into. `shown` is the hash of what was shown of a figure or a chart, a mimebundle in JSON that the same step
    gave under `shown_name`. `ties` are values, as step ("" for an input) and name, that share parts with this one
    where one of the two is live: neither can be made again without the other.
    """

    name: str
    type: str = ""
    hash: str | None = None
    content: str | None = None
    format: str | None = None
    size: int = 0
    shape: tuple[int, ...] | None = None
    summary: str = ""
    live: str | None = None
    identity: str | None = None
    needed: bool = False
    unchecked: tuple[str, ...] = ()
    shown: str | None = None
    ties: tuple[tuple[str, str], ...] = ()


def as_live(ref: ValueRef, reason: str) -> ValueRef:
    """The value as one that is made again, so that nothing of what was stored of it counts."""
    return msgspec.structs.replace(
        ref, hash=None, content=None, format=None, size=0, shape=None, summary="", live=reason
    )


# The reason of a live value that can put something in place of what a module holds, or take it away again.
HOLDS_PATCHER = "it holds a patcher of unittest.mock"
# Begins the reason of a live value that could have been stored, had there been room.
NOT_STORED = "it could not be stored: "
_SHOWN = "<shown "


def shown_name(name: str) -> str:
    """The name under which the record has what is shown of a value."""
    return f"{_SHOWN}{name}>"


def is_shown(name: str) -> bool:
    """Whether the record has under this name what is shown of a value."""
    return name.startswith(_SHOWN)


def is_about_the_process(name: str) -> bool:
    """Whether what is recorded under this name is no value for people.

    The state of a generator, or what several values share, which a resume needs, or what is shown of a value; no name
    of Python begins with "<".
    """
    return name.startswith("<")


def is_class(ref: ValueRef) -> bool:
    """Whether the value is a class. Earlier versions named the metaclass, of which these are known."""
    return ref.type in _CLASS_TYPES


def is_live_state(ref: ValueRef) -> bool:
    """Whether this is what a function or class keeps from call to call, and cannot be stored."""
    return ref.live is not None and ref.name.startswith("<") and is_kept(state_of(ref.name))


def rebuilt_on_resume(refs: Iterable[ValueRef]) -> list[ValueRef]:
    """Those that a later step needs and that are not stored, or share parts with such a value.

    A resume makes them again if it needs them, also what functions keep that the step has used.
    """
    return [ref for ref in refs if (ref.needed and ref.live is not None) or ref.ties or is_live_state(ref)]


def tied_text(ref: ValueRef) -> str:
    """The values that it cannot be made again without, for people.

    >>> tied_text(ValueRef(name="rows", ties=(("load", "items"), ("", "conn"))))
    'items of load, conn of the notebook'
    >>> tied_text(ValueRef(name="rows", ties=(("count", "<memory of load>"),)))
    'memory of load'
    """
    return ", ".join(
        state_of(name) if is_about_the_process(name) else f"{name} of {step or 'the notebook'}"
        for step, name in ref.ties
    )


def for_people(refs: Iterable[ValueRef]) -> list[ValueRef]:
    """Without what is recorded about the process only."""
    return [ref for ref in refs if not is_about_the_process(ref.name)]


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An exception as the record keeps it: text only.

    `names` are the class and its bases, plain and dotted, for `--retry-on`; `line` is counted in the step's cell.
    """

    type: str
    message: str = ""
    traceback: str = ""
    names: tuple[str, ...] = ()
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class ElementEnd(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """How an element of a mapped step ended: its position, its attempts, and its error's line or the types it gave.

    `kept`: what it gave is recorded, so that it need not run again when the step does.
    """

    position: int
    attempts: int = 1
    error: str = ""
    gave: str = ""
    kept: bool = False


class Output(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that a body showed, in nbformat's terms.

    `type` is `stream`, `display_data`, `execute_result`, `update_display_data` or `error`. A stream has `name`
    (stdout, stderr) and `text`; the others have a mimebundle in `data` (binary parts in base64, as in a notebook).
    """

    type: str
    name: str = ""
    text: str = ""
    data: dict[str, object] = {}
    metadata: dict[str, object] = {}
    display_id: str | None = None
