"""What the README and docs/ say is so: the twenty lines in a shell, links, names and flags.

What they show as code is run by tests/test_samples.py.
"""

import argparse
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import szal_nb as szal
from szal_nb.app.cli import make_parser
from szal_nb.notebook.arguments import COMMANDS
from szal_nb.notebook.flags import flags_of
from tests.samples import PAGES, samples

ORDERS = "region,product,month,revenue\nEU,tea,1,10\nEU,salt,1,5\nUS,tea,1,99\nEU,tea,2,20\nEU,salt,2,\n"


@pytest.mark.serial
def test_the_twenty_lines_run_in_a_shell(tmp_path):
    (shown,) = [sample for sample in samples(PAGES[0]) if str(sample) == "README.md: Twenty lines 1"]
    cells = []
    for block in shown.blocks:
        cell = new_code_cell(block.strip())
        if "a cell tagged `parameters`" in block:
            cell.metadata["tags"] = ["parameters"]
        cells.append(cell)
    cells.append(new_code_cell("print(products.to_dict(), months.to_dict())"))
    nbformat.write(new_notebook(cells=cells), tmp_path / "sales.ipynb")
    (tmp_path / "orders.csv").write_text(ORDERS)

    command = [sys.executable, "-m", "szal_nb.app.cli", "run", "sales.ipynb", "-o", "out.ipynb", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["ended"] == "completed"
    printed = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0].text
    assert printed == "{'salt': 5.0, 'tea': 30.0} {1: 15.0, 2: 20.0}\n"


def links() -> list[tuple[Path, str]]:
    found = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "link"), links(), ids=lambda it: getattr(it, "name", it))
def test_what_a_page_links_to_is_there(page, link):
    assert (page.parent / link).is_file()


def spans() -> list[str]:
    """All that stands between backticks on a line of a page."""
    texts = [re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE) for page in PAGES]
    return sorted({span for text in texts for span in re.findall(r"`([^`\n]+)`", text)})


def flags_of_shell(parser: argparse.ArgumentParser) -> set[str]:
    found = set(parser._option_string_actions)
    for action in parser._actions:
        for below in action.choices.values() if isinstance(action.choices, dict) else ():
            found |= flags_of_shell(below)
    return found


@cache
def flags() -> dict[str, set[str]]:
    """The flags of each command, in the notebook and in the shell."""
    (commands,) = [a.choices for a in make_parser()._actions if isinstance(a.choices, dict)]
    return {name: {"-h", *flags_of(name)} for name in COMMANDS} | {
        f"szal {name}": flags_of_shell(parser) for name, parser in commands.items()
    }


@pytest.mark.parametrize("span", [span for span in spans() if re.search(r"(^|[ \[])--?[a-z]", span)])
def test_a_flag_that_a_page_names_is_one_of_its_command(span):
    command = re.match(r"%?%szal_\w+|szal \w+|", span)[0]
    known = flags()[command] if command else set().union(*flags().values())

    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", span)) <= known


@pytest.mark.parametrize("span", [span for span in spans() if re.search(r"%szal_|\bszal\.[A-Z]|\bszal\.\w+\(", span)])
def test_a_name_that_a_page_gives_is_there(span):
    assert set(re.findall(r"%?%szal_\w+", span)) <= COMMANDS.keys()
    assert set(re.findall(r"\bszal\.([A-Z]\w+|\w+(?=\())", span)) <= set(szal.__all__)
