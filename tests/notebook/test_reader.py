"""A notebook's flow, read from its file without running it; and what is said of files that are no notebooks."""

import json
import os
import sys

import pytest

from szal_nb.errors import DefinitionError, InvalidFlow, InvalidStep
from szal_nb.model.step import Compensation, RetryPolicy, StepKind
from szal_nb.notebook.document import InvalidNotebook, parse_notebook, read_notebook
from szal_nb.notebook.reader import needs_run_cell, read_flow


def code(source, cell_id=None, tags=()):
    cell = {
        "cell_type": "code",
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    return cell | ({"id": cell_id} if cell_id else {})


def notebook(*cells, **metadata):
    numbered = [
        code(cell, f"c{number}") if isinstance(cell, str) else cell for number, cell in enumerate(cells, start=1)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": numbered})


def flow_of(*cells):
    return read_flow(parse_notebook(notebook(*cells)))


def test_the_three_spellings_of_a_step_are_found_with_their_flags_and_cells():
    found = flow_of(
        "%load_ext szal_nb\nimport szal_nb as szal\n%szal_flow sales --version 2 --max-parallel 4",
        "%%szal_step load --retries 3\norders = read()",
        "#| step: clean --timeout 1m\norders = orders.dropna()",
        "@szal.step(after=['clean'], out='total', retry_on=(ValueError, OSError))\ndef report(orders):\n    return len(orders)",
        "run = %szal_run",
    )

    flow = found.definition
    assert (flow.name, flow.version, flow.max_parallel) == ("sales", 2, 4)
    assert [(step.name, step.kind, step.cell_id) for step in flow.steps] == [
        ("load", StepKind.CELL, "c2"),
        ("clean", StepKind.CELL, "c3"),
        ("report", StepKind.FUNCTION, "c4"),
    ]
    load, clean, report = flow.steps
    assert (load.source, load.raw, load.retry.retries) == (
        "\norders = read()",
        "%%szal_step load --retries 3\norders = read()",
        3,
    )
    assert clean.timeout_s == 60.0
    assert (report.after, report.out, report.retry.retry_on) == (("clean",), ("total",), ("ValueError", "OSError"))
    assert found.is_run


def test_ipython_syntax_in_a_step_becomes_python():
    (step,) = flow_of("%%szal_step load\nfiles = !ls\n%timeit 1 + 1").definition.steps

    assert step.source == "\nfiles = get_ipython().getoutput('ls')\nget_ipython().run_line_magic('timeit', '1 + 1')\n"


def test_the_decorator_is_known_under_every_name_it_can_have():
    whole = flow_of("import szal_nb", "@szal_nb.step\ndef a():\n    return 1")
    alone = flow_of("from szal_nb import step as cell", "if True:\n    @cell\n    def a():\n        return 1")
    other = flow_of("import other as szal", "@szal.step\ndef a():\n    return 1")

    assert [len(found.definition.steps) for found in (whole, alone, other)] == [1, 1, 0]


BINDINGS = {
    "import": ("import pandas as pd, os.path", {"pd": "module", "os": "module"}),
    "from import": ("from pathlib import Path as P", {"P": "module"}),
    "import with a fallback": ("try:\n    import a\nexcept ImportError as e:\n    a = None", {"a": "module"}),
    "function": ("def f(x):\n    y = x\n    return y", {"f": "function"}),
    "async function": ("async def f():\n    pass", {"f": "function"}),
    "decorated function": ("@cache\ndef f():\n    pass", {"f": "callable"}),
    "lambda": ("f = lambda x: (y := x)", {"f": "callable"}),
    "alias of a function": ("def f(): pass\ng = f", {"f": "function", "g": "callable"}),
    "class": ("class A:\n    b = 1", {"A": "class"}),
    "assignments": ("a = b = 1\n(c, *d), e = x\nf: int = 1\ng += 1", dict.fromkeys("abcdefg", "data")),
    "only declared": ("a: int", {}),
    "attributes and items": ("a.b = 1\na[0] = 2", {}),
    "deleted": ("a = 1\nb = 2\ndel a", {"b": "data"}),
    "loops and with": ("for i, j in x: pass\nwith x as y: pass", {"i": "data", "j": "data", "y": "data"}),
    "comprehensions": ("[i for i in x]\n{(k := i): 1 for i in x}", {"k": "data"}),
    "walrus": ("if (n := 1): pass", {"n": "data"}),
    "match": ("match x:\n    case [a, *b]: pass\n    case {'k': c, **d}: pass\n    case int() as e: pass", dict.fromkeys("abcde", "data")),
    "except": ("try: pass\nexcept E as e: pass", {}),
    "global in a function": ("def f():\n    global g\n    g = 1", {"f": "function", "g": "data"}),
    "top-level await": ("x = await f()\nasync for y in x: pass", {"x": "data", "y": "data"}),
    "IPython": ("files = !ls\n%matplotlib inline", {"files": "data"}),
    "timed cell": ("%%time\nx = 1", {"x": "data"}),
    "captured cell": ("%%capture out\nx = 1", {"out": "data", "x": "data"}),
    "other language": ("%%bash\nx=1", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", BINDINGS)
def test_what_a_cell_binds_outside_of_steps(name):
    source, bound = BINDINGS[name]

    assert {name: known.kind for name, known in flow_of(source).surroundings.names.items()} == bound


def test_functions_and_imports_keep_the_text_that_made_them():
    names = flow_of("import numpy as np\nif True:\n    def double(x):\n        return x * 2").surroundings.names

    assert names["np"].statement == "import numpy as np"
    assert names["double"].source == "def double(x):\n    return x * 2"


def test_a_notebook_that_never_runs_its_steps_is_told_apart():
    step = "%%szal_step a\nx = 1"

    assert needs_run_cell(parse_notebook(notebook(step)))
    assert not needs_run_cell(parse_notebook(notebook(step, "run = %szal_run\nawait run")))
    assert not needs_run_cell(parse_notebook(notebook("x = 1")))


def test_markdown_raw_and_empty_cells_define_nothing():
    cells = [
        {"cell_type": kind, "id": kind, "metadata": {}, "source": ["%%szal_step a\n", "x = 1"]}
        for kind in ("markdown", "raw")
    ]

    assert read_flow(parse_notebook(notebook(*cells, "  \n"))).definition.steps == ()


def test_of_several_flows_one_must_be_named():
    cells = ("%szal_flow a", "%%szal_step x\n1", "%szal_flow b", "%%szal_step y\n2")
    with pytest.raises(InvalidFlow, match="has several flows: a, b"):
        flow_of(*cells)
    with pytest.raises(InvalidFlow, match="has no flow 'c'"):
        read_flow(parse_notebook(notebook(*cells)), name="c")

    assert [step.name for step in read_flow(parse_notebook(notebook(*cells)), name="b").definition.steps] == ["y"]


REFUSED = {
    "a step that is not Python": (
        ["%%szal_step a\nx = 1\ny = (", "x"],
        "Step 'a': cell 1 (id c1), line 3 is not valid Python: '(' was never closed.",
    ),
    "a cell that is not Python": (
        ["x = 1", "y = = 1"],
        "the notebook: cell 2 (id c2), line 1 is not valid Python: invalid syntax.",
    ),
    "two steps of one name": (
        ["%%szal_step a\n1", "#| step: a\n2"],
        "Step 'a': a step of this name is also defined by cell 1 (id c1). Rename one of them.",
    ),
    "an unknown flag": (
        ["%%szal_step a --retrys 3\n1"],
        "%%szal_step: There is no flag --retrys. Did you mean --retries?",
    ),
    "a computed option": (
        ["import szal_nb as szal\n@szal.step(retries=N)\ndef a(): pass"],
        "Step 'a': retries=N cannot be known without running the notebook. Write it as a literal.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_names_the_cell_the_line_and_the_step(name):
    cells, message = REFUSED[name]

    with pytest.raises(DefinitionError) as caught:
        flow_of(*cells)

    assert str(caught.value) == message
    assert "cell" in f"{caught.value} {getattr(caught.value, '__notes__', '')}"


def undone_by(*cells):
    return {step.name: step.rollback for step in flow_of(*cells).definition.steps if step.rollback is not None}


def test_what_undoes_a_step_is_found_in_each_spelling():
    found = undone_by(
        code("%%szal_rollback load --timeout 5s\n\nprint(x)", "undo-load"),
        "%%szal_step load\nx = 1",
        "#| rollback: save --retries 2\n!true",
        "%%szal_step save\ny = x",
        "import szal_nb as szal\ndef refund(paid):\n    print(paid)",
        "@szal.step(rollback=refund)\ndef paid(x):\n    return x",
        "@szal.step(rollback=lambda sent: print(sent))\ndef sent(x):\n    return x",
        "@szal.step(rollback=None)\ndef last(x):\n    return x",
    )

    assert found == {
        "load": Compensation(
            source="\n\nprint(x)",
            raw="%%szal_rollback load --timeout 5s\n\nprint(x)",
            cell_id="undo-load",
            timeout_s=5.0,
        ),
        "save": Compensation(
            source="\nget_ipython().system('true')\n",
            raw="#| rollback: save --retries 2\n!true",
            cell_id=found["save"].cell_id,
            retry=RetryPolicy(retries=2),
        ),
        "paid": Compensation(kind=StepKind.FUNCTION, source="def refund(paid):\n    print(paid)\n"),
        "sent": Compensation(kind=StepKind.FUNCTION, source="def step(sent): ..."),
    }


def test_what_a_rollback_cell_binds_is_no_name_of_the_notebook():
    found = flow_of("%%szal_step load\nx = 1", "%%szal_rollback load\nimport os\nhidden = x")

    assert not {"os", "hidden"} & found.surroundings.names.keys()


ROLLBACKS_REFUSED = {
    "of no step": (
        ["%%szal_step load\nx = 1", code("%%szal_rollback laod\nx", "undo")],
        "Step 'laod': cell 2 (id undo) is its rollback, but there is no such step. Did you mean load?",
    ),
    "twice": (
        ["%%szal_step a\nx = 1", code("%%szal_rollback a\nx", "u1"), code("#| rollback: a\nx", "u2")],
        "Step 'a': cell 3 (id u2) is its rollback, but it is undone by cell 2 (id u1) already. Remove one of the two.",
    ),
    "beside one of its own": (
        [
            "from szal_nb import step\ndef undo(): ...\n@step(rollback=undo)\ndef a(): ...",
            code("%%szal_rollback a\nx", "u"),
        ],
        "Step 'a': cell 2 (id u) is its rollback, but it is undone by its rollback= already. Remove one of the two.",
    ),
    "no Python": (
        ["%%szal_step a\nx = 1", code("%%szal_rollback a\n\nx = = 1", "u")],
        "Step 'a': cell 2 (id u), line 3 is not valid Python: invalid syntax.",
    ),
    "an unknown flag": (
        ["%%szal_step a\nx = 1", code("%%szal_rollback a --retrys 3\nx", "u")],
        "%%szal_rollback: There is no flag --retrys. Did you mean --retries?",
    ),
    "no function": (
        ["from szal_nb import step\n@step(rollback=3)\ndef a(): ..."],
        "Step 'a': rollback=3 is no function. Name a function that is defined above.",
    ),
}


@pytest.mark.parametrize("name", ROLLBACKS_REFUSED)
def test_a_rollback_is_refused(name):
    cells, message = ROLLBACKS_REFUSED[name]

    with pytest.raises(DefinitionError) as caught:
        flow_of(*cells)

    assert str(caught.value) == message


def test_a_cell_that_is_meant_to_fail_is_left_to_the_kernel():
    found = flow_of(code("y = = 1", "bad", ["raises-exception"]), "%%szal_step a\nx = 1")

    assert [step.name for step in found.definition.steps] == ["a"]
    with pytest.raises(InvalidStep):
        flow_of("%%szal_step a\nx = 1", code("%%szal_step a\nx = 2", "bad"))


NO_NOTEBOOKS = {
    "empty": ("", "The file is empty."),
    "broken": ('{"cells": [', "This is not valid JSON"),
    "merge": ('{\n<<<<<<< HEAD\n "cells": []\n=======\n>>>>>>> x\n}', "markers of an unfinished merge"),
    "list": ("[]", "not a notebook: it names no `nbformat`"),
    "other json": ('{"a": 1}', "not a notebook: it names no `nbformat`"),
    "old": ('{"nbformat": 3, "worksheets": []}', "the old format 3; format 4 is needed. Convert it: jupyter nbconvert"),
    "new": ('{"nbformat": 5, "cells": []}', "format 5, which is newer than this program"),
    "no cells": ('{"nbformat": 4}', "damaged: it has no list of cells"),
    "odd metadata": ('{"nbformat": 4, "metadata": 5, "cells": []}', "damaged: its metadata is no mapping"),
    "odd cell": ('{"nbformat": 4, "cells": [1]}', "damaged: cell 1 has no type"),
    "odd source": (
        '{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}',
        "the source of cell 1 is not text",
    ),
    "deep": ('{"nbformat": 4, "cells": ' + "[" * 100_000, "nested too deeply"),
    "R": (notebook(kernelspec={"name": "ir", "language": "R"}), "written in R; only Python notebooks can be run"),
}


@pytest.mark.parametrize("name", NO_NOTEBOOKS)
def test_a_file_that_is_no_notebook_is_refused_with_the_reason(name, tmp_path):
    text, message = NO_NOTEBOOKS[name]
    (tmp_path / "nb.ipynb").write_text(text)

    with pytest.raises(InvalidNotebook) as caught:
        read_notebook(tmp_path / "nb.ipynb")

    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "nb.ipynb"))


def test_a_missing_file_names_the_nearest_notebook(tmp_path):
    (tmp_path / "sales.ipynb").write_text(notebook())

    with pytest.raises(InvalidNotebook, match=r"There is no such file\. Did you mean .*sales\.ipynb\?"):
        read_notebook(tmp_path / "slaes.ipynb")
    with pytest.raises(InvalidNotebook, match="This is a directory"):
        read_notebook(tmp_path)
    (tmp_path / "latin.ipynb").write_bytes(b"\xff\xfe{")
    with pytest.raises(InvalidNotebook, match="not text in UTF-8"):
        read_notebook(tmp_path / "latin.ipynb")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_notebook_whose_path_is_no_text_is_refused(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "nb.ipynb").write_text('{"nbformat": 4, "cells": []}')

    with pytest.raises(InvalidNotebook, match="The name of the file, or of a folder above it, is not UTF-8: rename it"):
        read_notebook(folder / "nb.ipynb")
