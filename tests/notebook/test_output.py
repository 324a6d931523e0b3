"""What steps show, through a real kernel: captured with the step, and put where a reader looks for it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.serial


def outputs(notebook, step):
    """Type, stream text or plain text of each recorded output of a step."""
    return notebook.value(
        f"[(o.type, o.text or o.data.get('text/plain') or sorted(o.data)) for o in run[{step!r}].outputs]"
    )


def test_a_background_runs_output_comes_under_the_steps_own_cell(notebook):
    sync = notebook.step("in_thread", "print('from a thread')\nprint('to stderr', file=sys.stderr)")
    awaits = notebook.step("on_loop", "print('from the loop')\nawait asyncio.sleep(0)")
    running = notebook.ok("run = %szal_run\nawait run")
    notebook.kernel.settle()

    assert sync.text == "from a thread\nto stderr\n"
    assert awaits.text == "from the loop\n"
    assert running.text == ""
    assert notebook.value("run['in_thread'].logs") == "from a thread\nto stderr\n"


def test_without_cell_ids_a_steps_output_goes_to_the_cell_that_waits_headed_by_the_steps_name(notebook):
    """Under stock nbclient and nbconvert a step's output goes to the cell that waits, headed by the step's name."""
    one = notebook.step("headed_one", "h_one = 1\nprint('first line')\nprint('second line')", cell_id=None)
    notebook.step("headed_two", "print('after', h_one)", cell_id=None)

    waiting = notebook.ok("run = %szal_run", cell_id=None, may_ask=False)
    notebook.kernel.settle()

    expected = "── step headed_one ──\nfirst line\nsecond line\n── step headed_two ──\nafter 1\n"
    assert (one.text, waiting.text) == ("", expected)
    notebook.kernel.run("from szal_nb.notebook.definitions import Cell")
    notebook.kernel.run(
        "definitions = get_ipython().find_line_magic('szal_run').__self__.session.definitions\n"
        "definitions.delete_cells([d.cell.key for d in definitions.of_flow('notebook')])"
    )


def test_what_an_earlier_run_showed_makes_room(notebook):
    cell = notebook.step("again", "print('once')")
    notebook.ok("run = %szal_run\nawait run")
    notebook.ok("run = %szal_run\nawait run")
    notebook.kernel.settle()

    kinds = [message["msg_type"] for message in cell.outputs]
    assert kinds == ["display_data", "stream", "clear_output", "display_data", "stream"]
    assert cell.outputs[0]["content"]["data"] == cell.outputs[3]["content"]["data"]


def test_displays_and_the_last_expression_are_captured_with_the_step(notebook):
    """`print`, `logging`, `display`, plots and tracebacks of a step are captured with the step and shown with it."""
    cell = notebook.step(
        "shows",
        "from IPython.display import HTML, Markdown\n"
        "h = display(HTML('<b>bold</b>'), display_id=True)\n"
        "h.update(HTML('<i>new</i>'))\n"
        "display({'text/plain': 'raw'}, raw=True)\n"
        "shown_value = Markdown('# title')\n"
        "shown_value",
    )
    notebook.ok("run = %szal_run\nawait run")
    notebook.kernel.settle()

    assert outputs(notebook, "shows") == [
        ("display_data", "<IPython.core.display.HTML object>"),
        ("update_display_data", "<IPython.core.display.HTML object>"),
        ("display_data", "raw"),
        ("execute_result", "<IPython.core.display.Markdown object>"),
    ]
    assert cell.shown[-1]["text/markdown"] == "# title"
    assert cell.outputs[2]["msg_type"] == "update_display_data"
    assert cell.outputs[2]["content"]["transient"] == cell.outputs[1]["content"]["transient"]


def test_a_semicolon_hides_the_last_expression(notebook):
    notebook.step("quiet", "hidden_value = 1\nhidden_value;")
    notebook.ok("run = %szal_run\nawait run")

    assert outputs(notebook, "quiet") == []


def test_logging_and_warnings_of_a_step_are_captured_with_it(notebook):
    """`print`, `logging`, `display`, plots and tracebacks of a step are captured with the step and shown with it."""
    notebook.step(
        "warns", "import logging, warnings\nlogging.getLogger('mine').warning('logged')\nwarnings.warn('careful')"
    )
    notebook.ok("run = %szal_run\nawait run")

    assert "careful" in notebook.value("run['warns'].logs")


def test_figures_belong_to_the_step_that_made_them(notebook):
    """`print`, `logging`, `display`, plots and tracebacks of a step are captured with the step and shown with it."""
    notebook.ok("import matplotlib.pyplot as plt\nimport matplotlib")
    one = notebook.step("plots", "plt.plot([1, 2])\nplt.title('mine');")
    two = notebook.step("plots_too", "fig, ax = plt.subplots()\nax.plot([2, 1])\nplots_figures = plt.get_fignums()")
    beside = notebook.ok("run = %szal_run\nplt.figure()\nplt.plot([3, 3]);\nawait run")
    notebook.kernel.settle()

    assert [sorted(data) for data in one.shown[1:]] == [["image/png", "text/plain"]]
    assert [sorted(data) for data in two.shown[1:]] == [["image/png", "text/plain"]]
    assert sum("image/png" in data for data in beside.shown) == 1
    assert notebook.value("plots_figures, plt.get_fignums()") == ([1], [])


def test_figures_of_a_step_that_fails_are_shown_too(notebook):
    notebook.ok("import matplotlib.pyplot as plt")
    cell = notebook.step("breaks", "plt.plot([1, 2])\n1 / 0")
    notebook.cell("run = %szal_run\nawait run")
    notebook.kernel.settle()

    assert any("image/png" in data for data in cell.shown)
    assert "ZeroDivisionError" in cell.tracebacks


def test_a_retried_attempt_says_why(notebook):
    notebook.ok("tries_seen = []\nclass Flaky(Exception): pass")
    cell = notebook.step(
        "flaky --retries 1 --delay 10ms --reads tries_seen",
        "import random\nassert szal.context().attempt > 1, 'no luck'",
    )
    notebook.ok("run = %szal_run\nawait run")
    notebook.kernel.settle()

    assert "Attempt 1 failed: AssertionError: no luck" in cell.text
    assert cell.tracebacks == ""


def test_the_picture_that_is_saved_is_that_of_the_end(notebook):
    notebook.step("quick", "p_value = 1")
    cell = notebook.ok("run = %szal_run\nawait run")

    updates = [m["content"] for m in cell.outputs if m["msg_type"] == "update_display_data"]
    first = next(m["content"] for m in cell.outputs if m["msg_type"] == "display_data")
    assert updates[-1]["transient"] == first["transient"]
    assert "completed" in updates[-1]["data"]["text/plain"]
    assert "data:image/svg+xml;base64," in updates[-1]["data"]["text/html"]


def test_a_value_that_turned_out_to_be_live_is_marked_beneath_the_chip(notebook):
    """The step completes, marked *rebuilds on resume* in chip, picture and record."""
    notebook.ok("class Held:\n    def __init__(self):\n        self.lock = threading.Lock()\nimport threading, queue")
    known = notebook.step("known", "waiting = queue.Queue()")
    found = notebook.step("found", "held = Held()")
    notebook.step("use", "n = [waiting.qsize(), held.lock.locked()]")
    assert "rebuilds on resume if a later step needs it" in known.plain
    assert "rebuilds on resume" not in found.plain
    notebook.ok("run = %szal_run\nawait run")
    notebook.kernel.settle()

    assert found.text == "rebuilds on resume: held cannot be stored, because cannot pickle '_thread.lock' object\n"
    assert known.text == "", "its chip says so"
