"""Names of the notebook are something else where a look at each of them would say so, and only those are looked at."""

from __future__ import annotations

import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.analysis.surroundings import NotebookName
from szal_nb.notebook.live_names import LiveNames
from szal_nb.notebook.own_names import ABSENT, OwnNames
from szal_nb.notebook.watched import Watched


class Book:
    """A namespace, what runs gave, and what the text of cells says."""

    def __init__(self):
        self.namespace, self.read, self.functions, self.hidden = {}, {}, {}, {}
        self.own = OwnNames(self.namespace)
        self.watched = Watched(self.names, self.sources)
        self.seen = {}

    def names(self):
        return LiveNames(self.own.of("f"), {**self.hidden, **self.functions}, self.read)

    def sources(self):
        return self.namespace, self.own.given, self.read, self.functions, self.hidden

    def look(self, *names):
        for name in names:
            self.seen[name] = self.watched.look(name)

    def changed(self):
        found = sorted(self.watched.changed(self.seen))
        self.look(*found)
        return found


def function():
    return missing  # noqa: F821 - a name of the notebook


VALUES = [1, 2.5, [1], None, function, types, iter([1]), int, ABSENT]
DONE = st.lists(
    st.tuples(
        st.sampled_from(["bind", "give", "give to another", "read", "hide", "execute", "look", "pop"]),
        st.sampled_from("abcd"),
        st.sampled_from(VALUES),
    ),
    max_size=30,
)


def do(book, what, name, value):
    match what:
        case "bind":
            book.namespace[name] = 0 if value is ABSENT else value
        case "pop":
            book.namespace.pop(name, None)
        case "give":
            book.own.bind("f", name, value)
        case "give to another":
            book.own.bind("g", name, value)
        case "read":
            book.read = {**book.read, name: NotebookName("function" if callable(value) else "data", source=repr(name))}
        case "hide":
            book.functions[name] = value
        case "execute":
            book.own.executed([name])
        case "look":
            book.look(name)


@given(DONE)
def test_what_has_changed_is_what_a_look_at_each_name_says(done):
    book = Book()
    for what, name, value in done:
        before = dict(book.seen)
        do(book, what, name, value)
        now = book.names()
        looked = {name for name in book.seen if name not in before}
        expected = sorted(name for name, one in before.items() if now.get(name) != one and name not in looked)
        assert [name for name in book.changed() if name in before] == expected
        assert book.seen == {name: now.get(name) for name in book.seen}


def test_a_method_that_a_class_of_the_notebook_gets_later_is_seen():
    book = Book()
    kind = type("Box", (), {"__module__": "__main__"})
    book.namespace["box"] = kind()
    book.look("box")

    kind.read = types.FunctionType((lambda: data).__code__, {"__name__": "__main__"})  # noqa: F821 - as above

    assert book.changed() == ["box"]
    assert book.seen["box"].reads == ("data",)


@pytest.mark.parametrize("names", [10, 1000])
def test_names_that_stay_are_not_looked_at(names, monkeypatch):
    book, looks = Book(), []
    book.namespace.update((f"n{number}", [number]) for number in range(names))
    book.look(*book.namespace, *(f"absent{number}" for number in range(names)))
    monkeypatch.setattr(LiveNames, "get", lambda _, name: looks.append(name))

    book.namespace["n3"] = [0]
    book.namespace["absent4"] = [0]
    book.namespace["never_asked_for"] = [0]
    book.watched.changed(book.seen)

    assert sorted(looks) == ["absent4", "n3"]
