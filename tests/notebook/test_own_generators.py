"""Random numbers of a flow that runs again in a kernel are those of a notebook that is run from the top."""

from __future__ import annotations

import random

import numpy as np
import pytest

from szal_nb.notebook.own_generators import OwnGenerators, is_drawn_from
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import Notebook

RUN = "run = %szal_run\nawait run"


@pytest.fixture
def drawing(notebook):
    """A notebook whose plain cell seeds what its steps draw from."""
    notebook.ok("import random\nimport numpy as np\nimport pandas as pd")
    notebook.ok("random.seed(1)\nnp.random.seed(2)\nrng = np.random.default_rng(3)", cell_id="the-seeds")
    notebook.step("first", "x = random.random()\ny = np.random.rand()\nz = rng.random()")
    notebook.step(
        "second", "x2 = random.gauss(0, 1)\ny2 = float(pd.Series(range(99)).sample(1).iloc[0])\nz2 = rng.random()"
    )
    return notebook


DRAWN = "x, y, z, x2, y2, z2"


def from_the_top(notebook):
    """What the numbers are without any flow."""
    notebook.ok("random.seed(1)\nnp.random.seed(2)\nrng = np.random.default_rng(3)")
    notebook.ok("x, y, z = random.random(), np.random.rand(), rng.random()")
    notebook.ok("x2, y2 = random.gauss(0, 1), float(pd.Series(range(99)).sample(1).iloc[0])\nz2 = rng.random()")
    return notebook.value(DRAWN)


@pytest.mark.serial
def test_a_second_run_draws_the_numbers_of_the_first(drawing):
    drawing.ok(RUN)
    first = drawing.value(DRAWN)
    drawing.ok("noise = np.random.rand(3), random.random()")
    said = drawing.ok(RUN).text

    assert drawing.value(DRAWN) == first
    assert "random numbers" not in said
    assert from_the_top(drawing) == first


@pytest.mark.serial
def test_a_seed_that_a_cell_sets_anew_counts(drawing):
    drawing.ok(RUN)
    first = drawing.value(DRAWN)
    drawing.ok("random.seed(10)\nnp.random.seed(20)\nrng = np.random.default_rng(30)", cell_id="the-seeds")
    drawing.ok(RUN)
    second = drawing.value(DRAWN)
    drawing.ok(RUN)

    assert drawing.value(DRAWN) == second
    assert not set(first) & set(second)


@pytest.mark.serial
def test_a_step_that_runs_at_once_draws_what_it_draws_in_a_whole_run(notebook):
    notebook.ok("import random\nrandom.seed(1)")
    notebook.step("one -x", "a = random.random()")
    notebook.step("two -x", "b = random.random()")

    assert notebook.value("(random.seed(1), [random.random(), random.random()])[1]") == notebook.value("[a, b]")


# Steps run side by side until there is a file.
HOLD = """
import asyncio, os, statistics, time
def until(file):
    while not os.path.exists(file):
        time.sleep(0.01)
def hold(draws=False):
    if draws:
        until("draw")
        statistics.NormalDist().samples(1)  # from `random`, which no code here shows
    print("begun")
    until("go")
async def begun(run):
    while not (run["one"].logs and run["two"].logs):
        await asyncio.sleep(0.01)
async def release(run):
    open("draw", "w").close()
    await begun(run)
    open("go", "w").close()
"""


@pytest.fixture
def alone(tmp_path):
    """A notebook in a kernel of its own."""
    with running_kernel(tmp_path) as kernel:
        kernel.run("%load_ext szal_nb", cell_id="top")
        yield Notebook(kernel)


@pytest.mark.serial
def test_a_cell_may_draw_while_steps_run_side_by_side(alone):
    alone.ok(HOLD)
    for name in ("one", "two"):
        alone.step(name, "hold()")
    alone.ok("run = %szal_run")
    alone.ok("import random\nimport numpy as np\nawait begun(run)\nrandom.random(), np.random.rand()")
    alone.ok("await release(run)")

    assert alone.ok("await run.wait()\nprint(run.state)").text.endswith("completed\n")


@pytest.mark.serial
def test_what_steps_draw_side_by_side_is_found_while_a_cell_waits_for_them(alone):
    alone.ok(HOLD)
    for name in ("one", "two"):
        alone.step(name, "hold(draws=True)")
    alone.ok("run = %szal_run")
    alone.ok("releasing = asyncio.create_task(release(run))\nawait run.wait()")

    assert "HiddenStateUsed" in alone.value("str([run[name].error for name in ('one', 'two')])")


@pytest.mark.serial
def test_numbers_that_nothing_asks_to_be_the_same_are_said_to_be_the_same(tmp_path):
    with running_kernel(tmp_path) as kernel:
        kernel.run("%load_ext szal_nb\nimport random", cell_id="top")
        kernel.run("%%szal_step name\nname = random.random()", cell_id="name")
        said = [kernel.run(RUN, cell_id="run").text for _ in range(2)]

    assert "random numbers" not in said[0]
    assert "Draws the same random numbers as the run before (random); a step that calls its seed() draws" in said[1]


def seed(number):
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 the global one is meant


def draw():
    return random.random(), float(np.random.rand())  # noqa: NPY002


@pytest.fixture
def run():
    generators = OwnGenerators()

    def run(flow, body=draw):
        generators.begin(flow)
        drawn = body()
        generators.end(flow, {"random", "numpy.random"})
        return drawn

    return run


def test_a_flow_goes_on_from_the_flow_above_it(run):
    seed(1)
    first, second = run("above"), run("below")

    assert (run("above"), run("below")) == (first, second)
    assert (run("below"), run("above")) == (second, first)


def test_a_flow_goes_on_from_the_flow_above_it_also_when_a_cell_has_seeded_anew(run):
    seed(5)
    wanted = draw(), draw()
    seed(1)
    run("above"), run("below")
    seed(5)

    assert (run("above"), run("below"), run("below")) == (*wanted, wanted[1])


def test_a_generator_that_a_flow_has_no_part_in_is_left_to_the_cells():
    generators = OwnGenerators()
    seed(1)
    for _ in range(2):
        generators.begin("f")
        generators.end("f", ())
        drawn = draw()

    seed(1)
    assert (draw(), draw())[1] == drawn


@pytest.mark.parametrize("count", [1, 623, 624, 625, 100_000])
@pytest.mark.parametrize("before", [0, 1, 700])
def test_a_state_that_is_drawn_from_another_is_told_from_a_seed(count, before):
    generator = random.Random(4)
    generator.getrandbits(32 * before + 1)
    first = generator.getstate()
    generator.getrandbits(32 * count)
    drawn = generator.getstate()
    generator.seed(5)

    assert is_drawn_from(first, first)
    assert is_drawn_from(first, drawn)
    assert not is_drawn_from(drawn, first)
    assert not is_drawn_from(first, generator.getstate())


def test_another_kind_of_generator_is_known_by_its_state_alone():
    assert is_drawn_from(b"state", b"state")
    assert not is_drawn_from(b"state", b"other")
    assert not is_drawn_from({"bit_generator": "PCG64"}, random.getstate())
