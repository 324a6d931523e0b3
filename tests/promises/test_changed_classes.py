"""Random notebooks in which steps change classes, and others read instances: the same answer, also cut and resumed."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.promises.drawn_notebooks import STATEMENTS
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

PROGRAMS = 100
FIRST = """
a = [1]
b = [[2], 3]
c = [4]
d = [[5]]
box = Box([1])
boxes = [box]
point = Point(1, [2])
"""
CHANGING = """
Box.unit = len({x})
setattr(Point, 'unit', len({x}))
print(getattr(box, 'unit', None), getattr(point, 'unit', None))
print(getattr({x}, 'unit', None))
Box.tell = lambda self: ('box', len({y}))
print(box.tell() if hasattr(box, 'tell') else None)
Point.__str__ = lambda self: 'P%s' % self.x|print(str(point))
print(str(point))
other = Box({x})|print(getattr(other, 'unit', 0))
boxes = [box, Box({x})]
print([getattr(one, 'unit', 0) for one in boxes])
if hasattr(Box, 'unit'):|    del Box.unit
Box.seen = {x}|Box.seen.append(1)
print(getattr(box, 'seen', None))
{x}.append(getattr(box, 'unit', 0))
Box.count = getattr(Box, 'count', 0) + 1
{x} = [getattr(box, 'count', 0)]
""".strip().splitlines()


def _filled(statement, names):
    x, y, z, _ = names
    return statement.format(x=x, y=y, z=z).replace("|", "\n")


CELLS = st.lists(
    st.builds(_filled, st.sampled_from(CHANGING * 2 + STATEMENTS[:40]), st.permutations("abcd")), min_size=1, max_size=2
).map("\n".join)


@settings(max_examples=PROGRAMS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(cells=st.lists(CELLS, min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_what_steps_change_of_classes_others_find(store, cells, seed):  # noqa: F811
    """Never a silently different result."""
    check([FIRST, *cells], seed, store)
