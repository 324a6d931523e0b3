from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from szal_nb.widget.layout import place


@st.composite
def graphs(draw):
    count = draw(st.integers(0, 24))
    pairs = st.tuples(st.integers(0, max(count - 1, 0)), st.integers(0, max(count - 1, 0)))
    return count, draw(st.lists(pairs, max_size=60)) if count else []


@given(graphs())
def test_nodes_of_one_rank_never_overlap(graph):
    count, edges = graph

    placed = place(count, [(min(pair), max(pair)) for pair in edges if pair[0] != pair[1]])

    for one, other in itertools.combinations(range(count), 2):
        if placed.ranks[one] == placed.ranks[other]:
            assert abs(placed.across[one] - placed.across[other]) > 0.998


@given(graphs())
def test_edges_of_a_graph_without_cycles_lead_to_later_ranks_with_a_bend_in_each_between(graph):
    count, pairs = graph
    edges = [(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]]

    placed = place(count, edges)

    for (source, target), bends in zip(edges, placed.bends, strict=True):
        between = list(range(placed.ranks[source] + 1, placed.ranks[target]))
        assert placed.ranks[source] < placed.ranks[target]
        assert [rank for rank, _across in bends] == between


@given(graphs())
def test_a_graph_with_cycles_and_loops_is_placed_all_the_same(graph):
    count, edges = graph

    placed = place(count, edges)

    assert len(placed.ranks) == len(placed.across) == count


def test_what_belongs_together_stands_together():
    placed = place(7, [(0, 1), (0, 2), (1, 3), (2, 3), (4, 5), (4, 6)])

    assert placed.ranks == (0, 1, 1, 2, 0, 1, 1)
    assert placed.across[0] == placed.across[3] == (placed.across[1] + placed.across[2]) / 2
    assert placed.across[4] == (placed.across[5] + placed.across[6]) / 2
