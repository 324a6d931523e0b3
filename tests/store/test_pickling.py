"""Classes in pickles: those in use are left alone, and one reader makes each once."""

from __future__ import annotations

import enum
import math
import random
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
from matplotlib.cbook import Grouper

from szal_nb.store.nans import nan_name
from szal_nb.store.pickling import Resolver, TooLargeError, class_in, dump, load


def none_here(_):
    return None


@pytest.fixture
def kind():
    """A class as a step gives it: of the notebook, and held whole by its pickle."""
    space = {"__name__": "__main__"}
    exec("class Box:\n    sides = [4]\n    def go(self):\n        return 1", space)
    return space["Box"]


def test_a_class_that_is_in_use_is_left_alone_by_reading_what_was_stored_of_it(kind):
    go, sides = kind.go, kind.sides
    stored = dump(kind)
    kind.sides = sides = [5]

    read = load(stored, none_here)

    assert (kind.go, kind.sides) == (go, sides)
    assert read is not kind
    assert (read.sides, read().go()) == ([4], 1)


def test_one_reader_makes_a_class_once(kind):
    reader = Resolver(none_here)
    stored = dump(kind)
    first = load(dump(kind), reader)
    go = first.go
    first.sides.append(6)

    assert load(stored, reader) is first
    assert (first.go, first.sides) == (go, [4, 6])
    other = load(stored, Resolver(none_here))
    assert other is not first
    assert other.sides == [4]


def test_an_enumeration_is_made_once_too():
    space = {"__name__": "__main__", "enum": enum}
    exec("class Size(enum.Enum):\n    SMALL = 1\n    LARGE = 2", space)
    reader = Resolver(none_here)

    first, second = load(dump(space["Size"]), reader), load(dump(space["Size"]), reader)

    assert first is second
    assert first.SMALL is second.SMALL
    assert first is not space["Size"]


def test_a_nan_that_everybody_means_by_name_comes_back_as_itself():
    own = float("nan")
    value = {math.nan: [np.nan], (1, np.nan): own, "array": np.zeros(2)}
    found = load(dump(value), lambda _: None)

    assert [nan_name(found[math.nan][0]), nan_name(found[1, np.nan])] == ["numpy", ""]
    assert math.isnan(found[1, np.nan])


class Connection:
    """As many are written: `__getstate__` empties the attributes themselves, and not a copy."""

    def __init__(self):
        self.lock, self.sent = object(), [1]

    def __getstate__(self):
        state = self.__dict__
        state["lock"] = None
        state["late"] = True
        del state["sent"]
        return state


def test_a_value_is_what_it_was_when_code_of_its_own_has_said_what_to_store():
    value = Connection()
    lock, sent = value.lock, value.sent

    read = load(dump([value, value]), none_here)

    assert vars(value) == {"lock": lock, "sent": sent}
    assert vars(read[0]) == {"lock": None, "late": True}
    assert read[0] is read[1]


DRAWN = """
import hashlib, matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
from szal_nb.store.pickling import dump
fig, axes = plt.subplots(1, 2, sharex=True)
lines, image = axes[0].plot([1, 2]), axes[1].imshow([[1, 2]])
drawn = [lines, plt.xlabel("x"), axes[0].bar([1], [2]), plt.colorbar(image), axes[0].contour([[1, 2], [3, 4]]), axes, fig]
print([hashlib.md5(dump(one)).hexdigest() for one in drawn])
"""


def test_what_is_drawn_has_the_same_pickle_in_another_process():
    # Else each plot differs from itself in `--verify`.
    again = [
        subprocess.run([sys.executable, "-c", DRAWN], capture_output=True, text=True, check=True) for _ in range(2)
    ]

    assert again[0].stdout == again[1].stdout


class Model:
    def __init__(self):
        self.weights = np.zeros(100_000)


def test_a_value_with_a_large_array_is_stored_up_to_a_limit():
    assert load(dump(Model(), limit=2**20), none_here).weights.shape == (100_000,)
    with pytest.raises(TooLargeError):
        dump(Model(), limit=2**19)


def test_the_global_generators_are_those_of_who_reads():
    drawing = [np.random.mtrand._rand, np.random.normal, random.random, random.Random(1)]
    read = load(dump(drawing), none_here)

    assert read[0] is np.random.mtrand._rand
    assert read[1].__self__ is np.random.mtrand._rand
    assert read[2].__self__ is random._inst
    assert read[3] is not drawing[3]


def test_a_function_of_a_cell_has_the_same_pickle_in_each_kernel():
    def made(kernel):
        space = {"__name__": "__main__"}
        exec(
            compile("def f(x):\n    return [x + n for n in (1, 2)]", f"/tmp/ipykernel_{kernel}/35123.py", "exec"), space
        )
        return [space["f"]]

    assert dump(made(11)) == dump(made(2222))
    assert load(dump(made(11)), none_here)[0](1) == [2, 3]


def test_tensors_have_the_same_pickle_in_each_process_and_share_what_they_shared():
    """A resumed run equals an uncut one. As torch has it, the address of the memory stands in the pickle."""
    torch = pytest.importorskip("torch", reason="torch is not installed for the tests")
    made = []
    for _ in range(2):
        # Each at another address.
        tensor = torch.arange(6.0)
        made.append([tensor, tensor[2:], torch.nn.Parameter(torch.ones(2)), torch.tensor([])])
    first, second = map(dump, made)
    assert first == second

    whole, part, parameter, nothing = load(first, class_in(None))
    part[0] = 9
    assert whole.tolist() == [0, 1, 9, 3, 4, 5]
    assert (parameter.requires_grad, nothing.numel(), made[0][0].tolist()[2]) == (True, 0, 2)


class Sharing:
    """As axes that share a scale; their addresses are told by the test."""

    addresses: ClassVar[dict[str, int]] = {}

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return self.addresses[self.name]

    def __eq__(self, other: object) -> bool:
        return self is other


def test_who_shares_a_scale_has_the_same_pickle_wherever_it_lies(monkeypatch):
    # Else each figure of several axes differs from itself in `--verify`.
    def pickled(**addresses: int) -> bytes:
        monkeypatch.setattr(Sharing, "addresses", addresses)
        axes = [Sharing(name) for name in ("top", "middle", "bottom")]
        sharing = Grouper()
        sharing.join(*axes)
        return dump((axes, sharing))

    found = pickled(top=1, middle=2, bottom=3)

    assert pickled(top=3, middle=1, bottom=2) == found
    axes, sharing = load(found, none_here)
    assert sharing.get_siblings(axes[2]) == axes
