"""What classes hold, and what functions of the notebook keep, may be values of steps, too: one object has one answer."""

from __future__ import annotations

import pytest

from szal_nb.api.launch import Surround
from szal_nb.engine.kept_parts import KeptParts
from szal_nb.engine.shared_values import SharedValues
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.drawn_notebooks import ON_CLASSES
from tests.promises.test_same_answer import check, find, store  # noqa: F401  a fixture

CONFIG = "class C:\n    items = []"
ADDING = f"{CONFIG}\n    def add(self, x):\n        self.items.append(x)"
CACHED = "import functools\n@functools.cache\ndef load():\n    return [1]"
LOCAL = "import functools\ndef make():\n    @functools.cache\n    def f(k):\n        return [k]\n    return f\nf = make()\na = f(1)"

# The class, or the function, is what a step gives.
OF_STEPS = {
    "a list of a class, changed by its name": [f"{CONFIG}\nxs = C.items", "xs.append(1)", "print(C.items)", "print(xs is C.items, xs)"],
    "a list of a class, changed through the class": [f"{CONFIG}\nxs = C.items", "C.items.append(1)", "print(xs)", "xs.append(2)", "print(C.items, xs is C.items)"],
    "a value put into a class": ["xs = [1]", "class C:\n    items = xs", "xs.append(2)", "print(C.items)", "C.items.append(3)", "print(xs, C.items is xs)"],
    "a value assigned to a class": [CONFIG, "xs = [1]\nC.items = xs", "xs.append(2)", "print(C.items)", "C.items.append(3)", "print(xs, xs is C.items)"],
    "two classes": ["xs = [1]\nclass A:\n    items = xs\nclass B:\n    other = xs", "A.items.append(2)", "print(B.other)", "B.other.append(3)", "print(A.items, A.items is B.other)"],
    "a class inside of a class": ["class A:\n    class In:\n        items = []\nxs = A.In.items", "A.In.items.append(1)", "print(xs)", "xs.append(2)", "print(A.In.items)"],
    "a list in a dict of a class": ["class C:\n    of = {'a': [1]}\na = C.of['a']", "C.of['a'].append(2)", "print(a)", "a.append(3)", "print(C.of)"],
    "an array": ["class M:\n    w = np.zeros(3)\nv = M.w[:2]", "v[0] = 1", "print(M.w)", "M.w[1] = 5", "print(v, M.w)"],
    "a class in a list": [f"{CONFIG}\nks = [C]\nxs = C.items", "ks[0].items.append(1)", "print(xs)", "xs.append(2)", "print(C.items, ks[0] is C)"],
    "another list for it": [f"{CONFIG}\nold = C.items", "C.items = [9]", "print(old)", "old.append(1)", "print(C.items, old)", "C.items.append(4)", "print(C.items, old)"],
    "by a function of another step": [f"{CONFIG}\nxs = C.items", "def add(k):\n    C.items.append(k)", "add(1)", "print(xs)", "add(2)", "print(xs, C.items is xs)"],
    "a pair of lists": ["class C:\n    pair = ([1], [2])\na, b = C.pair", "a.append(3)", "print(C.pair)", "C.pair[1].append(4)", "print(b, C.pair[1] is b)"],
    "three names for it": [f"{CONFIG}\nxs = C.items\nys = [xs]", "xs.append(1)", "C.items.append(2)", "ys[0].append(3)", "print(xs, C.items, ys, ys[0] is C.items)"],
    "a result of a cached function": [f"{CACHED}\nx = load()", "load().append(2)", "print(x)", "x.append(3)", "print(load(), load() is x)"],
    "a result of a cached function in a dict": [f"{CACHED}\nh = {{'x': load()}}", "h['x'].append(2)", "print(load())", "load().append(3)", "print(h, load() is h['x'])"],
    "a result of a function that was made and caches": [LOCAL, "a.append(2)", "print(f(1))", "f(1).append(3)", "print(a, a is f(1))"],
}  # fmt: skip
# What makes something of which all objects of a class have the same, and what changes it.
MADE = {
    "collections.deque([2])": "c.items.append(1)",
    "collections.defaultdict(list)": "c.items['a'] = [1]",
    "collections.Counter()": "c.items['a'] = 1",
    "list(range(2))": "c.items.append(1)",
    "[0] * 3": "c.items.append(1)",
    "bytearray(3)": "c.items[0] = 5",
    "np.zeros(2)": "c.items[0] = 5",
    "pd.DataFrame({'a': [1]})": "c.items['b'] = 1",
}
GROW = "def grow(o):\n    o.items.append(1)\n"
THROUGH_OBJECTS = {
    "of its step": [f"{CONFIG}\nc = C()", "c.items.append(1)", "print(c.items)", "c.items.append(2)", "print(c.items)"],
    "of another step": [CONFIG, "c = C()", "c.items.append(1)", "d = C()\nprint(d.items)", "print(c.items is d.items)"],
    "and as a value": [f"{CONFIG}\nc = C()\nxs = c.items", "xs.append(2)", "print(C.items, c.items)", "c.items.append(3)", "print(xs, xs is C.items)"],
}  # fmt: skip
# Nothing says who comes first, or that the class is changed at all.
NOT_SAID = {
    "by a helper that is given an object": [f"{CONFIG}\nc = C()", f"{GROW}grow(c)", "print(c.items)", "print(C.items)"],
    "by a helper that is given a list of objects": [f"{CONFIG}\nks = [C(), C()]", f"{GROW}grow(ks[0])", "print(ks[1].items, C.items)", "print(C.items)"],
    "a property": ["class C:\n    _xs = []\n    @property\n    def xs(self):\n        return self._xs\nc = C()\nxs = c.xs", "xs.append(1)", "print(c.xs)", "c.xs.append(2)", "print(xs, c.xs is xs)"],
}  # fmt: skip
NET = "class Net:\n    rate = 1\nnet = Net()"
# Its own code notes something in the class, whoever uses it.
NOTING = {
    "one object for all": ["class C:\n    it = None\n    def __new__(cls):\n        if cls.it is None:\n            cls.it = super().__new__(cls)\n        return cls.it", "print(C() is C())", "c = C()\nprint(c is C.it)"],
    "how many there are": ["class C:\n    count = 0\n    def __init__(self):\n        type(self).count += 1", "c = C()\nprint(C.count)", "d = C()\nprint(C.count)"],
    "a register of subclasses": ["class C:\n    kinds = []\n    def __init_subclass__(cls):\n        C.kinds.append(cls.__name__)", "class A(C):\n    pass\nprint(C.kinds)", "class B(C):\n    pass\nprint(C.kinds)"],
    "a default of a method": ["class C:\n    def go(self, acc=[]):\n        acc.append(1)\n        return acc", "xs = C().go()", "xs.append(5)", "print(C().go())"],
    "a table that is made when it is asked for": ["class C:\n    @classmethod\n    def table(cls):\n        if not hasattr(cls, 'kept'):\n            cls.kept = [1]\n        return cls.kept", "C.table().append(2)", "print(C.table())"],
}  # fmt: skip
# Bound in the class by no name of its own: what is not said is not recorded, in whichever order the steps are.
BOUND_UNSEEN = {
    "through the type of an instance": [NET, "type(net).rate = 5", "print(net.rate)", "print(hasattr(net, 'rate'))"],
    "through the class of an instance": [NET, "net.__class__.rate = 5", "print(net.rate)", "print(hasattr(net, 'rate'))"],
    "by setattr": [NET, "setattr(type(net), 'rate', 5)", "print(net.rate)", "print(hasattr(net, 'rate'))"],
    "a method": [NET, "type(net).go = lambda self: 3", "print(net.rate)", "print(hasattr(net, 'go'))"],
    "in a base": [NET, "class Own(Net):\n    pass\nown = Own()", "type(own).__mro__[1].rate = 5", "print(net.rate)"],
    "deleted": [NET, "del type(net).rate", "print(hasattr(net, 'rate'))"],
}  # fmt: skip
# The code shows it of the class that a step gives, and of the notebook's it does not.
BOUND_BY_ANOTHER_NAME = {
    "another name": [NET, "N = Net\nN.rate = 5", "print(net.rate)", "print(hasattr(net, 'rate'))"],
    "a loop": [NET, "for k in [Net]:\n    k.rate = 5", "print(net.rate)", "print(hasattr(net, 'rate'))"],
    "a list": [NET, "kinds = [Net]\nkinds[0].rate = 5", "print(net.rate)", "print(hasattr(net, 'rate'))"],
}  # fmt: skip
# Nothing but who made it says so; of the notebook's own classes that is enough.
BY_ITS_MAKER = {
    "through a base": [CONFIG, "class B(C):\n    pass\nxs = B.items", "C.items.append(2)", "print(B.items, xs)", "xs.append(3)", "print(C.items is B.items)"],
}  # fmt: skip
GO = "class C:\n    def go(self, acc=[]):\n        acc.append(1)\n        return acc"
TOTAL = "class C:\n    def go(self, *, acc={}):\n        acc[len(acc)] = 1\n        return acc\n    class In:\n        seen = []"
KEPT_INSIDE = {
    "a default of a method, called by two steps": [GO, "print(C().go())", "print(C().go())", "print(C().go())"],
    "and what it gave, as a value": [GO, "xs = C().go()", "print(xs)", "print(C().go(), xs)"],
    "and that is changed": [GO, "xs = C().go()", "xs.append(5)", "print(C().go(), xs)", "print(C().go() is xs)"],
    "a default by keyword": [TOTAL, "print(C().go())", "print(C().go())"],
    "how often a method was called": ["class C:\n    def go(self):\n        C.go.calls += 1\n        return C.go.calls\nC.go.calls = 0", "print(C().go())", "print(C().go())", "print(C().go())"],
    "a number of a class inside of a class": ["class C:\n    class In:\n        n = 0", "C.In.n += 1", "print(C.In.n)", "C.In.n += 1", "print(C.In.n)"],
    "a class inside of a class": [TOTAL, "C.In.seen.append(1)", "print(C.In.seen)", "C.In.seen = [3]", "print(C.In.seen)"],
}  # fmt: skip

