"""IPython syntax in the bodies of steps, through a real kernel."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.serial


def run_body(notebook, body, line="body"):
    notebook.step(line, body)
    return notebook.cell("run = %szal_run\nawait run")


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        ("!echo hello", "hello\n"),
        ("word = 'there'\n!echo $word {word.upper()}", "there THERE\n"),
        ("files = !printf 'a\\nb\\n'\nprint(files, files.n)", "['a', 'b'] a\nb\n"),
        ("%env SZAL_TEST_ENV=yes\nimport os\nprint(os.environ['SZAL_TEST_ENV'])", "env: SZAL_TEST_ENV=yes\nyes\n"),
        ("get_ipython().run_cell_magic('bash', '', 'echo from bash')", "from bash\n"),
    ],
)
def test_commands_and_plain_magics_run_and_print_with_the_step(notebook, body, printed):
    cell = run_body(notebook, body)

    assert not cell.error
    assert notebook.value("run['body'].logs") == printed


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        ("n = 3\n%time timed = n * 2", "timed", 6),
        ("n = 3\nfound = [get_ipython().run_line_magic('time', 'n * k') for k in (1, 2)]", "found", [3, 6]),
        (
            "n = 3\ntwice = lambda k: get_ipython().run_line_magic('time', '[n * i for i in range(k)]')\nlisted = twice(2)",
            "listed",
            [0, 3],
        ),
        ("n = 3\nbest = get_ipython().run_line_magic('timeit', '-o -q -n 1 -r 1 n + 1').repeat", "best", 1),
    ],
)
def test_magics_that_run_code_see_the_steps_namespace_also_inside_comprehensions_and_lambdas(
    notebook, body, name, value
):
    cell = run_body(notebook, body)

    assert not cell.error, cell.error
    assert notebook.value(name) == value


def test_capture_keeps_what_its_part_shows(notebook):
    body = (
        "before = 1\n"
        "get_ipython().run_cell_magic('capture', 'caught', 'print(before)\\ndisplay(2)\\nafter_capture = before + 1\\n3')\n"
        "caught_text, caught_shown, seen_after = caught.stdout, len(caught.outputs), after_capture\n"
        "print('outside')"
    )
    cell = run_body(notebook, body, "body --out caught_text caught_shown seen_after")

    assert not cell.error, cell.error
    assert notebook.value("caught_text, caught_shown, seen_after, run['body'].logs") == ("1\n", 2, 2, "outside\n")


@pytest.mark.parametrize("magic", ["%run x.py", "%prun 1", "%who", "%reset -f", "%load_ext autoreload", "%szal_run"])
def test_a_magic_for_which_that_is_not_tested_is_refused_by_name(notebook, magic):
    """One for which that is not tested is refused by name."""
    cell = run_body(notebook, f"{magic}\nrefused = 1")

    assert magic.split()[0] in cell.error or "InvalidStep" in cell.error


def test_the_notebooks_names_are_not_seen_through_the_shell(notebook):
    notebook.ok("only_in_notebook = 1")

    cell = run_body(notebook, "seen_names = sorted(get_ipython().user_ns)")

    assert not cell.error
    assert "only_in_notebook" not in notebook.value("seen_names")
