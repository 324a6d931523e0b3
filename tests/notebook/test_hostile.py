"""What people and their code do that nobody planned for: the kernel lives on, and the record says what happened."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.serial

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(notebook, *bodies, line=""):
    """The cells of steps s0, s1, … with these bodies after a run of them, which may fail."""
    cells = [notebook.step(f"s{number} {line}", body) for number, body in enumerate(bodies)]
    notebook.ok("run = %szal_run\nawait run.wait()")
    notebook.kernel.until(lambda: notebook.value("run.state") in ("completed", "failed"))
    notebook.kernel.settle()
    return cells


def states(notebook):
    return notebook.value("[str(run[name].state) for name in run.snapshot.steps]")


def test_steps_that_do_nothing_are_steps(notebook):
    notebook.ok("%%szal_step bare")
    notebook.ok("#| step: comment\n# nothing yet")
    notebook.step("class", "größe = 'ä✓'")
    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("(run.state, größe)") == ("completed", "ä✓")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%szal_step\nx = 1", "The following arguments are required: name"),
        ("%%szal_step 🎉\nx = 1", "this is not a name for a step"),
        ("%%szal_step a\nx = = 1", "invalid syntax"),
        ("%%szal_step a\nreturn 1", "'return' outside function"),
    ],
)
def test_what_is_no_step_is_refused_in_a_few_lines(notebook, cell, said):
    refused = notebook.cell(cell)

    assert said in refused.error
    assert "szal_nb" not in refused.tracebacks


@pytest.mark.parametrize(
    "question", ["input('name? ')", "__import__('getpass').getpass()", "await asyncio.sleep(0)\ninput('name? ')"]
)
def test_a_step_that_asks_fails_instead_of_waiting_for_an_answer(notebook, question):
    (cell,) = run(notebook, question)

    assert states(notebook) == ["failed"]
    assert "Step 's0' asks for input, but a step runs without a person." in cell.tracebacks


def test_what_threads_of_a_step_print_is_the_steps(notebook):
    body = """import threading
