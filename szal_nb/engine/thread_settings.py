"""Settings that libraries keep for each thread: a body has those of the loop's thread, and leaves its own there.

In a notebook there is one thread: what a cell sets counts for all cells below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from szal_nb.model.loaded import loaded

ThreadSettings = dict[str, Any]


def read_thread_settings() -> ThreadSettings:
    """What the libraries that are there have for this thread."""
    return {name: read(module) for name, (read, _) in _LIBRARIES.items() if (module := loaded(name)) is not None}


def set_thread_settings(settings: ThreadSettings) -> None:
    """Makes them those of this thread."""
    for name, value in settings.items():
        read, write = _LIBRARIES[name]
        module = loaded(name)
        if module is not None and read(module) != value:
            write(module, value)


def changed_settings(before: ThreadSettings) -> ThreadSettings:
    """Those of this thread that are not what they were."""
    return {name: now for name, now in read_thread_settings().items() if name not in before or before[name] != now}


def _torch(module: Any) -> tuple[bool, Any]:
    # Asking for the default device the public way answers also where none is set, and to set one makes all calls slow.
    kept = getattr(getattr(module, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return module.is_grad_enabled(), getattr(kept, "device", None)


def _set_torch(module: Any, settings: tuple[bool, Any]) -> None:
    has_gradients, device = settings
    module.set_grad_enabled(has_gradients)
    if _torch(module)[1] != device:
        module.set_default_device(device)


_LIBRARIES: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    "sklearn": (lambda module: module.get_config(), lambda module, config: module.set_config(**config)),
    "torch": (_torch, _set_torch),
}
