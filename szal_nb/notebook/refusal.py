"""How errors of szal_nb look in a notebook: what they say, without the frames that led to it."""

from __future__ import annotations

from szal_nb.errors import SzalError


def shorten(error: SzalError) -> None:
    """IPython shows what `error` says, and nothing else."""
    text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    # IPython asks an exception for its own rendering by this name.
    error._render_traceback_ = lambda: text.split("\n")  # type: ignore[attr-defined]
