from __future__ import annotations

from szal_nb.analysis.chip import chip_text
from tests.analysis.cells import notebook_graph


def _chip(cells, name):
    graph = notebook_graph(cells)
    return chip_text(graph.node(name), graph.edges)


def test_a_chip_says_what_a_step_reads_gives_and_waits_for():
    cells = "# %% load\norders = [1]\n# %% plot\nprint(orders)\n# %% clean\norders += [2]\n"
    assert _chip(cells, "clean") == (
        "clean  reads orders ← load · gives orders · changes orders · after plot (changes orders in place)"
    )


def test_a_step_that_reads_and_gives_nothing():
    assert _chip("# %% a\nprint(1)\n", "a") == "a  reads nothing · gives nothing"


def test_a_doubt_names_the_flag_that_frees():
    cells = "# %%\nimport lib\n# %% a\nxs = lib.make()\n# %% b\nprint(xs)\n# %% c\nxs.poke()\n"
    assert _chip(cells, "c") == (
        "c  reads xs ← a · gives nothing · changes xs · after b (in doubt: changes xs in place; --pure xs frees it)"
    )


def test_inputs_come_from_the_notebook():
    assert _chip("# %%\nn = 1\n# %% a\nx = n\n", "a") == "a  reads n ← notebook · gives x"


def test_an_input_that_the_condition_asks_for_is_named_once():
    cells = '# %%\nn = 1\nm = 2\n# %% a --when "inputs.n > 0 and inputs.m > 0"\nx = n\n'
    assert _chip(cells, "a") == "a  reads n ← notebook, inputs.m ← notebook · gives x"
