"""From the text of a cell to code that runs as a step, and to code that waits for a run.

A body keeps the line numbers of its cell and the file name that the kernel gave the cell, so that tracebacks, the
debugger and the arrow in the margin point at what the author wrote.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from szal_nb.engine.body import compile_cell
from szal_nb.notebook.document import python_of
from szal_nb.notebook.flags import comment_of, spelled_in

# Magics that start or continue a run, and so may wait for it.
WAITING_MAGICS = frozenset({"szal_run", "szal_resume", "szal_fork"})
STEP_MAGIC = "szal_step"
AWAITED = "--awaited"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCell:
    """A cell that spells a step, or what undoes one. `source` is the body as Python, with the line numbers of the cell.

    The body begins below `above` lines of `raw`; in `source` these are blank.
    """

    line: str
    body: str
    source: str
    raw: str
    above: int = 1

    @property
    def is_quiet(self) -> bool:
        """Whether a `;` at its end hides the value of the last expression."""
        return self.body.rstrip().endswith(";")


def read_step_cell(
    raw: str, *, command: str = "%%szal_step", line: str | None = None, body: str | None = None
) -> StepCell:
    """The step that the cell `raw` spells; `line` and `body` are what IPython made of its first line.

    A step that was not spelled by a whole cell (a magic called from code) gets a cell of its own. The same for
    another `command` that has a body.
    """
    spelled = spelled_in(raw)
    if spelled is None or spelled.command != command or (body is not None and spelled.body.strip() != body.strip()):
        line, body = line or "", body or ""
        raw = f"{command} {line}\n{body}"
    else:
        line, body = spelled.line, spelled.body
    above = raw.count("\n") - body.count("\n") if body else raw.count("\n") + 1
    return StepCell(line=line, body=body, source="\n" * above + transform_body(body), raw=raw, above=above)


def transform_body(body: str) -> str:
    r"""`body` as pure Python, line for line: IPython syntax becomes calls of `get_ipython()`.

    >>> transform_body("\nx = 1\n")
    '\nx = 1\n'
    """
    source = python_of(body)
    before, after = body.splitlines(), source.splitlines()
    if len(before) == len(after):
        return source
    # IPython drops blank lines at the top and joins continued lines; blank lines put in their place keep the count.
    kept: list[str] = []
    for _, first, last, begin, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        kept += after[begin:end]
        kept += [""] * max(0, (last - first) - (end - begin))
    return "\n".join(kept) + "\n"


def register_source(shell: Any, cell: StepCell) -> str:
    """The file name of the cell, under which tracebacks now find the text of the step."""
    lines = cell.raw.split("\n")[: cell.above]
    head = "".join(f"# {line}\n" if not line.startswith("#") else f"{line}\n" for line in lines)
    text = head + cell.source[cell.above :]
    # IPython has just numbered this cell; older and newer ones count it before and after that.
    name = shell.compile.get_code_name(cell.raw, text, shell.execution_count)
    number = getattr(shell.compile, "_filename_map", {}).get(name, shell.execution_count)
    return str(shell.compile.cache(text, number, raw_code=cell.raw))


def compile_step(shell: Any, cell: StepCell) -> CodeType:
    """The step's code; `SyntaxError` points at the cell's line."""
    return compile_cell(cell.source, register_source(shell, cell))


def spell_as_magic(lines: list[str]) -> list[str]:
    """An input transformer: a cell that begins with `#| step:` is the same as one that begins with `%%szal_step`.

    So are `#| rollback:` and `%%szal_rollback`. A step without a body is one that does nothing yet; IPython refuses
    cell magics without a body.
    """
    source = "".join(lines)
    comment = comment_of(source)
    if comment is not None:
        lines = [f"{' '.join(comment)}\n", *lines[1:]]
    elif spelled_in(source) is None:
        return lines
    return lines if len(lines) > 1 else [lines[0].rstrip("\n") + "\n", "\n"]


def waiting_transformer(waits: Callable[[], bool]) -> Callable[[list[str]], list[str]]:
    """An input transformer: a `%szal_run` at the cell's top level is awaited if `waits()` or if it says `--wait`.

    So is a step that its cell executes at once. A magic cannot await, so the call that IPython made of it is put into
    an `await`. What stands inside of functions stays: there the magic itself refuses to wait.
    """

    def transform(lines: list[str]) -> list[str]:
        source = "".join(lines)
        if not any(magic in source for magic in (*WAITING_MAGICS, STEP_MAGIC)):
            return lines
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return lines
        return await_magics(source, tree, all_of_them=waits()).splitlines(keepends=True)

    return transform


def await_magics(source: str, tree: ast.Module, *, all_of_them: bool) -> str:
    """`source` with its top-level calls of waiting magics awaited: all, or those that say `--wait`.

    A step that says `--execute` is always waited for, as any cell that executes something.
    """
    data = source.encode()
    starts = [0]
    for text in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(text.encode()))
    for call in sorted(_top_level_calls(tree), key=lambda call: (call.lineno, call.col_offset), reverse=True):
        begin = starts[call.lineno - 1] + call.col_offset
        end = starts[(call.end_lineno or call.lineno) - 1] + (call.end_col_offset or 0)
        magic, line, *body = (argument.value for argument in call.args)
        if magic == STEP_MAGIC:
            is_awaited = not {"-x", "--execute"}.isdisjoint(line.split())
        else:
            is_awaited = all_of_them or "--wait" in line.split()
        if is_awaited:
            arguments = ", ".join(map(repr, (magic, f"{line} {AWAITED}".strip(), *body)))
            data = data[:begin] + f"(await get_ipython().{call.func.attr}({arguments}))".encode() + data[end:]
    return data.decode()


def _top_level_calls(tree: ast.AST) -> Iterator[Any]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.GeneratorExp):
            continue
        if isinstance(node, ast.Await):
            # `await %szal_run` waits already; awaiting it twice would wait for the finished run.
            continue
        if _is_waiting_magic(node):
            yield node
        else:
            yield from _top_level_calls(node)


def _is_waiting_magic(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or len(node.args) < 2:
        return False
    if not all(isinstance(argument, ast.Constant) and isinstance(argument.value, str) for argument in node.args):
        return False
    magic = node.args[0].value  # type: ignore[attr-defined]
    if node.func.attr == "run_cell_magic":
        return bool(magic == STEP_MAGIC)
    return node.func.attr == "run_line_magic" and magic in WAITING_MAGICS
