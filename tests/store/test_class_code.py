"""The code of a notebook's class is part of what its instances are recorded as."""

from __future__ import annotations

import functools
import linecache

import msgspec
import pytest

from szal_nb.errors import ValueUnavailable
from szal_nb.store.class_code import code_of_class, is_other_code
from szal_nb.store.pickling import OtherClassError, Resolver, dump, load
from tests.store.scribe import new_run

TEXT = """\
class K:
    def __init__(self, n):
        self.n = n

    def area(self):
        return self.n * 2
"""
CHANGES = {
    "a method": TEXT.replace("* 2", "* 3"),
    "one more method": TEXT + "\n    def more(self):\n        return 1\n",
    "a property": TEXT.replace("    def area", "    @property\n    def area"),
    "a default": TEXT.replace("(self, n)", "(self, n=1)"),
    "an inner function": TEXT.replace("return self.n * 2", "return (lambda: self.n * 2)()"),
    "a set of constants": TEXT.replace("self.n * 2", "self.n in {'a', 'b'}"),
}
SAME = {
    "a comment": TEXT.replace("        return", "        # why\n        return"),
    "layout": TEXT.replace("self.n * 2", "self.n*2"),
    "more above it": f"x = 1\n\n\n{TEXT}",
}


def defined(text, *, filename="<unknown>"):
    space = {"__name__": "__main__"}
    exec(compile(text, filename, "exec"), space)
    return space["K"]


def typed(text, filename):
    """As a kernel does it: the text of the cell is known."""
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    return defined(text, filename=filename)


@pytest.mark.parametrize("text", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_code_changes_what_is_recorded_of_an_instance(text):
    for one, other in (
        (defined(TEXT), defined(text)),
        (typed(TEXT, "<cell one>"), typed(text, "<cell two>")),
    ):
        assert is_other_code(code_of_class(one), code_of_class(other))
        assert dump(one(1)) != dump(other(1))


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_comments_and_layout_do_not_count(text):
    assert code_of_class(typed(TEXT, "<cell one>")) == code_of_class(typed(text, "<cell two>"))
    assert dump(defined(TEXT)(1)) == dump(defined(TEXT)(1))


def test_what_is_no_method_counts_where_the_text_is_known_and_what_a_run_made_of_it_does_not():
    one, other = (typed(f"class K:\n    by = {by}\n    def area(self): ...\n", f"<cell {by}>") for by in (2, 3))
    before = code_of_class(one)
    one.by = 5

    assert is_other_code(code_of_class(one), code_of_class(other))
    assert code_of_class(one) == before


def test_a_base_of_the_notebook_counts_too():
    text = "class B:\n    def area(self):\n        return {by}\nclass K(B):\n    def more(self): ...\n"

    assert is_other_code(*(code_of_class(defined(text.format(by=by))) for by in (1, 2)))


def test_methods_are_found_in_whatever_wraps_them():
    def wrapped(by):
        space = {"__name__": "__main__", "functools": functools}
        text = (
            "class K:\n    @classmethod\n    def a(cls): return 1\n    @staticmethod\n    def b(): return 2\n"
            f"    @functools.cached_property\n    def c(self): return {by}\n    @functools.lru_cache\n    def d(self): return 4\n"
        )
        exec(text, space)
        return space["K"]

    assert is_other_code(code_of_class(wrapped(3)), code_of_class(wrapped(5)))


def test_a_class_without_code_of_its_own_and_one_of_another_kind_cannot_be_compared():
    assert code_of_class(defined("class K:\n    n = 1\n")) == ""
    assert not is_other_code(code_of_class(defined(TEXT)), code_of_class(typed(TEXT, "<cell one>")))


def test_a_step_does_not_read_an_instance_of_a_class_that_has_changed_and_who_looks_at_it_does():
    data, now = dump(defined(TEXT)(7)), defined(CHANGES["a method"])

    assert load(data, Resolver(lambda _: now)).area() == 21
    with pytest.raises(OtherClassError, match="class K is not what it was"):
        load(data, Resolver(lambda _: now, is_strict=True))


def test_the_reason_says_what_to_do(store):
    kind, other = defined(TEXT), defined(CHANGES["a method"])
    journal = store.begin(new_run("f" * 12))
    (ref,) = journal.keep("load", 1, {"k": kind(1)}, ("k",))
    journal.loader.resolve_class = lambda _: other

    with pytest.raises(ValueUnavailable, match="Undo the change, let the steps run again that make it, or begin"):
        journal.load(msgspec.structs.replace(ref, identity=None))
