"""Calls that IPython syntax was turned into: `get_ipython().run_line_magic(…)`, `.system(…)` and their like."""

from __future__ import annotations

import ast
import re

from szal_nb.analysis import hidden
from szal_nb.analysis.frame import Frame
from szal_nb.analysis.strings import literal
from szal_nb.analysis.values import FRESH, Value

# Magics that run the code they are given in the namespace of the cell.
_RUNS_CODE = frozenset({"time", "timeit", "prun", "capture", "memit", "mprun", "lprun", "debug"})
# Magics that run no Python code of the notebook and bind no name.
_HARMLESS = frozenset({
    "matplotlib", "config", "autoreload", "load_ext", "reload_ext", "pip", "conda", "mamba", "micromamba", "uv", "ls",
    "pwd", "precision", "xmode", "colors", "pprint", "html", "HTML", "javascript", "js", "latex", "svg", "markdown",
    "writefile", "bash", "sh", "script", "perl", "ruby", "sx", "system", "alias", "history", "lsmagic", "magic", "page",
    "pinfo", "pinfo2", "psource", "pdoc", "pfile", "quickref", "automagic", "who", "whos", "mkdir", "cat", "cp", "mv",
    "rm", "head", "tail", "less", "more", "man", "rmdir", "logstart", "logstop", "pdb", "tb", "notebook", "dhist", "!",
})  # fmt: skip
# Of these, the ones that give what is behind them to a program, and those that are commands themselves.
_RUNS_PROGRAMS = frozenset({"bash", "sh", "script", "perl", "ruby", "sx", "system", "!"})
_COMMANDS = frozenset({
    "pip", "conda", "mamba", "micromamba", "uv", "ls", "mkdir", "cat", "cp", "mv", "rm", "head", "tail", "less", "more",
    "man", "rmdir",
})  # fmt: skip
_NAMESPACE_READERS = frozenset({"who", "whos", "who_ls", "psearch", "store", "history"})
_STATES = {
    "cd": hidden.DIRECTORY,
    "pushd": hidden.DIRECTORY,
    "popd": hidden.DIRECTORY,
    "env": hidden.ENVIRONMENT,
    "set_env": hidden.ENVIRONMENT,
    "dotenv": hidden.ENVIRONMENT,
    "matplotlib": hidden.PYPLOT,
}
_BRACED = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")
_DOLLAR = re.compile(r"\$([A-Za-z_]\w*)")
_FLAGS = re.compile(r"^(?:\s*-{1,2}\w+(?:[ =]\d+)?)*\s*")


def call(frame: Frame, node: ast.Call, dotted: str) -> Value:
    """What a call of something of `get_ipython()` does."""
    method = dotted.rpartition(".")[2]
    texts = [literal(argument) for argument in node.args]
    if dotted.endswith("get_ipython"):
        return Value(ref="builtins.get_ipython")
    if method in {"system", "getoutput"}:
        for text in texts:
            _expand(frame, node, text or "")
        frame.use_program(texts[0] or "" if texts else "", node, f"!{texts[0] or ''}" if texts else "!")
        if method == "system":
            # IPython leaves the command's exit code there.
            frame.root.bind("_exit_code", Value(kind="int"), node.lineno)
        return FRESH
    if method in {"run_line_magic", "run_cell_magic"} and texts and texts[0]:
        return _magic(frame, node, texts[0], texts[1:])
    frame.mark_dynamic(node, f"get_ipython().{method}()")
    return FRESH


def _magic(frame: Frame, node: ast.Call, name: str, rest: list[str | None]) -> Value:
    line = (rest[0] if rest else "") or ""
    body = (rest[1] if len(rest) > 1 else "") or ""
    if name in _STATES:
        frame.use_state(_STATES[name], node, f"%{name}")
    if name in _RUNS_CODE:
        code = _FLAGS.sub("", line) if name != "capture" else ""
        if name == "capture":
            for target in line.split():
                if target.isidentifier():
                    frame.bind(target, Value(), node.lineno)
        _run_text(frame, node, name, code)
        _run_text(frame, node, name, body)
        return FRESH
    _use_files(frame, node, name, line, body)
    if name in _NAMESPACE_READERS or (name not in _HARMLESS and name not in _STATES):
        frame.mark_dynamic(node, f"%{name}")
    _expand(frame, node, line)
    return FRESH


def _use_files(frame: Frame, node: ast.Call, name: str, line: str, body: str) -> None:
    if name == "writefile":
        frame.use_file(line.rpartition(" ")[2], node, "%%writefile", is_write=True)
    elif name in _RUNS_PROGRAMS:
        frame.use_program(f"{line}\n{body}" if name in ("sx", "system", "!") else body or "", node, f"%{name}")
    elif name in _COMMANDS:
        frame.use_program(f"{name} {line}", node, f"%{name}")


def _run_text(frame: Frame, node: ast.Call, name: str, code: str) -> None:
    if not code.strip():
        return
    try:
        tree = ast.parse(code.strip() + "\n")
    except (SyntaxError, ValueError):
        frame.mark_dynamic(node, f"%{name}")
        return
    for inner in ast.walk(tree):
        if hasattr(inner, "lineno"):
            ast.copy_location(inner, node)
    frame.run(tree.body)


def _expand(frame: Frame, node: ast.Call, text: str) -> None:
    for name in _DOLLAR.findall(text):
        frame.guards_names += 1
        frame.load(name, node.lineno)
        frame.guards_names -= 1
    for code in _BRACED.findall(text):
        try:
            expression = ast.parse(code.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            continue
        for inner in ast.walk(expression):
            if hasattr(inner, "lineno"):
                ast.copy_location(inner, node)
        # IPython leaves the braces as they are when the expression fails.
        frame.guards_names += 1
        frame.eval(expression)
        frame.guards_names -= 1
