"""Parameters: what a parameters cell declares, and which values from outside fit it."""

import datetime as dt
import json
from pathlib import Path

import pytest

from szal_nb.errors import InvalidParameter
from szal_nb.notebook.document import Notebook, parse_notebook
from szal_nb.notebook.parameters import (
    Parameter,
    give,
    injected_source,
    parameters_schema,
    read_parameters,
    read_values,
    retype,
)


def notebook_with(cell: str) -> Notebook:
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Title"},
            {"cell_type": "code", "id": "b", "metadata": {"tags": ["parameters"]}, "source": cell, "outputs": []},
        ],
    }
    return parse_notebook(json.dumps(content))


CELL = """\
region: str = "EU"     # which market
rows: int = 10_000
flag = True
ratio = 0.5  # share # of rows
names = ["a", "b"]
since: dt.date = dt.date(2026, 1, 1)
where: "Path | None" = None
mode: Literal["fast", "full"] = "fast"
limits: dict[str, int] = {"a": 1}
amount = 3  # type: float  # in euros
anything = None
"""


def test_a_parameters_cell_is_read_with_types_defaults_and_help():
    found = [(p.name, str(p.type), p.default, p.help) for p in read_parameters(notebook_with(CELL))]

    assert found == [
        ("region", "text", "'EU'", "which market"),
        ("rows", "a whole number", "10000", ""),
        ("flag", "true or false", "True", ""),
        ("ratio", "a number", "0.5", "share # of rows"),
        ("names", "a list", "['a', 'b']", ""),
        ("since", "a date", "dt.date(2026, 1, 1)", ""),
        ("where", "a path or none", "None", ""),
        ("mode", "one of 'fast', 'full'", "'fast'", ""),
        ("limits", "a dictionary", "{'a': 1}", ""),
        ("amount", "a number", "3", "in euros"),
        ("anything", "any value", "None", ""),
    ]


FITTING = [
    ("region", "7", "7"),
    ("region", "", ""),
    ("rows", "10_000", 10_000),
    ("rows", "-5", -5),
    ("rows", "0x10", 16),
    ("flag", "false", False),
    ("flag", "TRUE", True),
    ("flag", "no", False),
    ("flag", "1", True),
    ("ratio", "2", 2.0),
    ("ratio", "1e-3", 0.001),
    ("ratio", "inf", float("inf")),
    ("names", '["x", "y"]', ["x", "y"]),
    ("names", "[x, y]", ["x", "y"]),
    ("since", "2026-11-21", dt.date(2026, 11, 21)),
    ("where", "data/in.csv", Path("data/in.csv")),
    ("where", "none", None),
    ("mode", "full", "full"),
    ("limits", '{"b": 2}', {"b": 2}),
    ("limits", "b: 2", {"b": 2}),
    ("amount", "4", 4.0),
    ("anything", "4", 4),
    ("anything", "4.5", 4.5),
    ("anything", "None", None),
    ("anything", "true", True),
    ("anything", "plain", "plain"),
    ("anything", "[1, 2]", [1, 2]),
]


@pytest.mark.parametrize(("name", "text", "value"), FITTING, ids=[f"{name}={text}" for name, text, _ in FITTING])
def test_a_text_becomes_a_value_of_the_declared_type(name, text, value):
    found = give(notebook_with(CELL), texts=[(name, text)]).values[name]

    assert (type(found), found) == (type(value), value)


MISFITS = [
    ("rows", "ten", "Parameter 'rows' (declared as int): 'ten' is not a whole number."),
    ("rows", "1.5", "Parameter 'rows' (declared as int): '1.5' is not a whole number."),
    ("rows", "", "Parameter 'rows' (declared as int): '' is not a whole number."),
    ("flag", "maybe", "Parameter 'flag': 'maybe' is not true or false."),
    ("ratio", "half", "Parameter 'ratio': 'half' is not a number."),
    ("names", "x", "Parameter 'names': 'x' is not a list; write it as JSON or YAML, such as '[1, 2]'."),
    ("names", '{"a": 1}', "Parameter 'names': {'a': 1} is not a list."),
    ("since", "21.11.2026", "Parameter 'since' (declared as dt.date): '21.11.2026' is not a date; write it as 2026-11-21."),
    ("mode", "fsat", "Parameter 'mode' (declared as Literal['fast', 'full']): 'fsat' is not one of 'fast', 'full'. Did you mean fast?"),
    ("limits", '{"b": "x"}', "Parameter 'limits' (declared as dict[str, int]): 'x' is not a whole number."),
    ("region_", "EU", "the notebook has no parameter 'region_'. Did you mean 'region'?"),
    ("zzz", "1", "the notebook has no parameter 'zzz'. It has region, rows, flag, ratio, names, since, where, mode, limits, amount, anything."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), MISFITS, ids=[f"{name}={text}" for name, text, _ in MISFITS])
