"""Stored values as objects again: by trusted formats only, and names of one object as one object."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import cast

from szal_nb.errors import StoreError, ValueUnavailable, ValueUnreadable
from szal_nb.model.value import ValueRef, shown_name
from szal_nb.store.codecs import Codec
from szal_nb.store.contents import Contents
from szal_nb.store.identity import Identities
from szal_nb.store.pickling import OF_STEP, OtherClassError, ResolveClass, Resolver, UnknownClassError
from szal_nb.store.rendition import Bundle, Shown


class Loader:
    """Gives stored values back. Values of one identity are one object, as long as the loader lives.

    `is_trusted`: formats that run code may be loaded. `resolve_class` finds a class of the notebook by its name.
    `is_for_looking`: of a value that cannot be had, what was shown of it is given; no step may ever read that.
    """

    def __init__(
        self,
        codecs: Sequence[Codec],
        contents: Contents,
        class_value: Callable[[str, str | None], ValueRef | None],
        *,
        is_trusted: bool,
        resolve_class: ResolveClass,
        identities: Identities | None = None,
        is_for_looking: bool = False,
    ) -> None:
        self._is_for_looking = is_for_looking
        self._codecs = {codec.format: codec for codec in codecs}
        self._contents = contents
        self._class_value = class_value
        self._is_trusted = is_trusted
        # May be set when the notebook's classes are known.
        self.resolve_class = resolve_class
        # A step goes on with the value; who only looks at it sees it on the class that there is.
        self._resolver = Resolver(self._class_of, is_strict=not is_for_looking)
        self._identities = identities
        self._lock = threading.RLock()
        self._loaded: dict[tuple[str, str], object] = {}

    def load(self, ref: ValueRef) -> object:
        """The value; `ValueUnavailable` if it was live or is not trusted, `StoreError` if it is damaged."""
        if ref.hash is None or ref.identity is None:
            return self.load_fresh(ref)
        with self._lock:
            key = (ref.identity, ref.hash)
            if key not in self._loaded:
                self._loaded[key] = self.load_fresh(ref)
                if self._identities is not None:
                    self._identities.bind(self._loaded[key], ref.identity)
            return self._loaded[key]

    def load_fresh(self, ref: ValueRef) -> object:
        """The value as it was stored, in a new object."""
        try:
            return self._load_fresh(ref)
        except ValueUnavailable:
            if ref.shown is None or not self._is_for_looking:
                raise
            return Shown(ref.name, self.rendition(ref))

    def rendition(self, ref: ValueRef) -> Bundle:
        """What was shown of a value whose reference has `shown`, as a mimebundle."""
        picture = ValueRef(name=shown_name(ref.name), hash=ref.shown, format="json")
        return cast("Bundle", self._load_fresh(picture))

    def _load_fresh(self, ref: ValueRef) -> object:
        if ref.hash is None:
            return self._living(ref)
        form, content = self._contents.of(ref)
        codec = self._codecs.get(form)
        if codec is None:
            raise ValueUnavailable(ref.name, f"no installed codec reads the format {form!r}")
        if not codec.is_safe and not self._is_trusted:
            reason = f"loading the format {form!r} runs code, and this record is not ours"
            raise ValueUnavailable(ref.name, f"{reason}. Use --trust if you trust who made it.")
        return self._decode(codec, content, ref)

    def clear(self) -> None:
        """Lets all loaded objects go."""
        with self._lock:
            self._loaded.clear()

    def _class_of(self, name: str) -> type | None:
        found: object = self.resolve_class(name)
        if found is None:
            # A class that a step of the run gave is a value like any other.
            path, _, step = name.partition(OF_STEP)
            first, *rest = path.split(".")
            ref = self._class_value(first, step or None)
            found = None if ref is None else self.load(ref)
            for part in rest:
                found = getattr(found, part, None)
        return found if isinstance(found, type) else None

    def _living(self, ref: ValueRef) -> object:
        if self._identities is not None and ref.identity is not None:
            found = self._identities.object_of(ref.identity)
            if found is not None:
                return found
        raise ValueUnavailable(ref.name, f"it was not stored, because {ref.live or 'no reason was given'}")

    def _decode(self, codec: Codec, data: bytes | Path, ref: ValueRef) -> object:
        try:
            return codec.decode(data, self._resolver)
        except (UnknownClassError, OtherClassError) as error:
            raise ValueUnavailable(ref.name, str(error)) from error
        except (StoreError, MemoryError):
            raise
        except Exception as error:
            reason = f"reading it failed with {type(error).__name__}: {str(error).rstrip('.')}"
            raise ValueUnreadable(ref.name, reason) from error


def main_module() -> ModuleType | None:
    """The module in which a notebook or a script runs."""
    return sys.modules.get("__main__")
