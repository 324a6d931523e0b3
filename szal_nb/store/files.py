"""Large values as files named by their hash: complete or not there at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import xxhash

from szal_nb.errors import StoreError
from szal_nb.store.codecs import Buffer
from szal_nb.store.failure import explain
from szal_nb.store.locate import FOLDER

_CHUNK = 1 << 20
_counter = itertools.count()


class ValueFileDamaged(StoreError):
    """The file of a value does not hold what its name says."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self.name = name
        self.path = path

    def __str__(self) -> str:
        return (
            f"The value {self.name!r} is damaged: the content of {self.path} does not match its hash. "
            "Resume or fork the run from the step that gave it; give an input of the run anew, as in "
            f"`szal resume RUN -p {self.name} …`."
        )


class ValueFileLost(StoreError):
    """The file of a value cannot be read."""

    def __init__(self, name: str, path: str, reason: str) -> None:
        super().__init__(name, path, reason)
        self.name = name
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The value {self.name!r} is lost: {self.path} cannot be read ({self.reason}). Resume the run, which "
            "runs the step that gave it again; give an input of the run anew, as in "
            f"`szal resume RUN -p {self.name} …`."
        )


def hasher(form: str) -> xxhash.xxh3_128:
    """The hash of content in this format, before the content."""
    return xxhash.xxh3_128(form.encode() + b"\0")


def hash_of(form: str, content: bytes) -> str:
    """The hash that names this content."""
    return xxhash.xxh3_128_hexdigest(b"%b\0%b" % (form.encode(), content))


class ValueFiles:
    """The folder of large values of one store."""

    def __init__(self, folder: Path, *, is_synced: bool) -> None:
        self.folder = folder
        self._is_synced = is_synced

    def path_of(self, digest: str) -> Path:
        """Where the value of this hash is, if it is there."""
        return self.folder / digest[:2] / digest

    def write(self, form: str, parts: Iterable[Buffer]) -> str:
        """Stores the parts as one file and gives its hash. When this returns, the file is as durable as the store."""
        try:
            is_first = make_private_folder(self.folder)
            temporary = self.folder / f".{os.getpid()}-{next(_counter)}.tmp"
            try:
                digest = self._write_temporary(temporary, form, parts)
                path = self.path_of(digest)
                is_new = make_private_folder(path.parent)
                _put(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            if self._is_synced:
                _sync_folder(path.parent)
                if is_new:
                    _sync_folder(self.folder)
                if is_first:
                    _sync_folder(self.folder.parent)
        except OSError as error:
            raise explain(error, self.folder) from error
        return digest

    def check(self, digest: str, form: str, name: str) -> Path:
        """The file of a value, once its content is found to match its hash; `StoreError` naming value and file."""
        path = self.path_of(digest)
        found = hasher(form)
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        except OSError as error:
            raise ValueFileLost(name, str(path), error.strerror or str(error)) from error
        if found.hexdigest() != digest:
            raise ValueFileDamaged(name, str(path))
        return path

    def _write_temporary(self, path: Path, form: str, parts: Iterable[Buffer]) -> str:
        digest = hasher(form)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for chunk in _chunks(parts):
                digest.update(chunk)
                rest = chunk
                while rest:
                    rest = rest[os.write(fd, rest) :]
            if self._is_synced:
                os.fsync(fd)
        finally:
            os.close(fd)
        return digest.hexdigest()


def statuses(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """The files with their status; those are left out that another process has moved or deleted meanwhile."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            yield path, path.stat()


def _put(temporary: Path, path: Path) -> None:
    """Gives the file its name, also in place of one of the same name: that may have been damaged since."""
    try:
        temporary.replace(path)
    except PermissionError:
        # Windows replaces no file that somebody reads; who reads it has found it whole.
        if not path.exists():
            raise
        # It is young again, and `collect` spares what is young.
        os.utime(path)


def _chunks(parts: Iterable[Buffer]) -> Iterator[memoryview]:
    """The parts piece by piece, each valid until the next is asked for."""
    # Copied, so that a body that goes on changing an array cannot make hash and content disagree; always into the
    # same memory, because fresh memory for each piece costs as much as the hash.
    copy = memoryview(bytearray(_CHUNK))
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), _CHUNK):
            piece = view[start : start + _CHUNK]
            copy[: len(piece)] = piece
            yield copy[: len(piece)]


def make_private_folder(folder: Path) -> bool:
    """Makes the folder, for this user only, if it is not there; says whether it was made."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return False
    except FileNotFoundError:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return make_private_folder(folder)
    return True


def make_home(path: Path) -> None:
    """Makes the folder of the store at `path`, which keeps itself out of version control, and survives a power cut."""
    folder = path.parent
    try:
        if not folder.is_dir():
            made = [folder, *(upper for upper in folder.parents if not upper.is_dir())]
            folder.parent.mkdir(parents=True, exist_ok=True)
            make_private_folder(folder)
            for each in made:
                _sync_folder(each.parent)
        if folder.name == FOLDER:
            ignore = folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="ascii")
    except OSError as error:
        raise explain(error, path) from error


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
