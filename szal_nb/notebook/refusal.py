"""How errors of szal_nb look in a notebook: what they say, without the frames that led to it."""

from __future__ import annotations

from szal_nb.errors import InvalidStep, SzalError


def shorten(error: SzalError) -> None:
    """IPython shows what `error` says, and nothing else."""
    text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    # IPython asks an exception for its own rendering by this name.
    error._render_traceback_ = lambda: text.split("\n")  # type: ignore[attr-defined]


def not_python(step: str, error: SyntaxError) -> InvalidStep:
    """The refusal of a step whose code is not Python, with the line of its cell."""
    line = (error.text or "").rstrip("\n")
    column = max(0, (error.offset or 1) - 1)
    shown = f"\n    {line}\n    {' ' * column}^" if line else ""
    return InvalidStep(step, f"line {error.lineno} of its cell is not valid Python: {error.msg}.{shown}")
