from __future__ import annotations

import subprocess
import sys

import pytest

from szal_nb.analysis.fingerprint import code_digest, difference, fingerprint, parts
from szal_nb.analysis.graph import build_graph
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import RetryPolicy, Step, StepKind
from tests.analysis.cells import parse_cells, surroundings


def _made(cells, name="a"):
    found = parse_cells(cells)
    around = surroundings(found.plain)
    graph = build_graph(FlowDefinition(name="f", steps=tuple(found.steps)), around)
    return fingerprint(graph.node(name), around), parts(graph.node(name), around)


PLAIN = "# %%\ndef f(x):\n    return g(x)\ndef g(x):\n    return x + 1\nclass K:\n    n = 1\nimport math\nk = 1\n# %% a\ny = f(K.n) + math.pi + k\n"

SAME = {
    "comments": PLAIN.replace("y = f", "# why\ny = f"),
    "layout": PLAIN.replace("y = f(K.n) + math.pi + k", "y = (\n    f( K.n )\n    + math.pi + k)"),
    "comments of helpers": PLAIN.replace("return x + 1", "return x + 1  # one"),
    "quotes": PLAIN,
    "other cells": PLAIN + "# %% b\nz = 1\n",
    "values of inputs": PLAIN.replace("k = 1", "k = 2"),
}
OTHER = {
    "code": (PLAIN.replace("math.pi", "math.e"), ("code",)),
    "a function": (PLAIN.replace("return g(x)", "return g(x) + 1"), ("function f",)),
    "a function of a function": (PLAIN.replace("x + 1", "x + 2"), ("function g",)),
    "a class": (PLAIN.replace("n = 1", "n = 2"), ("class K",)),
    "an import": (PLAIN.replace("import math", "import cmath as math"), ("import cmath as math", "import math")),
    "a condition": (PLAIN.replace("%% a", "%% a --when 'k > 0'"), ("--when",)),
}


@pytest.mark.parametrize("cells", SAME.values(), ids=SAME)
def test_what_does_not_matter_leaves_the_fingerprint(cells):
    assert _made(cells) == _made(PLAIN)


@pytest.mark.parametrize(("cells", "names"), OTHER.values(), ids=OTHER)
def test_what_matters_changes_the_fingerprint_and_is_named(cells, names):
    before, after = _made(PLAIN), _made(cells)
    assert before[0] != after[0]
    assert difference(before[1], after[1]) == names


def test_flags_of_retrying_do_not_matter():
    one = Step(name="a", source="x = 1")
    other = Step(name="a", source="x = 1", retry=RetryPolicy(retries=3), timeout_s=5)
    made = [build_graph(FlowDefinition(name="f", steps=(step,))).node("a") for step in (one, other)]
    around = surroundings([])
    assert fingerprint(made[0], around) == fingerprint(made[1], around)


def test_the_decorator_of_a_step_function_does_not_matter():
    sources = ["@flow.step\ndef a(n):\n    return n", "@flow.step(retries=2)\ndef a(n):\n    return n"]
    around = surroundings([])
    made = {
        fingerprint(
            build_graph(FlowDefinition(name="f", steps=(Step(name="a", kind=StepKind.FUNCTION, source=s),))).node("a"),
            around,
        )
        for s in sources
    }
    assert len(made) == 1


def test_equal_in_another_process():
    code = "from szal_nb.analysis.fingerprint import code_digest; print(code_digest('x = {1, 2}\\nf = lambda a: a'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {code_digest("x = {1, 2}\nf = lambda a: a") + "\n"}


def test_different_constants_of_one_spelling_differ():
    assert code_digest("x = 1") != code_digest("x = 1.0")
    assert code_digest("x = 'a'") != code_digest("x = b'a'")
    assert code_digest("x = True") != code_digest("x = 1")
