"""A class or function that is looked at while another thread adds to it: `copyreg` does it when one is first copied."""

from __future__ import annotations

import functools
import sys

import pytest

from szal_nb.engine import keeping
from szal_nb.engine.code_globals import globals_of
from szal_nb.engine.digest import digest
from szal_nb.engine.memory import Memory
from szal_nb.model.kept import attributes_state
from szal_nb.store.class_code import code_of_class

NOTEBOOK = """
class Box:
    size = 3
    def __init__(self):
        self.item = [1]
    def first(self):
        return config
    @property
    def last(self):
        return config
@functools.lru_cache
def area(n):
    return n
area.unit = "cm"
"""


@pytest.fixture
def names():
    names = {"__name__": "__main__", "functools": functools}
    exec(NOTEBOOK, names)
    return names


def between_instructions(change, look):
    """What `look` gives if `change` happens between any two instructions of it."""

    def trace(frame, event, arg):
        frame.f_trace_opcodes = True
        if event == "opcode":
            change()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return look()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda names: [*globals_of(names["Box"], {"config"})], id="globals"),
        pytest.param(lambda names: digest(names["Box"]()), id="instance"),
        pytest.param(lambda names: keeping.kept_by(names["Box"], attributes_state("Box")), id="kept by a class"),
        pytest.param(lambda names: keeping.kept_by(names["area"], attributes_state("area")), id="kept by a function"),
        pytest.param(lambda names: Memory(names["Box"]), id="caches"),
        pytest.param(lambda names: code_of_class(names["Box"]), id="code"),
    ],
)
def test_what_another_thread_adds_to_meanwhile_can_be_looked_at(names, look):
    owners = [names["Box"], names["area"]]
    times = 0

    def change():
        nonlocal times
        times += 1
        for owner in owners:
            if times % 2:
                owner.added = times
            else:
                del owner.added

    between_instructions(change, lambda: look(names))

    assert times > 20
