"""What steps gave, as content-addressed bytes: short text in the event, small ones in the database, others in files."""

from __future__ import annotations

import io
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import ModuleType
from typing import Protocol

import msgspec

from szal_nb.errors import StoreError
from szal_nb.model.graph import DISPLAY
from szal_nb.model.value import NOT_STORED, ValueRef, is_shown, shown_name
from szal_nb.store.codecs import Buffer, Codec, Encoded, PickleCodec
from szal_nb.store.contents import SHORT_FORMAT, Parked
from szal_nb.store.describing import shape_of, summary_of, type_name
from szal_nb.store.failure import StoreFull, StoreUnusable
from szal_nb.store.files import ValueFiles, hash_of
from szal_nb.store.identity import Identities
from szal_nb.store.pickling import TooLargeError, by_qualname
from szal_nb.store.readable import Unheard
from szal_nb.store.rendition import rendition_of, subject_of

INLINE_BYTES = 256 * 1024
# Text so short is in the event that names it. Hashes stand in no order: beside the event, each content that is new
# costs a page or two of its own.
SHORT_BYTES = 256
# A name that no later step reads is kept if that is cheap.
CHEAP_BYTES = 16 * 2**20
_SEARCHED_AT_ONCE = 4 * 2**20
_LONGEST_SECRET = 64 * 1024
# A step and its attempt; ("", 0) for the inputs of the run.
_Place = tuple[str, int]
_ITERATOR_MODULES = frozenset({"builtins", "itertools"})


# In older stores content that was lost, and is named all the same, has a row of size -1 until it turns up again.
INSERT_BLOB = """
INSERT INTO blobs (hash, format, size, in_file, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (hash) DO UPDATE SET format = excluded.format, size = excluded.size, in_file = excluded.in_file,
                                 data = excluded.data
WHERE blobs.size < 0
"""


class ClassNames(Protocol):
    """Knows by which names a reader will find the notebook's classes."""

    def gave(self, step: str, values: Mapping[str, object]) -> None:
        """The step gave these: what is a class among them is found by its name and the step."""

    def took(self, ref: ValueRef, kind: type) -> None:
        """What was recorded so is this class now."""

    def name_of(self, kind: type, *, is_class: bool) -> str:
        """See `NameClass`."""


