"""Stored content, wherever it is: in the event that names it, or by its hash with a step under way, a row or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from szal_nb.errors import ValueUnavailable
from szal_nb.model.value import ValueRef
from szal_nb.store.database import Reader
from szal_nb.store.files import ValueFileDamaged, ValueFiles, hash_of

# What may stand in an event: JSON is text, and loading it runs nothing.
SHORT_FORMAT = "json"
# Hash, format, size, and the bytes unless they are in a file.
Parked = tuple[str, str, int, bytes | None]


class Contents:
    """All stored content of a store. `parked` finds what is not committed yet."""

    def __init__(
        self, reader: Reader, files: ValueFiles, parked: Callable[[str], Parked | None] = lambda _: None
    ) -> None:
        self._reader = reader
        self._files = files
        self._parked = parked

    def of(self, ref: ValueRef) -> tuple[str, bytes | Path]:
        """Format and content of a stored value, found to match its hash; the file's path if it is in a file."""
        digest = str(ref.hash)
        form, data = self._find(digest, ref.name) if ref.content is None else (SHORT_FORMAT, ref.content)
        if data is None:
            return form, self._files.check(digest, form, ref.name)
        content = content_bytes(data)
        if hash_of(form, content) != digest:
            raise ValueFileDamaged(ref.name, "the record of its run" if ref.content is not None else "the database")
        return form, content

    def _find(self, digest: str, name: str) -> tuple[str, object]:
        parked = self._parked(digest)
        if parked is not None:
            return parked[1], parked[3]
        rows = self._reader.fetch("SELECT format, in_file, data FROM blobs WHERE hash = ? AND size >= 0", (digest,))
        if not rows:
            raise ValueUnavailable(name, "its content is not in the store any more")
        form, in_file, data = rows[0]
        return str(form), None if in_file else data


def content_bytes(data: object) -> bytes:
    """What the database holds of a content: SQLite gives back any type that somebody wrote."""
    return data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")