WITH_SLOTS = "class P:\n    __slots__ = ('x', '__w')\n    def __init__(self, x):\n        self.x, self.__w = x, -x\n    def go(self):\n        return self.__w"
MISTYPED = "try:\n    p.y = 1\n    print(p.y)\nexcept AttributeError as error:\n    print(error)"
DATA_IN_SLOTS = "@dataclasses.dataclass(slots=True)\nclass P:\n    x: int\np = P(2)"
SLOTS = {
    "a name that is no slot": [WITH_SLOTS, "p = P(2)", MISTYPED, "print(p.x, p.go(), P(3).go(), P.x.__get__(p))"],
    "of a dataclass": [DATA_IN_SLOTS, MISTYPED, "p.x += 1\nprint(p)"],
    "in a class from it": [WITH_SLOTS, "class Q(P):\n    __slots__ = ('y',)\np = Q(2)", "p.y = 3", "print(p.x, p.y, p.go(), hasattr(p, '__dict__'))"],
    "and attributes in one": [WITH_SLOTS, "class Q(P):\n    pass\np = Q(2)", MISTYPED, "print(vars(p))"],
    "and what members of an enum have": ["import enum\nclass P(enum.Enum):\n    A = 1, 2\n    B = 1, 2\n    def __init__(self, x, w):\n        self.x = x\np = P.A", "print(p.x, P.B is p, P['B'])", "print(P.A.x, [*P], p is P.A)"],
    "and what of that may change": ["import enum\nclass P(enum.Enum):\n    A = 1, 2\n    def __init__(self, x, w):\n        self.x, self.seen = x, []\np = P.A", "p.seen.append(p.x)", "print(P.A.seen, p.x, p is P.A)"],
    "of a structure that is live": ["import msgspec\nclass P(msgspec.Struct):\n    x: int\np = P(2)", MISTYPED, "p.x = 5", "print(p, P(3).x, isinstance(p, P))"],
    "of a named tuple": ["import collections\nP = collections.namedtuple('P', 'x')\np = P(2)", MISTYPED],
}  # fmt: skip


