"""Secrets of this process: texts that must reach no record, no output and no log, and how they are masked.

A secret is read anywhere, by a call that knows no run, and must be known to whatever writes: so the secrets that were
read so far are the one thing that this package keeps for the whole process, in `SECRETS`.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from szal_nb.errors import RunError
from szal_nb.model.event import Event

MASK = "***"
# A shorter text turns up by chance, and masking it would tell more than it hides.
SHORTEST = 8
PREFIX = "SZAL_SECRET_"

# What people and programs put into events freely; the other fields name steps, states and values.
_FREE = frozenset({
    "data", "elements", "error", "inputs", "items", "live", "message", "metadata", "note", "reason", "summary", "text",
    "traceback", "value", "values", "whole",
})  # fmt: skip


class Secret(str):
    """A secret as text: usable wherever a string is, hidden by `repr`. Made by `szal.secret`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


def secret(name: str) -> Secret:
    """The secret in the environment variable `name`; from now on its text is masked wherever it would be kept or shown.

    Its bytes as they are, URL-quoted, in base64 or escaped as in JSON are found; what a step makes of it otherwise
    (compressed, hashed, cut into pieces) is not, nor is a secret of fewer than 8 characters.
    """
    text = os.environ.get(name) or os.environ.get(PREFIX + name.upper())
    if not text:
        raise RunError(f"The secret {name!r} is not set. Put it into the environment: {name}.")
    SECRETS.add(text)
    return Secret(text)


def forms_of(text: str) -> frozenset[str]:
    """The spellings under which the secret `text` is found."""
    data = text.encode("utf-8", "surrogatepass")
    forms = {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    for quoted in (quote(data, safe=""), quote(data), quote_plus(data)):
        forms |= {quoted, re.sub("%..", lambda found: found[0].lower(), quoted)}
    for shift in range(3):
        # What is left of the text's own letters, whatever stands before and after it.
        begin, end = (0, 2, 3)[shift], ((shift + len(data)) * 8) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(b"\0" * shift + data).decode()[begin:end])
    return frozenset(forms)


class Secrets:
    """A set of secrets; false while it is empty. Calling it says whether bytes hold one."""

    def __init__(self) -> None:
        self._forms: dict[str, frozenset[str]] = {}
        self._made_of = 0
        self._pattern = re.compile("(?!)")
        self._bytes: tuple[bytes, ...] = ()
        self._beginnings: frozenset[str] = frozenset()
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._forms)

    def add(self, text: str) -> None:
        """From now on `text` is a secret."""
        if len(text) < SHORTEST or text in self._forms:
            return
        self._forms[text] = forms_of(text)
        # Steps read secrets on many threads: whoever comes last makes the search of all that are there.
        while self._made_of != len(self._forms):
            self._prepare(list(self._forms.values()))

    def _prepare(self, known: Sequence[frozenset[str]]) -> None:
        forms = sorted(frozenset().union(*known), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms)))
        self._bytes = tuple(form.encode("utf-8", "surrogatepass") for form in forms)
        self._beginnings = frozenset(form[:end] for form in forms for end in range(1, len(form)))
        self._longest = len(forms[0])
        self._made_of = len(known)

    def __call__(self, data: bytes) -> bool:
        """Whether these bytes hold a secret."""
        return any(form in data for form in self._bytes)

    def masked(self, text: str) -> str:
        """`text` without the secrets in it."""
        return self._pattern.sub(MASK, text) if self._forms else text

    def held_back(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a secret."""
        for length in range(min(len(text), self._longest - 1), 0, -1):
            if text[-length:] in self._beginnings:
                return length
        return 0

    def masked_data(self, value: Any) -> Any:
        """Plain data (and structs of this package) with all texts in it masked."""
        if not self._forms:
            return value
        match value:
            case str():
                return self.masked(value)
            case msgspec.Struct():
                fields = {name: getattr(value, name) for name in value.__struct_fields__ if name in _FREE}
                return msgspec.structs.replace(value, **{name: self.masked_data(old) for name, old in fields.items()})
            case Mapping():
                return {self.masked_data(key): self.masked_data(old) for key, old in value.items()}
            case list() | tuple():
                return type(value)(map(self.masked_data, value))
        return value

    def masked_events(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events as they may be recorded and shown."""
        return tuple(map(self.masked_data, events)) if self._forms else events

    def add_environment(self, environment: Mapping[str, str]) -> None:
        """Adds the secret parameters that a headless run passes in the environment of its kernel."""
        for name, text in environment.items():
            if name.startswith(PREFIX):
                self.add(text)


SECRETS = Secrets()


class StreamMask:
    """Masks one stream that comes in pieces: the end of a piece waits for the next if a secret may begin there."""

    __slots__ = ("_held", "_secrets")

    def __init__(self, secrets: Secrets = SECRETS) -> None:
        self._secrets = secrets
        self._held = ""

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        text = self._secrets.masked(self._held + piece)
        count = self._secrets.held_back(text)
        self._held = text[len(text) - count :]
        return text[: len(text) - count]

    def close(self) -> str:
        """What was held back; the stream has ended."""
        text, self._held = self._held, ""
        return text
