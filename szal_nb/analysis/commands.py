"""Commands of a shell: whether they may read or write files, as far as their text tells.

Which files is not asked: a command may find its own. What it does is told by the programs that it starts.
"""

from __future__ import annotations

import ast
import re

from szal_nb.analysis.tables import words

# Functions of modules that start programs.
_STARTING = words("""
subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen subprocess.getoutput
subprocess.getstatusoutput os.system os.popen os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve
os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp asyncio.create_subprocess_exec asyncio.create_subprocess_shell
pexpect.run pexpect.spawn runpy.run_path
""")
# What they give: a program that may be at work until it is waited for.
STARTED = "subprocess.Popen"
# Programs that use no files of the notebook, and those that only read.
_WITHOUT_FILES = words("""
echo printf date pwd whoami hostname uname nproc sleep true false which uptime free lscpu ps id arch nvidia-smi
""")
_READING = words("""
ls cat head tail wc grep egrep fgrep rg du df stat file cmp diff md5sum sha1sum sha256sum tree nl od xxd strings tac
cut basename dirname realpath readlink test less more man
""")
_BETWEEN_PROGRAMS = re.compile(r"\|\|?|&&?|;|\n")
_TO_NOWHERE = re.compile(r"\d?>+\s*(?:&\d|/dev/null)")
_WRITING_MARKS = (">", "`", "$(")
_INSTALLING = re.compile(
    r"\s*(?:[\w./{}-]*python[\d.]* -m )?(?:uv |micro|\{[^}]*\} -m )?(?:pip3?|conda|mamba|pixi|uv) "
)


def starts_program(dotted: str) -> bool:
    """Whether calling this starts a program."""
    return dotted in _STARTING


def installs(command: str) -> bool:
    """Whether a command is that of a manager of packages.

    >>> installs("python -m pip install x"), installs("uv pip install x"), installs("pipeline run")
    (True, True, False)
    """
    return _INSTALLING.match(command) is not None


def text_of(node: ast.Call) -> str:
    """The command that a call is given, as far as it is written there."""
    first = (
        node.args[0] if node.args else next((one.value for one in node.keywords if one.arg in ("args", "cmd")), None)
    )
    if not isinstance(first, ast.List | ast.Tuple):
        return _literal(first) or ""
    parts = [_literal(one) for one in first.elts]
    # A program that runs the text that it is given may do anything.
    return "" if None in parts[:1] else " ".join(re.sub(r"[|&;\n>`]", " ", word or "{}") for word in parts)


def _literal(node: ast.expr | None) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values)
    return None


def uses_of_command(text: str) -> tuple[bool, bool]:
    """Whether a command may read files, and whether it may write any.

    >>> uses_of_command("head -3 a.csv | wc -l"), uses_of_command("date"), uses_of_command("python train.py")
    ((True, False), (False, False), (True, True))
    """
    text = _TO_NOWHERE.sub("", text)
    programs = [part.split()[0].rpartition("/")[2] for part in _BETWEEN_PROGRAMS.split(text) if part.split()]
    if any(mark in text for mark in _WRITING_MARKS) or not programs or not set(programs) <= _WITHOUT_FILES | _READING:
        return True, True
    return not set(programs) <= _WITHOUT_FILES, False