@pytest.mark.parametrize("cells", SLOTS.values(), ids=SLOTS)
def test_a_class_of_a_step_has_its_slots_after_a_resume(cells, store):  # noqa: F811
    """A resumed run equals an uncut one."""
    assert {check(cells, seed, store) for seed in (0, 2, 4)} == {"same"}


@pytest.mark.parametrize("cells", OF_STEPS.values(), ids=OF_STEPS)
def test_what_a_class_of_a_step_holds_and_what_is_a_value_is_one_object(cells, store):  # noqa: F811
    """A resumed run equals an uncut one: two names for one object stay one object."""
    for seed in (0, 2, 4):
        assert check(cells, seed, store) == "same"


@pytest.mark.parametrize("cells", OF_STEPS.values(), ids=OF_STEPS)
def test_where_the_notebook_gives_both_nothing_silent_comes_of_it(cells, store):  # noqa: F811
    """What shows only at run time fails the run and names the steps and the flag to write."""
    for seed in (1, 3, 5):
        assert check(cells, seed, store) in ("same", "refused")


@pytest.mark.parametrize(("made", "change"), MADE.items(), ids=MADE)
@pytest.mark.parametrize("seed", [0, 1])
def test_so_it_is_whatever_the_class_has_for_all_of_its_objects(made, change, seed, store):  # noqa: F811
    cells = [f"import collections\nclass C:\n    items = {made}", "c = C()", change, "print(C.items)"]

    assert check(cells, seed, store) == "same"


