"""The shell as a step's body sees it: magics that run code see the step's namespace, never the notebook's.

A magic for which that is not tested is refused by name: running it would read or change the notebook behind the back
of the analysis.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from io import StringIO
from typing import Any

from IPython.core.magic_arguments import parse_argstring
from IPython.core.magics.execution import ExecutionMagics
from IPython.display import display
from IPython.utils.capture import CapturedIO
from IPython.utils.text import DollarFormatter, LSString, SList

from szal_nb.engine.body import compile_cell
from szal_nb.engine.context import CURRENT, StepContext
from szal_nb.errors import InvalidStep, RunError

# They take no code, read no names of the notebook and bind none; `tests/notebook/test_step_shell.py` runs each.
_PLAIN_LINE = frozenset({"cd", "config", "env", "lsmagic", "matplotlib", "pip", "pwd", "set_env"})
_PLAIN_CELL = frozenset({"bash", "html", "javascript", "js", "latex", "markdown", "sh", "svg", "writefile"})
# They run code; here, in the namespace of the step.
_RUNS_CODE = frozenset({"time", "timeit"})


class StepShell:
    """What `get_ipython()` gives in a body: the kernel's shell, with `user_ns` the namespace of the caller."""

    def __init__(self, shell: Any, namespace: dict[str, Any]) -> None:
        self._shell = shell
        self.user_ns = namespace
        self.user_global_ns = namespace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shell, name)

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        """As the shell's, with names in `line` expanded from the step's namespace."""
        if magic_name in _RUNS_CODE:
            return self._run_code(magic_name, line, None, sys._getframe(1).f_locals)  # noqa: SLF001 - as IPython does
        if magic_name in _PLAIN_LINE:
            return self._shell.find_line_magic(magic_name)(self.var_expand(line))
        raise _refused(f"%{magic_name}")

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """As the shell's, with names in `line` expanded from the step's namespace."""
        if magic_name in _RUNS_CODE:
            return self._run_code(magic_name, line, cell, sys._getframe(1).f_locals)  # noqa: SLF001 - as IPython does
        if magic_name == "capture":
            return self._capture(line, cell)
        if magic_name in _PLAIN_CELL:
            return self._shell.find_cell_magic(magic_name)(self.var_expand(line), cell)
        raise _refused(f"%%{magic_name}")

    def system(self, command: str) -> None:
        """Runs `!command`; what it prints is the step's output, and its exit code is `_exit_code`."""
        with _started(self.var_expand(command), stderr=subprocess.STDOUT) as process:
            for text in process.stdout or ():
                print(text, end="")  # noqa: T201 - the step's own output
        self.user_ns["_exit_code"] = process.returncode

    system_raw = system_piped = system

    def getoutput(self, command: str, split: bool = True, depth: int = 0) -> Any:  # noqa: ARG002, FBT001, FBT002 - IPython's form
        """What `!command` prints, as IPython's list of lines."""
        with _started(self.var_expand(command), stderr=None) as process:
            text, _ = process.communicate()
        return SList(text.splitlines()) if split else LSString(text)

    def var_expand(self, text: str, depth: int = 0, formatter: Any = None) -> str:  # noqa: ARG002 - IPython's form
        """`text` with `{expression}` and `$name` filled in from the step's namespace."""
        try:
            return str(DollarFormatter().vformat(text, args=(), kwargs=self.user_ns))
        except Exception:  # noqa: BLE001 - as IPython: a text that cannot be expanded stays as it is
            return text

    def run_cell(self, *_: Any, **__: Any) -> Any:
        """Refused: it runs code in the notebook."""
        __tracebackhide__ = True
        raise _refused("get_ipython().run_cell()")

    run_code = run_cell_async = ex = ev = run_cell

    def _run_code(self, name: str, line: str, cell: str | None, local: dict[str, Any]) -> Any:
        """`%time` or `%timeit`; names of the function or comprehension around it are seen too."""
        seen = self if local is self.user_ns else StepShell(self._shell, {**self.user_ns, **local})
        magics: Any = ExecutionMagics(shell=None)
        magics.shell = seen
        return (magics.time if name == "time" else magics.timeit)(line, cell)

    def _capture(self, line: str, cell: str) -> None:
        """`%%capture`: the body runs in the step's namespace; what it shows goes to the name on the line."""
        args = parse_argstring(ExecutionMagics.capture, line)
        code = compile_cell(self._shell.transform_cell(cell), "<%%capture>")
        if code.co_flags & inspect.CO_COROUTINE:
            raise InvalidStep(_step_name(), "%%capture cannot await.", "Capture a part that does not.")
        caught = _inner_context(CURRENT.get())
        token = CURRENT.set(caught)
        try:
            exec(code, self.user_ns)  # noqa: S102 - the user's own code
            value = self.user_ns.pop("__szal_result__", None)
            if value is not None:
                caught.presenter.show(caught, value)
        finally:
            CURRENT.reset(token)
            caught.take(close=True)
        if args.output:
            self.user_ns[args.output] = _as_captured(caught)


def _started(command: str, *, stderr: int | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
    )


def _inner_context(context: StepContext | None) -> StepContext:
    """A place beside the attempt, for output that is not shown."""
    if context is None:
        raise RunError("This shell is that of a step; outside of one, use the notebook's own.")
    beside = StepContext(context.run_id, context.step, context.attempt, context.presenter, lambda _: None)
    beside.runs_again = context.runs_again
    return beside


def _as_captured(context: StepContext) -> CapturedIO:
    def stream(name: str) -> StringIO:
        return StringIO("".join(output.text for output in context.outputs if output.name == name))

    shown = [{"data": found.data, "metadata": found.metadata} for found in context.outputs if found.type != "stream"]
    return CapturedIO(stream("stdout"), stream("stderr"), shown)


def _step_name() -> str:
    context = CURRENT.get()
    return context.step if context is not None else "?"


def _refused(magic: str) -> InvalidStep:
    return InvalidStep(
        _step_name(),
        f"{magic} is not known to work inside of a step.",
        "Call it in a cell of the notebook, outside of the steps.",
    )


def ambient_names(shell: Any) -> dict[str, Any]:
    """What IPython offers everywhere, for the bodies of steps."""

    def get_ipython() -> StepShell:
        """The shell, seen from the step that calls."""
        return StepShell(shell, sys._getframe(1).f_globals)  # noqa: SLF001 - the caller's namespace is the point

    return {"get_ipython": get_ipython, "display": display, "input": refuse_to_ask}


def refuse_to_ask(*_: object, **__: object) -> Any:
    """`input()` in a step: nobody may be there to answer, and the run would wait for good."""
    __tracebackhide__ = True
    raise RunError(
        f"Step {_step_name()!r} asks for input, but a step runs without a person. "
        "Take the answer as a parameter of the notebook, or ask in a cell of its own."
    )
