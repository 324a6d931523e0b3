"""A real Jupyter server with real kernels, and real Chromium that a test drives. Nothing of the user's is touched."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page

from tests.chromium import chromium

_CELLS = "window.jupyterapp.shell.currentWidget.content.widgets"
_ROOT = Path(__file__).parents[2]
_QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
_APPS = {
    "lab": ("jupyterlab", "LabApp"),
    "notebook": ("notebook", "JupyterNotebookApp"),
    "server": ("jupyter_server", None),
}


# A step that runs until the test makes a file of its name: nothing waits for a length of time.
HOLD = """
%load_ext szal_nb
import time
from pathlib import Path
def hold(name):
    Path(name + ".begun").touch()
    while not Path(name).exists():
        time.sleep(0.01)
"""


@dataclass
class Server:
    """Where a server is reached, and the folder whose notebooks it shows."""

    base: str
    token: str
    root: Path
    app: str

    def url(self, name: str) -> str:
        page = f"lab/tree/{name}?reset&" if self.app == "lab" else f"notebooks/{name}?"
        return f"{self.base}/{page}token={self.token}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def jupyter_server(
    root: Path, app: str = "lab", python: str = sys.executable, options: Sequence[str] = ()
) -> Iterator[Server]:
    """A server with configuration, data and settings of its own, all below `root`."""
    home = root / ".jupyter-of-the-test"
    for folder in ("config", "data", "runtime", "settings", "workspaces", "ipython"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for plugin, value in _QUIET.items():
        package, _, name = plugin.partition(":")
        file = home / "settings" / package / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    # This tree's extensions, whatever is installed.
    for place, source in (
        (home / "data" / "labextensions" / "szal-nb", _ROOT / "szal_nb" / "labextension"),
        (home / "config" / "jupyter_server_config.d", _ROOT / "jupyter-config" / "server-config"),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)
    port, token = _free_port(), secrets.token_hex(16)
    module, trait = _APPS[app]
    environment = {
        **os.environ,
        # Else what is installed beside this Python comes before the folders below.
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
    }
    log = home / "server.log"
    command = [
        python, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", *options,
    ]  # fmt: skip
    if trait is not None:
        command.append(f"--{trait}.expose_app_in_browser=True")
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(process, f"{base}/api/status?token={token}", log)
        yield Server(base, token, root, app)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 90
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("The Jupyter server did not start:\n" + log.read_text()[-3000:])
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).read()
            return
        time.sleep(0.1)


# JupyterLab itself asks for a subshell for each comm, and does not expect that a kernel is restarted before it answers.
_JUPYTERLABS = "Canceled future for create_subshell_request"


@contextlib.contextmanager
def browser_page(*, dark: bool = False) -> Iterator[Page]:
    """A page of headless Chromium. `page.problems` are the uncaught errors that it met, but for one of JupyterLab's."""
    with chromium() as browser:
        context = browser.new_context(
            viewport={"width": 1400, "height": 1000},
            color_scheme="dark" if dark else "light",
            # One that a server of an earlier test has left would go on asking it.
            service_workers="block",
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.problems = []  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: _JUPYTERLABS in str(error) or page.problems.append(str(error)))  # type: ignore[attr-defined]
        try:
            yield page
        finally:
            context.close()


def write_notebook(path: Path, cells: list[Any]) -> None:
    """A notebook of these code cells."""
    notebook = new_notebook(cells=[new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def open_notebook(page: Page, server: Server, name: str) -> None:
    """Returns when the document is loaded and its kernel has answered."""
    # JupyterLab may go to an address of its own while the page is loading, which would end a wait for the first one.
    page.goto(server.url(name), wait_until="commit")
    page.wait_for_selector(".jp-Notebook")
    page.wait_for_function(
        "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
    )
    page.evaluate(
        "async () => { const w = window.jupyterapp.shell.currentWidget; await w.context.ready;"
        " await w.sessionContext.ready; await w.sessionContext.session.kernel.info; }"
    )


def run_cell(page: Page, index: int, *, wait: bool = True, timeout_ms: int = 60_000) -> None:
    """Executes a cell as Shift+Enter does."""
    page.evaluate(
        "(i) => { const nb = window.jupyterapp.shell.currentWidget.content; nb.deselectAll();"
        " nb.activeCellIndex = i; void window.jupyterapp.commands.execute('notebook:run-cell'); }",
        index,
    )
    if wait:
        wait_cell(page, index, timeout_ms)


def wait_cell(page: Page, index: int, timeout_ms: int = 60_000) -> None:
    """Returns when the cell has been executed."""
    page.wait_for_function(
        f"(i) => {{ const m = {_CELLS}[i].model; return m.executionState === 'idle' && m.executionCount !== null; }}",
        arg=index,
        timeout=timeout_ms,
    )


def wait_text(page: Page, index: int, text: str) -> None:
    """Returns when the cell has shown the text."""
    page.wait_for_function(
        f"([i, text]) => JSON.stringify({_CELLS}[i].model.sharedModel.toJSON().outputs).includes(text)",
        arg=[index, text],
    )


def outputs(page: Page, index: int) -> list[dict[str, Any]]:
    """The cell's outputs, as they would be saved."""
    found: list[dict[str, Any]] = page.evaluate(f"(i) => {_CELLS}[i].model.sharedModel.toJSON().outputs", index)
    return found


def text(page: Page, index: int) -> str:
    """All text of a cell's outputs."""
    pieces = []
    for output in outputs(page, index):
        piece = output.get("text") or output.get("data", {}).get("text/plain") or output.get("traceback") or ""
        pieces.append("".join(piece))
    return "".join(pieces)


def command(page: Page, name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Runs a command of JupyterLab."""
    return page.evaluate("([n, a]) => window.jupyterapp.commands.execute(n, a)", [name, arguments or {}])


def scroll_to(page: Page, index: int) -> None:
    """Brings a cell into view."""
    page.evaluate(f"(i) => {_CELLS}[i].node.scrollIntoView({{block: 'start'}})", index)


def until(page: Page, holds: Callable[[], object], *, timeout_s: float = 20) -> None:
    """Returns when `holds()`."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        page.wait_for_timeout(20)


def in_view(page: Page, index: int) -> None:
    """Brings a cell into view, and waits for what glides there."""
    scroll_to(page, index)
    page.wait_for_timeout(150)


def at(page: Page, selector: str) -> Any:
    """The element of the last picture on the page."""
    return page.locator(".szal-dag").last.locator(selector)


def state(page: Page, step: str) -> str | None:
    """The state of a step as the first picture on the page shows it."""
    return page.get_attribute(f'[data-step="{step}"]', "data-state")


def wait_state(page: Page, step: str, expected: str) -> None:
    """Returns when a picture shows the step in this state."""
    page.wait_for_selector(f'[data-step="{step}"][data-state="{expected}"]')


def wait_run(page: Page, expected: str) -> None:
    """Returns when a picture shows a run in this state."""
    page.wait_for_selector(f'[data-run-state="{expected}"]')
