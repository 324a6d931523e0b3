"""papermill's engine `szal`: executes a notebook as papermill does, with a record of its runs that is true.

papermill loads this while it is itself being imported: only its modules below `papermill.execute` may be used here,
and `papermill` must have been imported before (`batch` sees to that).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager
from papermill.log import logger
from papermill.utils import merge_kwargs, remove_args

from szal_nb.errors import RunError
from szal_nb.model.flow import RollbackOn
from szal_nb.model.secret import PREFIX, SECRETS
from szal_nb.notebook.client import Stop, Stopped, SzalClient
from szal_nb.notebook.document import Notebook, parse_notebook
from szal_nb.notebook.headless import Headless, inherited, read_headless
from szal_nb.notebook.interruption import record_interruption
from szal_nb.notebook.parameters import INJECTED_TAG, PARAMETERS_TAG, Given, injected_source, retype
from szal_nb.notebook.reader import needs_run_cell, read_flows
from szal_nb.store.locate import find_store
from szal_nb.store.owner import Owner

# The cell that runs the flow of a notebook which does not do so itself; the saved notebook shows it.
RUN_TAG = "szal-run"
_TERMINATED_EXIT = 143
# After a save of the notebook so many times as long without one: saving takes a tenth of the time at most.
_SAVING = 10.0


class RecordedNotebook(NotebookExecutionManager):
    """papermill's record of the cells, which says nothing that did not happen, and is never half written."""

    output_path: str | None
    _is_saved = False
    _is_complete = False
    _next_save = 0.0
    _later: asyncio.TimerHandle | None = None

    def save(self, **kwargs: Any) -> None:
        """Writes the notebook to its output path, now or soon: what that takes grows with the notebook.

        papermill saves before and after each cell, which for thousands of cells is most of their time.
        """
        path = self.output_path
        if "nb" in kwargs:
            self.nb = kwargs["nb"]
        if not path or path == "-" or "://" in str(path):
            super().save(**kwargs)
            return
        # A link stays a link.
        target, wait_s = Path(path).resolve(), self._next_save - time.monotonic()
        if _is_device(target):
            # What was written to a pipe or /dev/null cannot be replaced: it gets the whole, at the end.
            if self._is_complete:
                target.write_text(nbformat.writes(self.nb) + "\n", encoding="utf-8")
        elif wait_s <= 0:
            self._save_now(target)
        elif self._later is None:
            # A cell that takes long must not hide what those before it have shown.
            self._later = asyncio.get_running_loop().call_later(wait_s, self._save_now, target)

    def _save_now(self, target: Path) -> None:
        """Writes the notebook, whole at any moment for whoever reads it."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        begun = time.monotonic()
        self._write(target)
        now = time.monotonic()
        self._next_save = now + (now - begun) * _SAVING

    def _write(self, target: Path) -> None:
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.write_text(nbformat.writes(self.nb) + "\n", encoding="utf-8")
            part.replace(target)
            self._is_saved = True
        except OSError as error:
            if not self._is_saved:
                raise RunError(f"The notebook cannot be saved as {target}: {error.strerror or error}.") from None
            # The run itself is kept by the store; it need not end because a disk is full.
            logger.warning("The notebook could not be saved as %s: %s", target, error)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        self.last_save_time = self.now()

    def notebook_complete(self, **kwargs: Any) -> None:
        """Ends the record; cells that were never begun stay `pending`, where papermill calls them completed."""
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING]
        output_path, self.output_path = self.output_path, None
        super().notebook_complete(**kwargs)
        self.output_path = output_path
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING
        self._next_save, self._is_complete = 0.0, True
        self.save()


def _is_device(path: Path) -> bool:
    """Whether there is something else than a file."""
    return path.exists() and not path.is_file()


class SzalEngine(NBClientEngine):
    """papermill's engine `szal`: `papermill --engine szal IN OUT -p x 1`."""

    @classmethod
    def execute_notebook(cls, nb: NotebookNode, kernel_name: str, output_path: str | None = None, **kwargs: Any) -> Any:
        """The notebook, executed and saved; InvalidParameter before anything starts if a parameter does not fit."""
        source = _source_of(nb)
        values = nb.metadata.papermill.get("parameters") or {}
        given = retype(source, values, environment=os.environ)
        if given.secrets or dict(given.values) != dict(values):
            inject(nb, source, given)
        headless = replace(read_headless(), launcher=Owner.here())
        try:
            return cls.execute_given(
                nb, kernel_name, output_path, source=source, given=given, headless=headless, **kwargs
            )
        except Stopped as stopped:
            # papermill's callers know these two.
            raise (KeyboardInterrupt if stopped.stop is Stop.INTERRUPTED else SystemExit(_TERMINATED_EXIT)) from stopped

    @classmethod
    def execute_given(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None,
        *,
        source: Notebook,
        given: Given,
        headless: Headless,
        progress_bar: bool | Mapping[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> Any:
        """The notebook, executed with these parameters; raises `Stopped` if a signal ended it."""
        register_secrets(source, given)
        is_undone_on_cancel = any(flow.definition.undoes(RollbackOn.CANCEL) for flow in read_flows(source))
        if needs_run_cell(source):
            nb.cells.append(_run_cell())
        manager = RecordedNotebook(
            nb,
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        manager.notebook_start()
        with _snapshot(source) as snapshot:
            headless = replace(
                headless,
                store=(headless.store or find_store(source.path)).absolute(),
                notebook=headless.notebook or source.path,
                snapshot=snapshot,
                output=Path(output_path).absolute() if output_path else None,
                params=_plain(given),
            )
            environment = {**inherited(), **headless.environment(), **given.environment}
            try:
                cls.execute_managed_notebook(
                    manager,
                    kernel_name,
                    log_output=log_output,
                    environment=environment,
                    is_undone_on_cancel=is_undone_on_cancel,
                    **kwargs,
                )
            except Stopped as stopped:
                record_interruption(headless, f"its process was {stopped.stop.value} by a signal")
                raise
            finally:
                manager.cleanup_pbar()
                manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **kwargs: Any) -> Any:
        """Executes the cells in a kernel that has `environment`, in the directory `cwd`."""
        start = {"env": kwargs.pop("environment", None)}
        if (cwd := kwargs.pop("cwd", None)) is not None:
            start["cwd"] = str(cwd)
        is_undone_on_cancel, on_said = kwargs.pop("is_undone_on_cancel", False), kwargs.pop("on_said", None)
        timeout, start_timeout = kwargs.pop("execution_timeout", None), kwargs.pop("start_timeout", 60)
        options = merge_kwargs(
            remove_args(["input_path", "timeout", "startup_timeout"], **kwargs),
            timeout=timeout or kwargs.get("timeout"),
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log=logger,
        )
        client = SzalClient(nb_man, **options)
        client.is_undone_on_cancel = is_undone_on_cancel
        client.on_said = on_said or client.on_said
        return client.execute(**start)


_SECRET_CALL = re.compile(r"""\bsecret\(\s*(?:name\s*=\s*)?["'](\w+)["']""")


def register_secrets(source: Notebook, given: Given) -> None:
    """What the kernel will know as secrets is masked in this process too, which shows and saves what it says."""
    SECRETS.add_environment(given.environment)
    for cell in source.code:
        for name in _SECRET_CALL.findall(cell.source):
            text = os.environ.get(name) or os.environ.get(PREFIX + name.upper())
            if text:
                SECRETS.add(text)


def _source_of(nb: NotebookNode) -> Notebook:
    """What papermill was given, without the parameters that it has put in."""
    plain = nbformat.from_dict(nb)
    has_parameters = bool(nb.metadata.papermill.get("parameters"))
    plain.cells = [cell for cell in nb.cells if not (has_parameters and INJECTED_TAG in cell.metadata.get("tags", ()))]
    path = nb.metadata.papermill.get("input_path")
    is_file = bool(path) and path != "-" and "://" not in str(path)
    return parse_notebook(nbformat.writes(plain), path=Path(path).absolute() if is_file else None)


def inject(nb: NotebookNode, source: Notebook, given: Given) -> None:
    """Puts the cell with the parameters behind the one that declares them, as papermill does."""
    cell = nbformat.v4.new_code_cell(injected_source(source, given), metadata={"tags": [INJECTED_TAG], "papermill": {}})
    tagged = {tag: index for index, cell in reversed([*enumerate(nb.cells)]) for tag in cell.metadata.get("tags", ())}
    if INJECTED_TAG in tagged:
        nb.cells[tagged[INJECTED_TAG]] = cell
    else:
        nb.cells.insert(tagged[PARAMETERS_TAG] + 1 if PARAMETERS_TAG in tagged else 0, cell)
    nb.metadata.papermill["parameters"] = _plain(given)


def _plain(given: Given) -> dict[str, Any]:
    """The parameters as JSON can hold them; secrets are not among them."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(given.values), default=_plain_item))
    return plain


def _plain_item(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


def _run_cell() -> NotebookNode:
    return nbformat.v4.new_code_cell("%szal_run", id=RUN_TAG, metadata={"tags": [RUN_TAG], "papermill": {}})


@contextmanager
def _snapshot(source: Notebook) -> Iterator[Path]:
    """A file with the notebook as it is executed, without outputs, for as long as the kernel may read it."""
    content = json.loads(source.text)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        if isinstance(cell.get("metadata"), dict):
            cell["metadata"].pop("papermill", None)
    content["metadata"].pop("papermill", None)
    with tempfile.TemporaryDirectory(prefix="szal-") as directory:
        path = Path(directory, "snapshot.ipynb")
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        yield path
