"""Runs notebooks headless. `szal run` calls `run_notebook`; papermill finds its engine `szal` here.

Both execute the same way, so that the record and the saved notebook are the same.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from szal_nb.errors import RunError, StoreError
from szal_nb.notebook.document import InvalidNotebook, Notebook
from szal_nb.notebook.headless import Headless
from szal_nb.notebook.parameters import Given
from szal_nb.store.files import make_home
from szal_nb.store.owner import Owner


class Ended(Enum):
    """How the execution of a notebook ended, whatever its runs did."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    KERNEL_DIED = "the kernel died"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of a notebook. `error_name` and `error` are those of the cell that failed, if one did."""

    ended: Ended
    output: Path
    error_name: str = ""
    error: str = ""


def __getattr__(name: str) -> Any:
    """`SzalEngine`, imported when it is asked for.

    papermill asks for it while papermill itself is being imported, so nothing above may import papermill.
    """
    if name != "SzalEngine":
        raise AttributeError(name)
    import papermill  # noqa: F401 - late: heavy; it must be there before our engine

    from szal_nb.notebook.papermill_engine import SzalEngine  # late: heavy

    return SzalEngine


def run_notebook(
    notebook: Notebook,
    *,
    output: Path,
    given: Given,
    headless: Headless,
    cwd: Path | None = None,
    kernel_name: str | None = None,
    on_said: Callable[[str], None] | None = None,
) -> BatchResult:
    """Executes `notebook` with these parameters and saves it as `output`, after each cell and at the end.

    `on_said` is told at once what the kernel shows for whoever launched it, such as what a run takes from others.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # late: heavy
    from nbclient.exceptions import CellTimeoutError, DeadKernelError  # late: heavy
    from papermill.exceptions import PapermillExecutionError  # late: heavy
    from papermill.execute import (  # late: heavy
        prepare_notebook_metadata,
        remove_error_markers,
    )
    from papermill.utils import nb_kernel_name  # late: heavy

    from szal_nb.notebook.client import Stop, Stopped  # late: heavy
    from szal_nb.notebook.papermill_engine import SzalEngine, inject  # late: heavy

    # What nbclient logs of a kernel that died is in the result; printed besides, it would stand anywhere in the lines.
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    nb = _node_of(notebook)
    if given.values or given.secrets:
        inject(nb, notebook, given)
    nb = remove_error_markers(prepare_notebook_metadata(nb, notebook.label, str(output)))
    if headless.store is not None and output.is_relative_to(headless.store.parent):
        # What steps show is as private as the store.
        with contextlib.suppress(StoreError):
            make_home(headless.store)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"The notebook cannot be saved as {output}: {error.strerror or error}. "
            "Name another place with -o OUT, and with --store PATH for the record, if that is there too."
        ) from None
    headless = replace(headless, launcher=Owner.here())
    kernel = nb_kernel_name(nb, kernel_name) if kernel_name or "kernelspec" in nb.metadata else "python3"
    try:
        nb = SzalEngine.execute_given(
            nb, kernel, str(output), source=notebook, given=given, headless=headless, progress_bar=False, cwd=cwd,
            on_said=on_said,
        )  # fmt: skip
        _raise_for_errors(nb, output)
    except Stopped as stopped:
        ended = Ended.INTERRUPTED if stopped.stop is Stop.INTERRUPTED else Ended.TERMINATED
        return BatchResult(ended=ended, output=output)
    except NoSuchKernel as error:
        problem = f"It asks for the kernel {error.name!r}, which is not installed here."
        here = ", ".join(sorted(KernelSpecManager().find_kernel_specs()))
        raise InvalidNotebook(
            notebook.label, problem, f"Name another one, such as -k python3; there are: {here}."
        ) from None
    except DeadKernelError as error:
        return BatchResult(ended=Ended.KERNEL_DIED, output=output, error_name="DeadKernelError", error=str(error))
    except CellTimeoutError as error:
        return BatchResult(ended=Ended.TIMED_OUT, output=output, error_name="CellTimeoutError", error=str(error))
    except PapermillExecutionError as error:
        text = f"{error.evalue}{_advice_on(error.evalue)}"
        return BatchResult(ended=Ended.FAILED, output=output, error_name=error.ename, error=text)
    return BatchResult(ended=Ended.COMPLETED, output=output)


def _raise_for_errors(nb: Any, output: Path) -> None:
    """Raises PapermillExecutionError if a cell failed; the saved notebook then says where, if there is room for it."""
    from papermill.execute import raise_for_execution_errors, remove_error_markers  # late: heavy

    try:
        raise_for_execution_errors(nb, str(output))
    except OSError:
        raise_for_execution_errors(remove_error_markers(nb), None)


def _advice_on(error: str) -> str:
    is_unknown = "szal_" in error and "not found" in error
    return " Put %load_ext szal_nb into a cell above." if is_unknown else ""


def _node_of(notebook: Notebook) -> Any:
    """The notebook as papermill has it when it has read it from a file."""
    import nbformat  # late: heavy
    from papermill import __version__  # late: heavy

    try:
        nb = nbformat.reads(notebook.text, as_version=4)
        nb = nbformat.v4.upgrade(nb) or nb
    except Exception as error:
        # Of what a damaged file may hold, nbformat knows some; the rest ends its own code.
        problem = str(error).partition("\n")[0].removesuffix(".")
        raise InvalidNotebook(notebook.label, f"This notebook is damaged: {problem}.") from error
    kernelspec = nb.metadata.get("kernelspec")
    if not isinstance(kernelspec, dict) or not isinstance(kernelspec.get("name"), str):
        nb.metadata.pop("kernelspec", None)
    if "papermill" not in nb.metadata:
        nb.metadata["papermill"] = {"default_parameters": {}, "environment_variables": {}, "version": __version__}
    nb.metadata.papermill["parameters"] = {}
    for cell in nb.cells:
        cell.metadata.setdefault("tags", [])
        cell.metadata.setdefault("papermill", {})
    return nb
