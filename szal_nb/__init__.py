"""szal_nb: workflows that live in notebooks.

`%load_ext szal_nb` in a notebook, `import szal_nb as szal` in Python. Names are loaded when they are first used, so
that the import costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from szal_nb.analysis.condition import compile_condition
    from szal_nb.api.flow import Flow, diff, fork, replay, resume, run, verify, why
    from szal_nb.api.migration import migration
    from szal_nb.api.observe import LogObserver, PrometheusObserver, observe
    from szal_nb.api.trace import OpenTelemetryObserver
    from szal_nb.engine.context import current_context as context
    from szal_nb.engine.context import progress, stop
    from szal_nb.engine.kinds import register_comparer
    from szal_nb.errors import RetryAfter, RunFailed, SzalError
    from szal_nb.model.secret import Secret, secret
    from szal_nb.notebook.extension import load_ipython_extension, step, unload_ipython_extension
    from szal_nb.store.runs import open_store

__version__ = "0.1.0"

_HOMES = {
    "observe": "szal_nb.api.observe",
    "PrometheusObserver": "szal_nb.api.observe",
    "OpenTelemetryObserver": "szal_nb.api.trace",
    "LogObserver": "szal_nb.api.observe",
    "Flow": "szal_nb.api.flow",
    "RetryAfter": "szal_nb.errors",
    "RunFailed": "szal_nb.errors",
    "Secret": "szal_nb.model.secret",
    "SzalError": "szal_nb.errors",
    "compile_condition": "szal_nb.analysis.condition",
    "_jupyter_labextension_paths": "szal_nb.app.server:labextension_paths",
    "_jupyter_server_extension_points": "szal_nb.app.server:extension_points",
    "context": "szal_nb.engine.context:current_context",
    "diff": "szal_nb.api.flow",
    "fork": "szal_nb.api.flow",
    "load_ipython_extension": "szal_nb.notebook.extension",
    "migration": "szal_nb.api.migration",
    "open_store": "szal_nb.store.runs",
    "progress": "szal_nb.engine.context",
    "register_comparer": "szal_nb.engine.kinds",
    "replay": "szal_nb.api.flow",
    "resume": "szal_nb.api.flow",
    "run": "szal_nb.api.flow",
    "secret": "szal_nb.model.secret",
    "step": "szal_nb.notebook.extension",
    "stop": "szal_nb.engine.context",
    "unload_ipython_extension": "szal_nb.notebook.extension",
    "verify": "szal_nb.api.flow",
    "why": "szal_nb.api.flow",
}

__all__ = [
    "Flow",
    "LogObserver",
    "OpenTelemetryObserver",
    "PrometheusObserver",
    "RetryAfter",
    "RunFailed",
    "Secret",
    "SzalError",
    "compile_condition",
    "context",
    "diff",
    "fork",
    "load_ipython_extension",
    "migration",
    "observe",
    "open_store",
    "progress",
    "register_comparer",
    "replay",
    "resume",
    "run",
    "secret",
    "step",
    "stop",
    "unload_ipython_extension",
    "verify",
    "why",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'szal_nb' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