def test_what_does_not_fit_is_refused_with_the_nearest_that_does(name, text, message):
    with pytest.raises(InvalidParameter) as caught:
        give(notebook_with(CELL), texts=[(name, text)])

    assert str(caught.value) == message


def test_values_of_a_file_are_held_to_the_types_too():
    notebook = notebook_with(CELL)

    assert give(notebook, values=read_values("since: 2026-02-03\nratio: 1\nregion: 2026-02-03", origin="f")).values == {
        "since": dt.date(2026, 2, 3),
        "ratio": 1.0,
        "region": "2026-02-03",
    }
    with pytest.raises(InvalidParameter, match="'5' is not a whole number"):
        give(notebook, values={"rows": "5"})
    with pytest.raises(InvalidParameter, match="True is not a whole number"):
        give(notebook, values={"rows": True})
    with pytest.raises(InvalidParameter, match="must be a mapping"):
        read_values("- 1\n- 2", origin="f.yaml")


def test_the_command_line_wins_over_files():
    given = give(notebook_with(CELL), values={"rows": 1, "region": "A"}, texts=[("rows", "2")], raw=[("region", "3")])

    assert given.values == {"rows": 2, "region": "3"}


def test_a_notebook_without_parameters_takes_none():
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}

    with pytest.raises(InvalidParameter, match="has no parameters. Tag a cell with `parameters`"):
        give(parse_notebook(json.dumps(content)), texts=[("x", "1")])


def test_a_parameter_without_a_default_must_be_given():
    notebook = notebook_with("rows: int\nname: str = 'x'")

    with pytest.raises(InvalidParameter, match="'rows' has no default and needs a value: -p rows VALUE"):
        give(notebook)
    assert give(notebook, texts=[("rows", "1")]).values == {"rows": 1}


def test_a_secret_goes_by_environment_and_is_never_shown():
    notebook = notebook_with("token: szal.Secret")

    given = give(notebook, environment={"TOKEN": "hunter2hunter2"})

    assert given.values == {}
    assert given.environment == {"SZAL_SECRET_TOKEN": "hunter2hunter2"}
    assert injected_source(notebook, given) == '# Parameters\ntoken = szal.secret("SZAL_SECRET_TOKEN")\n'
    with pytest.raises(InvalidParameter, match="The secret 'token' is not set") as caught:
        give(notebook)
    assert "hunter2" not in str(caught.value)


def test_the_injected_cell_gives_exactly_these_values():
    notebook = notebook_with("import datetime as dt\nfrom pathlib import Path\n" + CELL)
    given = give(notebook, texts=[(name, text) for name, text, _ in FITTING], raw=[("region", 'quo"te\n\u2028\\ ☃')])

    bound = {"dt": dt, "Path": Path}
    exec(injected_source(notebook, given), bound)

    assert {name: bound[name] for name in given.values} == given.values


def test_what_papermill_guessed_is_put_right():
    values = {"flag": "false", "rows": 5, "region": 7, "ratio": 1, "since": "2026-01-02"}

    assert retype(notebook_with(CELL), values).values == {
        "flag": False,
        "rows": 5,
        "region": "7",
        "ratio": 1.0,
        "since": dt.date(2026, 1, 2),
    }


def test_the_schema_says_what_a_form_needs():
    schema = parameters_schema(read_parameters(notebook_with("rows: int  # how many\nmode: Literal['a', 'b'] = 'a'")))

    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "rows": {"type": "integer", "description": "how many"},
            "mode": {"enum": ["a", "b"], "default": "a"},
        },
        "required": ["rows"],
        "additionalProperties": False,
    }


def test_an_annotation_above_its_default_keeps_its_type():
    found = read_parameters(notebook_with("rate: float\nrate = 1"))

    assert [(p.name, p.annotation, p.default) for p in found] == [("rate", "float", "1")]
    assert isinstance(found[0], Parameter)
