"""The analysis of any Python against what Python itself says of it: `symtable`, and running it."""

from __future__ import annotations

import contextlib
import symtable
import sysconfig
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.surface import ALWAYS_THERE

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
# Files with every construct of the language, and some ordinary ones.
FILES = [
    "ast.py", "asyncio/taskgroups.py", "contextlib.py", "dataclasses.py", "dis.py", "enum.py", "functools.py", "heapq.py",
    "inspect.py", "json/decoder.py", "pathlib.py", "pickle.py", "random.py", "statistics.py", "subprocess.py",
    "tokenize.py", "turtle.py", "typing.py", "unittest/mock.py", "zipfile.py",
]  # fmt: skip


def _tables(table):
    yield table
    for child in table.get_children():
        yield from _tables(child)


@pytest.mark.parametrize("name", [name for name in FILES if (LIBRARY / name).exists()])
def test_the_reads_of_a_module_are_those_that_python_sees(name):
    source = (LIBRARY / name).read_text(encoding="utf-8")
    top = symtable.symtable(source, name, "exec")
    names = analyze_cell(source)
    found = {read.name for read in (*names.reads, *names.builtins)}
    must = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_referenced() and not symbol.is_assigned() and not symbol.is_imported()
    }
    may = {
        symbol.get_name()
        for table in _tables(top)
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or table is top)
    }
    assert must - ALWAYS_THERE <= found <= may


@pytest.mark.parametrize("name", [name for name in FILES if (LIBRARY / name).exists()])
def test_the_names_that_a_module_gives_are_those_that_python_sees(name):
    source = (LIBRARY / name).read_text(encoding="utf-8")
    top = symtable.symtable(source, name, "exec")
    names = analyze_cell(source)
    found = {*names.given_names, *names.private, *(one.name for one in names.imports)}
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    declared = {
        symbol.get_name()
        for table in _tables(top)
        for symbol in table.get_symbols()
        if symbol.is_declared_global() and symbol.is_assigned()
    }
    assert found <= bound | declared


OUTSIDE = ["p", "q", "r", "s"]
INSIDE = ["x", "y", "z"]

_names = st.sampled_from([*OUTSIDE, *INSIDE])
_targets = st.sampled_from([*INSIDE, "p"])
_simple = st.one_of(
    st.builds("{} = {}".format, _targets, _names),
    st.builds("{} = [{} for p in {} if p]".format, _targets, st.sampled_from(["p", "q", "x"]), _names),
    st.builds("{}, {} = {}, {}".format, _targets, _targets, _names, _names),
    st.builds("{}, *{} = {}".format, _targets, _targets, _names),
    st.builds("{} = (lambda a, b={}: [a, b])(1)".format, _targets, _names),
    st.builds("{} = f'{{{}!r}}'".format, _targets, _names),
    st.builds("del {}".format, _targets),
    st.builds("{}: list = {}".format, _targets, _names),
    st.builds("import os as {}".format, st.sampled_from(["y", "z"])),
    st.builds("{} = {} if {} else {}".format, _targets, _names, _names, _names),
    st.builds("({} := {}) and {}".format, _targets, _names, _names),
    st.builds("class K:\n    x = {}\n    {} = x".format, _names, _targets),
    st.builds("assert True or {}".format, _names),
)


def _indented(block):
    return "\n".join("    " + line for line in "\n".join(block).splitlines())


def _blocks(inner):
    block = st.lists(inner, min_size=1, max_size=2).map(_indented)
    return st.one_of(
        st.builds("if {}:\n{}\nelse:\n{}".format, _names, block, block),
        st.builds("if {}:\n{}".format, _names, block),
        st.builds("for {} in {}:\n{}".format, _targets, _names, block),
        st.builds("for {} in {}:\n{}\n    break\nelse:\n{}".format, _targets, _names, block, block),
        st.builds("while {}:\n{}\n    break".format, _names, block),
        st.builds("try:\n{}\nexcept Exception as {}:\n{}".format, block, _targets, block),
        st.builds("try:\n{}\n    raise ValueError\nexcept ValueError:\n{}\nfinally:\n{}".format, block, block, block),
        st.builds("with open('/dev/null') as {}:\n{}".format, _targets, block),
        st.builds("match {}:\n    case [{}, *_]:\n    {}\n    case _:\n    {}".format, _names, _targets,
                  block.map(lambda text: text.replace("\n", "\n    ")), block.map(lambda text: text.replace("\n", "\n    "))),
    )  # fmt: skip


_programs = st.lists(st.recursive(_simple, _blocks, max_leaves=6), min_size=1, max_size=6).map("\n".join)


class _Watched(dict):
    """A namespace that notes which outside names are looked up, and which names are bound or deleted."""

    def __init__(self, outside):
        super().__init__()
        self.outside = outside
        self.taken = set()
        self.deleted = set()

    def __getitem__(self, name):
        if name in self:
            return super().__getitem__(name)
        if name in self.outside and name not in self.deleted:
            self.taken.add(name)
            return self.outside[name]
        raise KeyError(name)

    def __setitem__(self, name, value):
        self.deleted.discard(name)
        super().__setitem__(name, value)

    def __delitem__(self, name):
        if name in self:
            super().__delitem__(name)
        elif name in self.outside and name not in self.deleted:
            self.taken.add(name)
        else:
            raise KeyError(name)
        self.deleted.add(name)


@settings(max_examples=500, deadline=None)
@given(_programs, st.lists(st.booleans(), min_size=7, max_size=7))
def test_what_a_program_takes_and_leaves_is_what_the_analysis_says(program, flags):
    names = analyze_cell(program)
    watched = _Watched({
        name: [[1], [2]] if flag else [] for name, flag in zip([*OUTSIDE, *INSIDE], flags, strict=True)
    })  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(program, "program", "exec")
        is_complete = False
        with contextlib.suppress(Exception):
            exec(code, {}, watched)
            is_complete = True
    reads = {read.name for read in names.reads}
    # What only a `finally` on the way to the step's failure reads is no read: there is nobody to see it.
    if is_complete or "finally" not in program:
        assert watched.taken <= reads
    bound = set(watched) - {"K", "__annotations__"}
    imported = {one.name for one in names.imports}
    if is_complete:
        certain = {given.name for given in names.gives if not given.is_optional}
        assert certain - {"K"} <= bound <= set(names.given_names) | imported
        assert {read.name for read in names.deletes} <= watched.deleted


@settings(max_examples=200, deadline=None)
@given(_programs)
def test_the_analysis_of_a_program_is_the_same_each_time(program):
    assert analyze_cell.__wrapped__(program) == analyze_cell.__wrapped__(program)


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "+".join(["a"] * 900),
        "x = " + "[" * 80 + "a" + "]" * 80,
        "x = " + "-" * 90 + "a",
        "f" + "()" * 90,
        "x = a" + ".b" * 95,
        "\n".join("    " * n + f"for i{n} in x:" for n in range(19)) + "\n" + "    " * 19 + "y = i0",
        "\n".join("    " * n + "if x:" for n in range(90)) + "\n" + "    " * 90 + "y = 1",
    ],
)
def test_deep_code_is_analysed(source):
    names = analyze_cell(source)
    assert names.reads
    assert not names.dynamic


def test_code_too_deep_to_walk_is_ordered_with_all_steps():
    source = "x = " + "f(" * 95 + "a" + ")" * 95
    deep = "\n".join("    " * n + "if x:" for n in range(95)) + "\n" + "    " * 95 + source
    names = analyze_cell(deep)
    assert {"a", "f", "x"} <= set(names.read_names)