class Keeper:
    """Turns values into references, and their bytes into rows and files. One for each journal."""

    def __init__(
        self,
        codecs: Sequence[Codec],
        files: ValueFiles,
        identities: Identities,
        *,
        forbidden: Callable[[bytes], bool] | None = None,
    ) -> None:
        # Which name leads to which class is told by the run; may be set at any time.
        self.classes: ClassNames | None = None
        # How to drop what is printed; may be set at any time.
        self.unheard: Unheard = nullcontext
        pickles = PickleCodec(self._name_class, self._unheard)
        self._codecs = [pickles if type(codec) is PickleCodec else codec for codec in codecs]
        self._readable = {codec.format for codec in codecs if codec.is_safe}
        self._files = files
        self._identities = identities
        # Whether bytes hold a secret; may be set at any time. It may be false while there are no secrets.
        self.forbidden = forbidden
        self._lock = threading.Lock()
        self._parked: dict[_Place, dict[str, Parked]] = {}

    def keep(
        self, step: str, attempt: int, values: Mapping[str, object], needed: Collection[str]
    ) -> tuple[ValueRef, ...]:
        """A reference for each value, in their order, then those to pictures of them; see `RunJournal.keep`."""
        if self.classes is not None:
            self.classes.gave(step, values)
        seen: dict[int, ValueRef] = {}
        refs = []
        has_opaque = False
        for name, value in values.items():
            is_needed = name in needed
            known = seen.get(id(value)) if seen else None
            if known is not None and (known.hash is not None or not is_needed):
                ref = msgspec.structs.replace(known, name=name, needed=is_needed)
            else:
                ref = self._keep((step, attempt), name, value, is_needed=is_needed)
            seen[id(value)] = ref
            refs.append(ref)
            has_opaque = has_opaque or ref.format not in self._readable
        return self._with_renditions((step, attempt), refs, values) if has_opaque else tuple(refs)

    def _unheard(self) -> AbstractContextManager[object]:
        return self.unheard()

    def _name_class(self, kind: type, *, is_class: bool) -> str:
        return (by_qualname if self.classes is None else self.classes.name_of)(kind, is_class=is_class)

    def parked(self, digest: str) -> Parked | None:
        """The bytes that were kept but are not in the store yet."""
        with self._lock:
            return next((blobs[digest] for blobs in self._parked.values() if digest in blobs), None)

    def insert(self, connection: sqlite3.Connection, kept: Iterable[tuple[str, int, Sequence[ValueRef]]]) -> None:
        """Writes the bytes of these references, in the transaction of the events that name them.

        Each comes with its step and attempt.
        """
        rows = []
        with self._lock:
            for step, attempt, refs in kept:
                blobs = self._parked.get((step, attempt))
                if blobs:
                    rows += [blobs[ref.hash] for ref in refs if ref.hash in blobs]
        for digest, _, _, data in rows:
            # Under the store's lock, as is the deletion of files that nobody names.
            if data is None and not self._files.path_of(digest).exists():
                raise StoreUnusable(
                    self._files.path_of(digest), "this file was deleted while a step was being recorded"
                )
        if rows:
            connection.executemany(
                INSERT_BLOB, [(digest, form, size, int(data is None), data) for digest, form, size, data in rows]
            )

    @property
    def has_parked(self) -> bool:
        """Whether anything waits for its event."""
        return bool(self._parked)

    def forget(self, ended: Iterable[tuple[str, int]]) -> None:
        """These attempts of steps have ended: what was parked for them is stored, or of no use."""
        with self._lock:
            for place in ended:
                self._parked.pop(place, None)

    def settle(self, step: str, attempt: int, refs: Sequence[ValueRef]) -> None:
        """The bytes of these are stored, while the attempt goes on."""
        with self._lock:
            blobs = self._parked.get((step, attempt), {})
            for ref in refs:
                blobs.pop(str(ref.hash), None)

    def clear(self) -> None:
        """Lets everything go."""
        with self._lock:
            self._parked.clear()
        self._identities.clear()

    def _keep(self, place: _Place, name: str, value: object, *, is_needed: bool) -> ValueRef:
        identity, kind, shape = self._identities.token_of(value), type_name(value), None
        try:
            encoded = self._encode(value, limit=None if is_needed else CHEAP_BYTES)
            if not self._holds_secret(encoded):
                digest, size, content = self._store(place, name, encoded)
                return ValueRef(
                    name=name,
                    type=kind,
                    hash=digest,
                    content=content,
                    format=encoded.format,
                    size=size,
                    shape=shape_of(value),
                    summary=summary_of(value),
                    identity=identity,
                    needed=is_needed,
                )
            reason = "it contains a secret"
        except TooLargeError:
            shape = shape_of(value)
            reason = f"no later step reads it, and it has over {CHEAP_BYTES // 2**20} MB"
        except Exception as error:  # noqa: BLE001 whatever a value's own code raises: the step must not fail by it
            reason, shape = _reason(error), shape_of(value)
        return ValueRef(name=name, type=kind, shape=shape, live=reason, identity=identity, needed=is_needed)

    def _with_renditions(
        self, place: _Place, refs: list[ValueRef], values: Mapping[str, object]
    ) -> tuple[ValueRef, ...]:
        pictures: dict[int, ValueRef | None] = {}
        for n, ref in enumerate(refs):
            # What the step showed last is in its output already; what has a format of its own needs no picture, nor do
            # elements of a mapped step, which are there only until the step has them all.
            is_whole = ref.name != DISPLAY and not ref.name.endswith("]")
            if is_whole and ref.format not in self._readable:
                subject = subject_of(values[ref.name])
                if id(subject) not in pictures:
                    pictures[id(subject)] = self._keep_rendition(place, ref.name, subject)
                picture = pictures[id(subject)]
                if picture is not None:
                    refs[n] = msgspec.structs.replace(ref, shown=picture.hash)
        return (*refs, *(picture for picture in pictures.values() if picture is not None))

    def _keep_rendition(self, place: _Place, name: str, value: object) -> ValueRef | None:
        bundle = rendition_of(value)
        if bundle is None:
            return None
        ref = self._keep(place, shown_name(name), bundle, is_needed=False)
        return None if ref.hash is None or ref.format != "json" else msgspec.structs.replace(ref, identity=None)

    def _encode(self, value: object, *, limit: int | None) -> Encoded:
        kind: type = type(value)
        refusal = _refusal_of(kind)
        if refusal:
            raise TypeError(refusal)
        for codec in self._codecs:
            encoded = codec.encode(value, limit)
            if encoded is not None:
                if limit is not None and encoded.size > limit:
                    raise TooLargeError
                return encoded
        raise TypeError("no codec takes it")

    def _holds_secret(self, encoded: Encoded) -> bool:
        forbidden = self.forbidden
        if not forbidden:
            return False
        return any(forbidden(piece) for part in (*encoded.parts, encoded.text) for piece in _pieces(part))

    def _store(self, place: _Place, name: str, encoded: Encoded) -> tuple[str, int, str | None]:
        size = encoded.size
        data: bytes | None = None
        if size <= INLINE_BYTES:
            data = b"".join(encoded.parts)
            digest = hash_of(encoded.format, data)
            # What is shown of a value is found by its hash alone.
            if size <= SHORT_BYTES and encoded.format == SHORT_FORMAT and data.isascii() and not is_shown(name):
                return digest, size, data.decode()
        else:
            digest = self._files.write(encoded.format, encoded.parts)
        with self._lock:
            self._parked.setdefault(place, {})[digest] = (digest, encoded.format, size, data)
        return digest, size, None


@lru_cache(maxsize=1024)
def _refusal_of(kind: type) -> str:
    """Why values of this type are not stored, whatever a codec says; "" if nothing is against it."""
    if issubclass(kind, ModuleType):
        return "modules are not values"
    if issubclass(kind, io.IOBase) and not issubclass(kind, io.BytesIO | io.StringIO):
        return "an open file cannot be stored"
    if kind.__module__ in _ITERATOR_MODULES and issubclass(kind, Iterator):
        return "an iterator is used up by reading it"
    return ""


def _pieces(part: Buffer) -> Iterator[bytes]:
    view = memoryview(part).cast("B")
    for start in range(0, max(1, len(view)), _SEARCHED_AT_ONCE):
        # Pieces overlap, so that a secret is whole in one of them.
        yield bytes(view[start : start + _SEARCHED_AT_ONCE + _LONGEST_SECRET])


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it is too large for the memory that is left"
    if isinstance(error, StoreFull):
        return f"{NOT_STORED}{error.detail}"
    if isinstance(error, StoreError):
        return str(error)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.encode("utf-8", "backslashreplace").decode()[:300]
