"""How the loggers of the process are set: levels, and handlers that write to the standard streams or to files.

Said as what differs from how they were: handlers of the kernel and of libraries are nobody's business. Of a handler
that cannot be made again from what is said only the class is; without one that keeps messages for the notebook nobody
can go on.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from typing import Any

from szal_nb.errors import RunError

_PLAIN = ("level", "propagate", "disabled")
_STREAMS = ("stdout", "stderr")
Look = dict[str, dict[str, Any]]
# How a logger is that nobody has set.
AS_NEW: dict[str, Any] = {"level": logging.NOTSET, "propagate": True, "disabled": False, "handlers": []}


def look_at_loggers() -> Look:
    """All loggers, by name (the root by ""), as they are set now."""
    names = [name for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)]
    return {name: _look(logging.getLogger(name)) for name in ("", *sorted(names))}


def differing(before: Look, now: Look) -> Look:
    """The loggers that are set otherwise than they were; one that was not there was as a new one is."""
    return {name: found for name, found in now.items() if found != before.get(name, AS_NEW)}


def set_loggers(changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets the loggers so."""
    for name, wanted in changes.items():
        logger = logging.getLogger(name)
        logger.setLevel(wanted["level"])
        logger.propagate, logger.disabled = wanted["propagate"], wanted["disabled"]
        known = [(_look_at_handler(handler), handler) for handler in logger.handlers]
        if [said for said, _ in known] == wanted["handlers"]:
            continue
        for said, there in known:
            if said not in wanted["handlers"]:
                logger.removeHandler(there)
        for said in wanted["handlers"]:
            if all(said != other for other, _ in known) and (handler := _handler(name, said)) is not None:
                logger.addHandler(handler)


def _look(logger: logging.Logger) -> dict[str, Any]:
    handlers = [one for one in logger.handlers if type(one) is not logging.NullHandler]
    return {
        **{name: getattr(logger, name) for name in _PLAIN},
        "handlers": [_look_at_handler(handler) for handler in handlers],
    }


def _look_at_handler(handler: logging.Handler) -> Any:
    formatter = handler.formatter
    is_plain = not handler.filters and type(formatter) in (logging.Formatter, type(None))
    where = _where(handler) if is_plain else None
    if where is None:
        return {"class": type(handler).__qualname__, "keeps": _keeps_messages(handler)}
    how = formatter and [formatter._fmt, formatter.datefmt, _style_of(formatter)]  # noqa: SLF001
    return {**where, "level": handler.level, "format": how}


def _style_of(formatter: logging.Formatter) -> str:
    kinds = {logging.StrFormatStyle: "{", logging.StringTemplateStyle: "$"}
    return kinds.get(type(formatter._style), "%")  # noqa: SLF001


def _where(handler: logging.Handler) -> dict[str, Any] | None:
    if type(handler) is logging.FileHandler:
        return {"file": handler.baseFilename, "mode": handler.mode, "encoding": handler.encoding}
    if type(handler) is logging.StreamHandler:
        return next(({"stream": name} for name in _STREAMS if handler.stream is getattr(sys, name)), None)
    return None


def _keeps_messages(handler: logging.Handler) -> bool:
    """Whether what is logged comes back to the notebook: by a class of its own, or a text in memory."""
    is_in_memory = isinstance(getattr(handler, "stream", None), io.StringIO | io.BytesIO)
    return is_in_memory or type(handler).__module__ == "__main__"


def _handler(logger: str, said: Mapping[str, Any]) -> logging.Handler | None:
    handler: logging.Handler
    if "class" in said:
        if not said["keeps"]:
            return None
        raise RunError(
            f"A completed step has given the logger {logger or 'root'!r} a handler ({said['class']}) that keeps "
            f"messages in memory, gone with its process. Add one before the run goes on, or begin anew with --reuse."
        )
    if "file" in said:
        # What is in the file stays there: who opened it anew has done so.
        handler = logging.FileHandler(said["file"], "a", said["encoding"])
        handler.mode = said["mode"]
    else:
        handler = logging.StreamHandler(getattr(sys, said["stream"]))
    handler.setLevel(said["level"])
    if said["format"]:
        text, dates, style = said["format"]
        handler.setFormatter(logging.Formatter(text, dates, style))
    return handler