MADE_BY_OWN = "def make():\n    return np.zeros(2)\nclass C:\n    items = make()"


@pytest.mark.parametrize("seed", [0, 1])
def test_what_the_text_does_not_tell_is_refused(seed, store):  # noqa: F811
    """On a difference fails the run, naming the steps that ran since and the flag."""
    assert check([MADE_BY_OWN, "c = C()", "c.items[0] = 1", "print(C.items)"], seed, store) == "refused"


@pytest.mark.parametrize("cells", THROUGH_OBJECTS.values(), ids=THROUGH_OBJECTS)
def test_so_it_is_if_it_is_changed_through_an_object(cells, store):  # noqa: F811
    for seed in (0, 2, 4):
        assert check(cells, seed, store) == "same"
    for seed in (1, 3, 5):
        assert check(cells, seed, store) in ("same", "refused")


@pytest.mark.parametrize("cells", NOT_SAID.values(), ids=NOT_SAID)
def test_a_change_of_a_class_that_no_step_says_is_refused(cells, store):  # noqa: F811
    """What shows only at run time fails the run and names the steps and the flag to write."""
    assert {check(cells, seed, store) for seed in range(6)} <= {"refused"}


def test_a_dataclass_of_a_step_is_the_same_after_a_resume(store):  # noqa: F811
    """A resumed run equals an uncut one."""
    cells = [
        "@dataclasses.dataclass\nclass D:\n    x: int = 1\n    tags: list = dataclasses.field(default_factory=list)\nd = D(2)",
        "e = D(3)",
        "e.tags.append(d)",
        "print(d, e, e.tags[0] is d, d == D(2))",
    ]
    for seed in range(4):
        assert check(cells, seed, store) == "same"


def test_a_step_that_changes_a_class_is_not_made_again_as_if_it_were_another_class(store):  # noqa: F811
    """What it gives lives in the process that died; the class would lose what is on record of it."""
    cells = [f"{CONFIG}\na = [1]", "later = iter([2])\nC.items = [3]", "xs = [list(later), a]\nC.items.append(0)"]

    assert check(cells, 0, store) == "refused"


def test_a_class_that_holds_what_is_made_again_is_made_again_with_it(store):  # noqa: F811
    """A resumed run equals an uncut one."""
    cells = [f"{CONFIG}\na = [1]", "later = iter(a)\nC.items = a", "xs = [list(later), a]\nC.items.append(0)"]

    assert check(cells, 0, store) == "same"


def test_drawn_notebooks_on_a_class_have_one_answer(store):  # noqa: F811
    """Running the flow in parallel gives what "Restart and run all" gives. Never a silently different result."""
    assert not find(store, cuts=True, statements=ON_CLASSES, programs=150)


def test_steps_that_only_look_at_a_class_do_not_take_it_from_each_other(store):  # noqa: F811
    """A resumed run equals an uncut one: what one of them has in its hands is not put back once more for another."""
    cells = [CONFIG, "c = C.items", "print(C.items)", "C.items.append(1)\nprint(c, c is C.items)"]
    for seed in range(1, 12, 2):
        assert check(cells, seed, store) == "same"


# A check that cannot go red proves nothing: each of these faults must be found.


def test_a_class_that_does_not_get_back_what_it_held_is_found(store, monkeypatch):  # noqa: F811
    monkeypatch.setattr(SharedValues, "put_into_class", lambda *_: None)

    with pytest.raises(AssertionError, match="cut_after"):
        check(OF_STEPS["a value put into a class"], 0, store)
    assert find(store, cuts=True, statements=ON_CLASSES)


