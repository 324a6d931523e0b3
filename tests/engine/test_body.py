"""Bodies and the namespaces they run in."""

from __future__ import annotations

import asyncio
import functools
import math
import sys

import pytest

from szal_nb.engine.body import CellBody, FunctionBody, compile_cell
from szal_nb.engine.context import CURRENT, PlainPresenter, StepContext
from szal_nb.errors import InvalidStep
from szal_nb.model.graph import StepNode
from szal_nb.model.step import Step


def cell(source, *, gives=(), imports=(), definitions=None, ambient=None, **more):
    definitions = definitions or {}
    node = StepNode(step=Step(name="s"), gives=gives, imports=imports, definitions=tuple(definitions))
    return CellBody(node, compile_cell(source, "<cell>"), definitions, ambient or {}, **more)


def test_a_body_gives_what_it_binds_and_is_declared_to_give():
    assert cell("x = a + 1; y = 2; _z = 3", gives=("x", "unbound")).call({"a": 1}) == {"x": 2}


def test_a_namespace_holds_what_the_step_reads_imports_and_definitions_and_nothing_else():
    body = cell(
        "names = sorted(n for n in globals() if not n.startswith('__')); main = __name__",
        gives=("names", "main"),
        imports=("import math as m",),
        definitions={"pi": math.pi},
    )

    assert body.call({"a": 1}) == {"names": ["a", "m", "pi"], "main": "__main__"}


def test_two_calls_do_not_see_each_other():
    body = cell("try:\n    seen = x\nexcept NameError:\n    seen = None\nx = 1", gives=("seen",))

    assert [body.call({}), body.call({})] == [{"seen": None}, {"seen": None}]


def test_ambient_names_are_there_as_builtins_are():
    body = cell("shown = display(3)", gives=("shown", "display"), ambient={"display": lambda v: v + 1})

    assert body.call({}) == {"shown": 4}


def test_a_plain_function_of_the_notebook_reads_the_step_s_values():
    notebook = {"__name__": "__main__", "rate": "the notebook's"}
    exec("def gross(x, *, by=2):\n    'doc'\n    return x, rate, by", notebook)
    body = cell("result = gross(1)", gives=("result",), definitions={"gross": notebook["gross"]})

    assert body.call({"rate": "the step's"}) == {"result": (1, "the step's", 2)}


def test_a_function_given_by_a_step_reads_the_values_of_the_step_that_calls_it():
    function = cell("rate = 1\ndef gross(x): return x * rate", gives=("gross",)).call({})["gross"]

    assert cell("result = gross(10)", gives=("result",)).call({"gross": function, "rate": 3}) == {"result": 30}


def test_functions_of_modules_are_never_rebuilt():
    body = cell("same = sqrt", gives=("same",), definitions={"sqrt": math.sqrt})

    assert body.call({}) == {"same": math.sqrt}


def test_the_last_expression_is_kept_and_shown():
    context = StepContext("r", "s", 1, PlainPresenter(), lambda _: None)
    token = CURRENT.set(context)
    try:
        given = cell("x = 20\nx * 2", gives=("x",)).call({})
    finally:
        CURRENT.reset(token)

    assert given == {"x": 20, "_": 40}
    assert [output.data for output in context.outputs] == [{"text/plain": "40"}]


def test_a_quiet_cell_shows_nothing():
    assert cell("40 + 2", is_quiet=True).call({}) == {}


def test_a_body_with_top_level_await_is_a_coroutine():
    body = cell("import asyncio\nawait asyncio.sleep(0)\nx = [i async for i in agen()]", gives=("x",))
    notebook = {"__name__": "__main__"}
    exec("async def agen():\n    yield 1\n    yield 2", notebook)

    assert body.is_async
    assert asyncio.run(body.call({"agen": notebook["agen"]})) == {"x": [1, 2]}


def test_a_syntax_error_names_the_cell_and_the_line():
    with pytest.raises(SyntaxError) as caught:
        compile_cell("x = 1\ny = = 2", "Cell In[3]")

    assert (caught.value.filename, caught.value.lineno) == ("Cell In[3]", 2)


def function(f, **step):
    return FunctionBody(StepNode(step=Step(name=f.__name__, **step)), f)


def test_a_function_s_parameters_are_its_inputs_and_its_result_is_named_after_the_step():
    def total(a, b=10, *, c=100):
        return a + b + c

    assert function(total).call({"a": 1, "c": 5}) == {"total": 16}


def test_free_names_of_a_function_are_its_inputs_too():
    def area(radius):
        return scale * radius  # noqa: F821

    assert function(area).call({"radius": 2, "scale": 3}) == {"area": 6}


def test_a_function_may_give_several_values():
    def split():
        return 1, 2

    def named():
        return {"y": 2, "x": 1, "more": 3}

    assert function(split, out=("x", "y")).call({}) == {"x": 1, "y": 2}
    assert function(named, out=("x", "y")).call({}) == {"x": 1, "y": 2}


@pytest.mark.parametrize("result", [None, (1,), (1, 2, 3), {"x": 1}])
def test_a_function_that_gives_something_else_than_it_said_is_told(result):
    def split():
        return result

    with pytest.raises(InvalidStep, match="Step 'split'"):
        function(split, out=("x", "y")).call({})


def test_sys_exit_leaves_the_body_as_an_exception():
    with pytest.raises(SystemExit):
        cell("import sys; sys.exit(3)").call({})
    assert sys.modules


def test_a_name_changed_in_place_is_given_again():
    node = StepNode(step=Step(name="s"), gives=("n",), changes=("xs",))
    body = CellBody(node, compile_cell("xs.append(2)\nn = len(xs)", "<cell>"), {}, {})
    xs = [1]

    given = body.call({"xs": xs})
    assert (given["n"], given["xs"]) == (2, [1, 2])
    assert given["xs"] is xs


def test_a_function_that_changes_its_argument_gives_it_again():
    def extend(xs):
        xs.append(2)

    body = FunctionBody(StepNode(step=Step(name="extend"), gives=("extend",), changes=("xs",)), extend)

    assert body.call({"xs": [1]}) == {"xs": [1, 2], "extend": None}


def test_a_function_is_called_by_the_parameters_that_it_shows_whatever_their_kind():
    def plain(a, /, b, *, c):
        return a, b, c

    @functools.wraps(plain)
    def decorated(*args, **kwargs):
        return ("decorated", *plain(*args, **kwargs))

    found = [
        FunctionBody(StepNode(step=Step(name="s")), function).call({"a": 1, "b": 2, "c": 3})
        for function in (plain, decorated)
    ]

    assert found == [{"s": (1, 2, 3)}, {"s": ("decorated", 1, 2, 3)}]
