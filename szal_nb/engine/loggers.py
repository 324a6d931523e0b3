"""How the loggers of the process are set: levels, and handlers that write to the standard streams or to files.

Said as what differs from how they were: handlers of the kernel and of libraries are nobody's business. A handler
that cannot be made again from what it says stands there itself, which no record can hold.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

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
        for said, handler in known:
            if said not in wanted["handlers"]:
                logger.removeHandler(handler)
        for said in wanted["handlers"]:
            if all(said != other for other, _ in known):
                logger.addHandler(_handler(said))


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
        return handler
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


def _handler(said: Any) -> logging.Handler:
    if isinstance(said, logging.Handler):
        return said
    handler: logging.Handler
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