from concurrent.futures import ThreadPoolExecutor
thread = threading.Thread(target=print, args=('from a thread',))
thread.start()
thread.join()
with ThreadPoolExecutor(1) as pool:
    done = list(pool.map(print, ['from a pool']))"""
    (cell,) = run(notebook, body)

    assert cell.text == "from a thread\nfrom a pool\n"


def test_of_a_progress_bar_what_stays_on_screen_is_kept(notebook):
    (cell,) = run(notebook, "for i in range(5000):\n    print(f'\\r{i:>6}', end='')\nprint('\\rdone  ')")

    assert cell.text.rpartition("\r")[2] == "done  \n"
    assert len(cell.text) < 500


def test_output_without_end_is_cut_with_a_note_and_the_step_goes_on(notebook):
    (cell,) = run(notebook, "for _ in range(200):\n    print('x' * 50_000)\ngiven_at_last = 1")

    assert states(notebook) == ["completed"]
    assert "more than a record can hold" in cell.text
    assert len(cell.text) < 5_100_000


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ("raise ValueError('x' * 3_000_000)", "ValueError", "(3,000,000 characters)"),
        ("class E(Exception):\n    def __str__(self):\n        raise TypeError\nraise E()", "E", "could not be made"),
        ("raise ExceptionGroup('many', [ValueError('a')])", "ExceptionGroup", "many (1 sub-exception)"),
        ("raise ValueError('\\udcff')", "ValueError", "\\udcff"),
        ("raise 5", "TypeError", "must derive from BaseException"),
        ("import sys\nsys.exit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise asyncio.CancelledError", "CancelledError", ""),
    ],
    ids=["long", "no-text", "group", "half-character", "no-exception", "exit", "interrupt", "cancel"],
)
def test_whatever_a_body_raises_is_the_outcome_of_its_attempt(notebook, body, name, said):
    run(notebook, body)

    kind, message = notebook.value("(run['s0'].error.type, run['s0'].error.message)")
    assert (states(notebook), kind) == (["failed"], name)
    assert said in message
    assert len(message) < 11_000


def test_a_traceback_shows_the_line_of_each_frame_also_in_comprehensions(notebook):
    (cell,) = run(notebook, "xs = [1, 0]\nname = 5\n\nys = [\n    1 / x\n    for x in xs]\nlast = 3")

    frames = [line for line in cell.tracebacks.splitlines() if line.startswith("-")][1:]
    assert frames == ["----> 5 ys = [", "----> 6     1 / x"]


def test_an_endless_recursion_is_told_in_a_few_lines(notebook):
    (cell,) = run(notebook, "def f(n):\n    return f(n + 1)\nf(0)")

    assert "skipping similar frames" in cell.tracebacks
    assert len(cell.tracebacks) < 3000


def test_chained_errors_are_all_shown(notebook):
    (cell,) = run(
        notebook, "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('outer') from error"
    )

    assert "ZeroDivisionError: division by zero" in cell.tracebacks
    assert "direct cause" in cell.tracebacks
    assert cell.tracebacks.endswith("KeyError: 'outer'")


def test_half_characters_that_no_file_can_hold_are_shown_escaped(notebook):
    (cell,) = run(notebook, "print('a\\ud800b')")

    assert cell.text == "a\\ud800b\n"


def test_a_cell_of_a_megabyte_is_a_step(notebook):
    rows = "\n".join(f"    ({number}, 'row number {number}', {number} * 2)," for number in range(25_000))

    run(notebook, f"rows_of_a_megabyte = [\n{rows}\n]\nlast_of_many = rows_of_a_megabyte[-1]")

    assert notebook.value("last_of_many") == (24_999, "row number 24999", 49_998)


def test_five_hundred_steps_are_a_flow(notebook):
    for number in range(500):
        before = f"many_{number - 1}" if number % 10 else "0"
        notebook.begin(f"%%szal_step many{number}\nmany_{number} = {before} + 1")
    notebook.ok("run = %szal_run\nawait run", timeout_s=120)

    assert notebook.value("(run.state, many_499, len(run.snapshot.steps))") == ("completed", 10, 500)


def test_a_step_that_is_executed_at_once_runs_with_what_it_needs_and_its_cell_waits(notebook):
    notebook.step("first", "x_at_once = 20")
    cell = notebook.step("second --execute", "y_at_once = x_at_once * 2\nprint('second runs')")

    assert notebook.value("y_at_once") == 40
    notebook.kernel.until(lambda: "second runs" in cell.text)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (
            "{'application/json': {'n': np.int64(3), 'k': np.arange(2), 'f': float('nan')}}",
            "{'n': 3, 'k': [0, 1], 'f': None}",
        ),
        ("{'text/plain': 5, 'application/x': object()}", "'5'"),
        ("{'application/x': object()}", "<application/x cannot be shown: "),
        ("{'image/png': b'abc'}", "'YWJj'"),
        ("{'application/json': {1: 2, 'd': {3}}}", "{'1': 2, 'd': [3]}"),
        ("{'text/html': chr(0xd800)}", "\\\\ud800"),
        ("{5: 'x'}", "{'5': 'x'}"),
    ],
)
def test_whatever_a_body_displays_its_run_goes_on_and_can_be_read(notebook, data, shown):
    notebook.ok("import numpy as np\nfrom IPython.display import display")
    notebook.step("show", f"display({data}, raw=True, metadata={{'a': object(), 'b': {{1}}}})\nx = 1")
    notebook.ok("run = %szal_run\nawait run.wait()")

    assert notebook.value("(run.state, run.values.x)") == ("completed", 1)
    assert shown in notebook.value("str(run['show'].outputs[0].data)")
    assert notebook.value("run['show'].outputs[0].metadata") == {"b": [1]}
    recorded = "__import__('szal_nb').replay(run.id, store=run.store_path)['show'].outputs"
    assert notebook.value(f"{recorded} == run['show'].outputs") is True