def test_an_input_that_a_class_holds_and_nobody_looks_for_is_found(store, monkeypatch):  # noqa: F811
    monkeypatch.setattr(KeptParts, "look", lambda *_: None)

    with pytest.raises(AssertionError):
        check(OF_STEPS["a list of a class, changed by its name"], 1, store)


def test_a_change_through_an_object_that_nobody_compares_is_found(store, monkeypatch):  # noqa: F811
    monkeypatch.setattr(KeptParts, "leave", lambda *_: None)

    with pytest.raises(AssertionError, match="cut_after"):
        check([f"{CONFIG}\nc = C()", GROW + "grow(c)", "def look(o):\n    return o.items\nprint(look(c))"], 0, store)


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


def test_the_run_says_what_a_class_keeps_and_who_changes_it(record):
    run = CellFlow({"a": "xs.append(1)", "b": "n = len(C.items)"}, notebook=f"{CONFIG}\nxs = C.items").run(record)

    (text,) = {step.error.message for step in run.steps.values() if step.error is not None}
    assert "'xs' of the notebook" in text
    assert "What C keeps" in text
    assert "Step 'a' changes the one in place, step 'b' uses the other" in text


def test_with_an_order_it_is_one_object_after_a_resume_too(record):
    cells = {"a": "xs.append(1)", "b --after a": "n = len(C.items)", "c --after b": "m = len(xs), xs is C.items"}
    notebook = f"{CONFIG}\nxs = C.items"
    assert CellFlow(cells, notebook=notebook).run(record)["c"].value == (1, True)
    flow = CellFlow(cells, notebook=notebook)
    flow.fails = {"c"}
    cut = flow.run(record)
    flow = CellFlow(cells, notebook=notebook)

    (shared,) = (ref for ref in cut.snapshot.inputs if ref.name == "xs")
    assert shared.live == "it is a part of what C keeps"
    assert (shared.hash, shared.content) == (None, None)
    assert flow.resume(record, cut.id)["c"].value == (1, True)
    assert flow.deeds == ["a", "c"]


def test_a_change_through_an_object_names_the_class_and_the_flag(record):
    change = "getattr(c, 'it' + 'ems').append(1)"
    run = CellFlow({"a": change, "b --after a": "n = len(c.items)"}, notebook=f"{CONFIG}\nc = C()").run(record)

    assert "'C' is not any more what the notebook gave" in run["a"].error.message
    assert "--changes C" in run["a"].error.message


class Kernel(CellFlow):
    def _surround(self, record, _):
        return Surround(store=record, definitions=self.space)


def test_the_flag_is_heard(record):
    cells = {"a --changes C": "c.items.append(1)", "b": "n = len(C.items)"}
    flow = Kernel(cells, notebook=f"{CONFIG}\nc = C()")
    flow.fails = {"b"}
    cut = flow.run(record)
    flow = Kernel(cells, notebook=f"{CONFIG}\nc = C()")
    run = flow.resume(record, cut.id)

    assert (flow.deeds, run["b"].value) == (["b"], 1)


def test_a_method_that_says_what_it_adds_is_ordered(record):
    run = CellFlow({"a": "c.add(1)", "b": "n = len(c.items)", "c": "c.add(2)"}, notebook=f"{ADDING}\nc = C()").run(
        record
    )

    assert (run.state, run["b"].value) == ("completed", 1)


def test_classes_that_nobody_changes_cost_no_order(record):
    notebook = f"{CONFIG}\nxs = C.items\nys = [1]"
    run = CellFlow({"a": "n = len(xs)", "b": "m = len(C.items)", "c": "ys.append(2)"}, notebook=notebook).run(record)

    assert run.state == "completed"
    assert all(ref.live is None for step in run.snapshot.steps.values() for ref in step.values)


def test_what_a_class_of_a_library_holds_is_the_library_s_business(record):
    # Else whoever has an object of it would be refused beside whoever changes what the library gave out.
    notebook = f"{CONFIG}\n    __module__ = 'lib'\nc = C()\nxs = C.items\ndel C"
    run = CellFlow({"a": "xs.append(1)", "b": "n = c is not None"}, notebook=notebook).run(record)

    assert run.state == "completed"
    assert [ref.live for ref in run.snapshot.inputs if ref.name == "xs"] == [None]


