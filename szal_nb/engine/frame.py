"""Frames over a byte stream between two processes: eight bytes of length, then the content."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Mapping
from types import CodeType
from typing import IO, Any

from szal_nb.errors import RunError
from szal_nb.model.remaking import Reduce, remade
from szal_nb.model.whole_class import told_code, told_whole

_LENGTH = struct.Struct(">Q")


class CannotTravel(RunError):
    """A value does not reach the other process, or does not come back from it."""

    def __init__(self, step: str, verb: str, name: str, reason: str) -> None:
        super().__init__(step, verb, name, reason)
        self.step = step
        self.verb = verb
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        what = f"what it {self.verb} as {self.name!r}" if self.name else "what its code refers to"
        return (
            f"Step {self.step!r} runs in another process, and {what} cannot be sent: {self.reason}. "
            "Take `--executor process` away, or let the step make what it needs of this itself."
        )


def packed(content: object, step: str, verb: str, named: Mapping[str, Any]) -> bytes:
    """The content of a frame; CannotTravel, with the name of the one to blame, if something in it cannot be pickled."""
    try:
        return _pickled(content)
    except Exception as error:
        for name, value in named.items():
            try:
                _pickled(value)
            except Exception as found:
                raise CannotTravel(step, verb, name, str(found)) from found
        raise CannotTravel(step, verb, "", str(error)) from error


def _pickled(content: object) -> bytes:
    file = io.BytesIO()
    _pickler()(file).dump(content)
    return file.getvalue()


@functools.lru_cache(maxsize=4096)
def _reduce_of(kind: type) -> Reduce | None:
    return remade(kind)


@functools.cache
def _pickler() -> Any:
    import cloudpickle  # late: heavy

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, part: Any) -> Any:
            if isinstance(part, type):
                return told_whole(part, super().reducer_override(part))
            if isinstance(part, CodeType):
                return told_code(part, self.dispatch_table[CodeType](part))
            kind: Any = type(part)
            reduce = _reduce_of(kind)
            return super().reducer_override(part) if reduce is None else reduce(part)

    return Pickler


def write_frame(stream: IO[bytes], content: bytes) -> None:
    """Writes one frame and flushes; OSError if nobody reads."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes:
    """The next frame; EOFError at the end of the stream, also in the middle of a frame."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content
