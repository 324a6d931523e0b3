"""Two runs beside each other are told in the words of a person."""

from __future__ import annotations

from itertools import takewhile

import pytest

from szal_nb.api.past import diff
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


def told_of(step, found):
    """What is said of a step, without how long it took."""
    lines = str(found).splitlines()
    first = next(i for i, line in enumerate(lines) if line.lstrip(" =≠").startswith(f"{step} "))
    return [line.strip() for line in takewhile(lambda line: line.startswith("      "), lines[first + 1 :])]


def test_the_lines_of_a_body_that_changed_are_shown(store):
    before = CellFlow({"load": "x = [3, 1]", "total": "y = sum(x)\n# a note\nz = 1\nt = y + z"}).run(store)
    after = CellFlow({"load": "x = [3, 1]", "total": "y = max(x)\nz = 1\nt = (y +\n     z)\nu = 2"}).run(store)

    found = diff(store, before.id, after.id)

    (_, total) = found.steps
    changed = ["- y = sum(x)", "- # a note", "+ y = max(x)", "- t = y + z", "+ t = (y +", "+      z)", "+ u = 2"]
    assert (list(total.lines), total.json()["lines"]) == (changed, changed)
    assert told_of("total", found)[: len(changed)] == [f"code   {changed[0]}", *changed[1:]]
    assert found.steps[0].lines == ()


def test_of_what_is_no_body_the_name_is_told(store):
    before = CellFlow({"a": "x = f(1)"}, notebook="def f(n):\n    return n").run(store)
    after = CellFlow({"a": "x = f(1)"}, notebook="def f(n):\n    return n + 1").run(store)

    found = diff(store, before.id, after.id)

    assert told_of("a", found)[0] == "code   function f"
    assert found.steps[0].lines == ()


def test_a_long_change_is_cut_for_a_person_and_whole_in_json(store):
    bodies = ("\n".join(f"x{n} = {n + k}" for n in range(100)) for k in (0, 1000))
    before, after = (CellFlow({"a": body, "b": "pass"}).run(store).id for body in bodies)

    found = diff(store, before, after)

    told = [line for line in told_of("a", found) if not line.startswith("value")]
    assert (told[0], len(told), told[-1]) == ("code   - x0 = 0", 31, "… and 170 lines more")
    assert len(found.json()["steps"][0]["lines"]) == 200