def test_an_attempt_that_would_find_a_class_as_another_left_it_is_refused(record):
    """Each attempt of a step that changes a value begins from the stored version of it."""
    cells = {
        "a": f"import szal_nb as szal\n{CONFIG}",
        "b --retries 2": "C.items.append(1)\nassert szal.context().attempt > 1",
        "c": "n = len(C.items)",
    }
    run = CellFlow(cells, notebook="import szal_nb as szal").run(record)

    assert run.state == "failed"
    assert "a class is one for all that have it" in run["b"].error.message


@pytest.mark.parametrize("cells", BY_ITS_MAKER.values(), ids=BY_ITS_MAKER)
def test_who_reads_what_a_class_of_the_notebook_made_is_ordered_with_who_changes_it(cells, store):  # noqa: F811
    assert {check(cells, seed, store) for seed in (1, 3, 5)} == {"same"}
    assert {check(cells, seed, store) for seed in (0, 2, 4)} == {"refused"}


@pytest.mark.parametrize("cells", KEPT_INSIDE.values(), ids=KEPT_INSIDE)
def test_what_methods_and_inner_classes_keep_is_there_after_a_resume(cells, store):  # noqa: F811
    """A resumed run equals an uncut one."""
    for seed in (1, 3):
        assert check(cells, seed, store) == "same"


@pytest.mark.parametrize("cells", NOTING.values(), ids=NOTING)
def test_what_a_class_notes_in_itself_is_a_change_of_it(cells, store):  # noqa: F811
    assert {check(cells, seed, store) for seed in range(4)} == {"same"}


COUNTED = "class C:\n    @counted\n    def go(self):\n        return 1"
COUNTING = {
    "in an attribute": ["def counted(f):\n    def inner(*args):\n        inner.calls += 1\n        return f(*args)\n    inner.calls = 0\n    return inner", "print(C().go(), C.go.calls)"],
    "in a number": ["def counted(f):\n    n = 0\n    def inner(*args):\n        nonlocal n\n        n += 1\n        return f(*args), n\n    return inner", "print(C().go())"],
    "in a list": ["def counted(f):\n    seen = []\n    def inner(*args):\n        seen.append(f(*args))\n        return len(seen)\n    return inner", "print(C().go())"],
}  # fmt: skip


@pytest.mark.parametrize(("decorator", "call"), COUNTING.values(), ids=COUNTING)
def test_calls_of_a_method_that_a_decorator_counts_are_ordered_and_counted_on(decorator, call, store):  # noqa: F811
    """Each got the counts of others that ran beside it."""
    cells = [f"{decorator}\n{COUNTED}", call, call, call]

    assert {check(cells, seed, store) for seed in (1, 3, 5)} == {"same"}


@pytest.mark.parametrize("cells", BOUND_UNSEEN.values(), ids=BOUND_UNSEEN)
def test_what_a_step_binds_in_a_class_unseen_is_refused(cells, store):  # noqa: F811
    assert {check(cells, seed, store) for seed in range(4)} == {"refused"}


@pytest.mark.parametrize("cells", BOUND_BY_ANOTHER_NAME.values(), ids=BOUND_BY_ANOTHER_NAME)
def test_what_a_step_binds_in_a_class_by_another_name_is_never_silently_lost(cells, store):  # noqa: F811
    assert [check(cells, seed, store) for seed in range(4)] == ["same", "refused", "same", "refused"]


@pytest.mark.parametrize("notebook", [NET, ""], ids=["the notebook's", "of a step"])
def test_a_step_that_says_that_it_changes_the_class_is_ordered_and_recorded(notebook):
    """As the message of the refusal has it."""
    cells = {} if notebook else {"net": NET}
    cells |= {"bind --changes Net": "type(net).rate = 5", "look": "seen = net.rate"}
    with RunStore.open(":memory:", durability="fast") as record:
        flow = CellFlow(cells, notebook=notebook)
        flow.fails = {"look"}
        cut = flow.run(record)
        run = CellFlow(cells, notebook=notebook).resume(record, cut.id)

        assert run.value("look", "seen") == 5
        refused = CellFlow({line.partition(" ")[0]: cell for line, cell in cells.items()}, notebook=notebook).run(
            record
        )
        assert "Write `--changes Net`" in refused["bind"].error.message
