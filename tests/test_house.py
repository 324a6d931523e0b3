"""The rules of the house that no linter knows."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
HEAVY = {"nbclient", "nbformat", "networkx", "pandas", "papermill", "sqlite_utils"}


def tracked_files() -> list[Path]:
    """Files of the project: those that git knows, and those that it would take in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in tracked_files():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # pictures
            continue
    return found


def test_importing_szal_nb_imports_nothing_heavy():
    code = "import sys; before = set(sys.modules); import szal_nb; print('\\n'.join(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert HEAVY & {name.split(".")[0] for name in loaded.splitlines()} == set()


def printed_in_a_kernel(*sources: str) -> list[str]:
    """What each cell prints, in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, kernel_name="python3").execute()
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]


@pytest.mark.serial
def test_loading_the_extension_imports_nothing_heavy():
    before = "import sys; before = set(sys.modules)"
    *_, printed = printed_in_a_kernel(before, "%load_ext szal_nb", "print(*(set(sys.modules) - before))")

    assert HEAVY & {name.split(".")[0] for name in printed.split()} == set()


# Imports inside of functions: what a user may never need and what is slow to import, nothing else.
LATE = HEAVY | {
    "PIL",
    "IPython",
    "anywidget",
    "cloudpickle",
    "ipywidgets",
    "jupyter_client",
    "numpy",
    "polars",
    "pyarrow",
    "tqdm",
}


def late_imports(source: str) -> list[tuple[int, str]]:
    """Line and package of every import below the top level."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node): node for function in functions for node in ast.walk(function)}.values()
    found = []
    for node in inside:
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, node.module or "."))
    return sorted(found)


def test_a_late_import_is_found_in_functions_only():
    source = "import os\ndef f():\n    import pandas.api\n    from numpy import array\n"

    assert late_imports(source) == [(3, "pandas.api"), (4, "numpy")]


def test_only_heavy_packages_are_imported_late_and_their_line_says_so():
    wrong = []
    for path in sorted((ROOT / "szal_nb").rglob("*.py")):
        lines = path.read_text().splitlines()
        for line, name in late_imports(path.read_text()):
            if name.split(".")[0] not in LATE and "# late: " not in lines[line - 1]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} {name}")

    assert wrong == []


def test_no_file_names_a_package_registry():
    hosts = re.compile(r"(files\.pythonhosted|pypi|registry\.npmjs|registry\.yarnpkg)\.(org|com)|/simple/?\b[^-\w.]")
    allowed = {"tests/test_house.py"}

    assert [name for name, text in texts().items() if name not in allowed and hosts.search(text)] == []


def test_no_file_names_a_path_of_one_machine():
    paths = re.compile(r"(?<![\w.}])/(work|root|opt|tmp/(?!x)\w+|home/\w+)/")
    allowed = re.compile(r"tests/|LICENSE|extension/package-lock\.json")

    assert [name for name, text in texts().items() if not allowed.match(name) and paths.search(text)] == []


def test_the_import_rule_holds():
    program = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout


def test_the_import_rule_is_the_one_of_the_architecture():
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = " > ".join(contracts[0]["layers"])

    assert layers == "app > notebook > api > engine | store | widget > analysis > model > errors"
    assert layers.replace(" > ", "  >  ") in (ROOT / "ARCHITECTURE.md").read_text()
    assert not any("ignore_imports" in contract for contract in contracts)


COMMAND = re.compile(r"\bszal ([a-z]+)\b(?![=(])")


@pytest.mark.parametrize("path", [*DOCUMENTS[:1], *NOTEBOOKS], ids=lambda path: path.name)
def test_every_command_that_a_document_shows_exists(path):
    text = "\n".join(re.findall(r"`[^`]+`|^```[\s\S]*?^```|^\s*\"?[!%$] ?szal.*$", path.read_text(), re.MULTILINE))
    shown = {name for name in COMMAND.findall(text) if name not in {"import", "as"}}
    known = subprocess.run(
        [sys.executable, "-m", "szal_nb.app.cli", "--help"], capture_output=True, text=True, check=True
    )

    assert {name for name in shown if not re.search(rf"\b{name}\b", known.stdout)} == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_clean(path):
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    assert set(notebook["metadata"]) <= {"kernelspec", "language_info", "widgets"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["cells"][0]["cell_type"] == "markdown", "a notebook begins with its title"
    assert all(re.fullmatch(r"[a-z0-9-]+", cell["id"]) for cell in notebook["cells"]), "ids are words"
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), "run once, from the top"
    failed = [cell for cell in code if any(output["output_type"] == "error" for output in cell["outputs"])]
    assert all("raises-exception" in cell["metadata"].get("tags", ()) for cell in failed)
    assert not any(cell["metadata"].keys() - {"tags"} for cell in notebook["cells"])
    assert path.stat().st_size < 1_000_000


def test_the_diagrams_of_the_architecture_are_those_of_the_tables():
    made = subprocess.run([sys.executable, "scripts/state_diagrams.py", "--check"], cwd=ROOT, check=False)

    assert made.returncode == 0, "call scripts/state_diagrams.py"
