"""`%load_ext szal_nb`: one session for the kernel, its magics, and the places where the shell asks it."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable
from typing import Any, TypeVar, overload

from IPython.core.getipython import get_ipython
from IPython.display import display

from szal_nb.errors import RunError, SzalError
from szal_nb.model.secret import SECRETS
from szal_nb.notebook.cells import spell_as_magic, waiting_transformer
from szal_nb.notebook.completion import matcher
from szal_nb.notebook.magics import SzalMagics
from szal_nb.notebook.presenter import catch_displays, find_sources, mask_messages, refuse_questions
from szal_nb.notebook.refusal import shorten
from szal_nb.notebook.remote import Remote
from szal_nb.notebook.runs import LAST_WORDS_S, Runs
from szal_nb.notebook.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def load_ipython_extension(shell: Any) -> None:
    """Gives the kernel of `shell` a session."""
    if getattr(shell, "kernel", None) is None:
        raise RunError(
            "szal_nb's magics need a Jupyter kernel; in a script or a terminal use `import szal_nb as szal`."
        )
    if session_of(shell) is not None:
        # `%reload_ext`: the steps and runs of this kernel live on.
        return
    session = Session(shell)
    runs = Runs(session)
    shell.register_magics(SzalMagics(shell, session, runs))
    catch_displays(shell)
    if shell.has_trait("enable_tip"):
        # A front end that connects asks for the banner, and its tip is drawn from the numbers that steps draw from.
        shell.enable_tip = False
    SECRETS.add_environment(os.environ)
    mask_messages(shell.kernel)
    refuse_questions(shell.kernel)
    find_sources()
    session.read_past()
    shell.events.register("pre_run_cell", runs.before_cell)
    shell.events.register("pre_run_cell", session.before_cell)
    shell.events.register("post_run_cell", session.after_cell)
    shell.events.register("post_run_cell", runs.after_cell)
    shell.input_transformers_cleanup.append(spell_as_magic)
    shell.input_transformers_post.append(waiting_transformer(session.waits))
    shell.Completer.custom_matchers.append(matcher(session.definitions.step_names))
    _record_shutdown(shell.kernel, runs)
    Remote(runs, shell.kernel.io_loop.asyncio_loop).listen(shell.kernel.comm_manager)
    offer = runs.offer()
    if offer is not None:
        display(offer)


def _record_shutdown(kernel: Any, runs: Runs) -> None:
    shut_down = kernel.do_shutdown

    async def record_and_shut_down(restart: bool) -> Any:  # noqa: FBT001 - ipykernel's form
        # The request comes on the control thread; the runs live on the main loop, which a cell may hold for good.
        await asyncio.wait([runs.interrupt_from()], timeout=2 * LAST_WORDS_S)
        answer = shut_down(restart)
        return await answer if inspect.isawaitable(answer) else answer

    kernel.do_shutdown = record_and_shut_down


def unload_ipython_extension(shell: Any) -> None:
    """Nothing: a session lives as long as its kernel, with the runs and steps that it knows."""


def session_of(shell: Any) -> Session | None:
    """The session of a kernel; None if the extension is not loaded."""
    magic = shell.find_line_magic("szal_run") if shell is not None else None
    owner = getattr(magic, "__self__", None)
    return owner.session if isinstance(owner, SzalMagics) else None


@overload
def step(function: F, /) -> F: ...
@overload
def step(function: None = None, /, *, name: str | None = None, **options: Any) -> Callable[[F], F]: ...
def step(function: F | None = None, /, *, name: str | None = None, **options: Any) -> F | Callable[[F], F]:
    """Makes a function of a notebook a step: its argument names are its inputs; it stays callable.

    What it returns is the value named after the step, or the values named in `out=`. Options are those of
    `%%szal_step`: `@szal.step(retries=3, timeout="60s")`.
    """
    session = session_of(get_ipython())
    if session is None:
        raise RunError("@szal.step is for notebooks, after %load_ext szal_nb; in a script use flow.step of szal.Flow.")

    def define(decorated: F) -> F:
        try:
            display(session.define_function(decorated, name, options))
        except SzalError as error:
            shorten(error)
            raise
        return decorated

    return define if function is None else define(function)
