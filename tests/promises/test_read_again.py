"""What a run has on record can be read again, and is then what it was; what cannot be is said when it is stored."""

from __future__ import annotations

import pytest

from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.shell import Shell, states, write_notebook
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

CAUGHT = "class Refused(Exception):\n    def __init__(self, code, why):\n        super().__init__(f'code {code}: {why}')\n        self.code = code\ntry:\n    raise Refused(5, 'no cover')\nexcept Refused as error:\n    err = error"
MADE_ONCE = "class Refused(Exception):\n    def __init__(self, code):\n        super().__init__(f'code {code}')\nerr = Refused(5)"
PROXY = "class Proxy:\n    def __init__(self, inner):\n        self.inner = inner\n    def __getattr__(self, name):\n        return getattr(self.inner, name)\nrows = [1, 2]\np = Proxy(rows)"
LOGGED = "class Logged(dict):\n    def __init__(self):\n        self.log = []\n    def __setitem__(self, key, value):\n        self.log.append(key)\n        super().__setitem__(key, value)\nd = Logged()\nd['a'] = 1"
READABLE = {
    "an exception of two arguments": [CAUGHT, "print(repr(err), err.code, isinstance(err, Refused))"],
    "an exception that makes its text": [MADE_ONCE, "print(err)", "print([repr(e) for e in [err]])"],
    "exceptions in a list": [CAUGHT, "errs = [err, ValueError('x'), KeyError(1)]", "print(errs, errs[0] is err)"],
    "an exception that takes a note": [CAUGHT, "err.add_note('of the day')", "print(err.__notes__)"],
    "what it was raised from": ["try:\n    try:\n        1 / 0\n    except ZeroDivisionError as zero:\n        raise KeyError('x') from zero\nexcept KeyError as error:\n    err = error", "print(repr(err), repr(err.__cause__), err.__suppress_context__)"],
    "one that hands on what it is asked": [PROXY, "rows.append(3)", "print(p.inner, p.count(3), p.inner is rows)"],
    "a dict that counts": [LOGGED, "d['b'] = 2", "print(d, d.log)"],
}  # fmt: skip
# What can be written down, and not read again: a resume makes it again.
UNREADABLE = {
    "by its state": "class C:\n    def __init__(self):\n        self.x = [1]\n    def __setstate__(self, state):\n        raise KeyError('old')\nc = C()",
    "by what it says of itself": "class C:\n    def __init__(self):\n        self.x = [1]\n    def __reduce__(self):\n        return C, (1, 2)\nc = C()",
}  # fmt: skip
# What shows, when it is read, that it is.
TELLING = """
class C:
    made = []
    def __init__(self, x):
        self.x = x
    def __setstate__(self, state):
        vars(self).update(state)
        C.made.append(self.x)
        print("read again")
c = C([1])
"""


@pytest.mark.parametrize("cells", READABLE.values(), ids=READABLE)
def test_what_code_of_its_class_would_make_otherwise_is_what_it_was(cells, store):  # noqa: F811
    """A resumed run equals an uncut one."""
    assert {check(cells, seed, store) for seed in range(4)} <= {"same", "refused"}
    assert check(cells, 0, store) == "same"


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


@pytest.mark.parametrize("made", UNREADABLE.values(), ids=UNREADABLE)
def test_what_could_not_be_read_again_is_live(made, record):
    """A needed value that cannot be stored (an open file, a connection, a generator) is `live` too: the step completes, marked *rebuilds on resume* in chip, picture and record; a resume whose missing steps need it runs that step again as a new attempt and says so first."""
    flow = CellFlow({"make": f"{made}\nunneeded = [c]", "add": "c.x.append(2)", "tell": "told = c.x[:]"})
    flow.fails = {"tell"}
    run = flow.run(record)
    reasons = {ref.name: ref.live for ref in run.snapshot.steps["make"].values if ref.name in ("c", "unneeded")}
    flow.fails = set()
    resumed = flow.resume(record, run.id)

    assert all(reason.startswith("it could not be read again: ") for reason in reasons.values())
    assert reasons.keys() == {"c", "unneeded"}
    assert (resumed.values.told, flow.deeds) == ([1, 2], ["make", "add", "tell"])


@pytest.mark.parametrize("flag", ["--once", "--strict"])
def test_a_step_that_must_not_run_twice_says_so_at_once(flag, record):
    """With `--once` or `--strict` it fails instead."""
    flow = CellFlow({f"make {flag}": UNREADABLE["by its state"], "tell": "told = c.x"})

    error = flow.run(record)["make"].error

    assert error.type == "ValueNotStored"
    assert "it could not be read again: KeyError: 'old'" in error.message


def test_nobody_notices_that_it_was_tried(record):
    """Running the flow in parallel gives what "Restart and run all" gives."""
    run = CellFlow({"make": TELLING, "tell": "told = [*C.made]\nprint(told)"}).run(record)

    assert [ref.live for ref in run.snapshot.steps["make"].values] == [None, None]
    assert (run.values.told, run["make"].logs, run["tell"].logs) == ([], "", "[]\n")


CUT = """#| step: cut --after point err box
import os
if not os.path.exists("again"):
    open("again", "w").close()
    os._exit(1)
ready = True"""
TELL = """#| step: tell --after cut
try:
    point.typo = 1
    told = "taken"
except AttributeError as error:
    told = str(error)
print(told, point.x, point.go(), repr(err), box["a"], box.log)"""


def test_a_kernel_that_died_leaves_what_the_next_one_can_read(tmp_path):
    """Kill the kernel: the run goes on from the last finished step."""
    point = "class Point:\n    __slots__ = ('x', '__y')\n    def __init__(self):\n        self.x, self.__y = 1, 2\n    def go(self):\n        return self.__y\npoint = Point()"
    cells = [
        f"#| step: {name}\n{cell}"
        for name, cell in {"point": point, "err": CAUGHT, "box": LOGGED.replace("\nd", "\nbox")}.items()
    ]
    shell = Shell(tmp_path)
    write_notebook(tmp_path / "n.ipynb", "%load_ext szal_nb\n%szal_flow n", *cells, CUT, TELL, "%szal_run")

    assert shell.call("run", "n.ipynb")[0] == 138
    (run,) = shell.runs()
    code, _, err = shell.call("resume", run["id"])

    assert (code, err.count("Traceback")) == (0, 0)
    shown = shell.show(run["id"])
    assert set(states(shown).values()) == {"completed"}
    attempts = {step["name"]: len(step["attempts"]) for step in shown["steps"]}
    assert attempts == {"point": 1, "err": 1, "box": 1, "cut": 2, "tell": 1}
    logs = shell.call("logs", run["id"], "tell")[1]
    assert "'Point' object has no attribute 'typo' 1 2 Refused('code 5: no cover') 1 ['a']" in logs
