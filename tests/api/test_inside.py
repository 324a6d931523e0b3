"""What differs inside of two values is told by its place, in few words, and without running what they bring along."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.api.inside import Insides, differences_inside
from szal_nb.api.past import diff, verified
from szal_nb.errors import ValueUnavailable
from szal_nb.model.value import ValueRef
from szal_nb.store.runs import RunStore
from tests.analysis.test_comparison import told_of
from tests.api.cell_flows import CellFlow

FRAME = pd.DataFrame({"k": ["a", "b", None], "v": [1.0, 2.0, np.nan], "n": [1, 2, 3]})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
KEYS = st.integers() | st.text(max_size=4)
PLAIN = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


def with_cells(frame, **cells):
    changed = frame.copy()
    for column, (row, value) in cells.items():
        changed.loc[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1, "b": [1, {"c": "x"}]}, {"a": 1, "b": [1, {"c": "y"}]}, ["b[1].c: 'x' → 'y'"]),
        ({"a": 1}, {"b": 2}, ["a: 1 → absent", "b: absent → 2"]),
        ({"two words": 1, 3: 4}, {"two words": 2, 3: 5}, ["['two words']: 1 → 2", "[3]: 4 → 5"]),
        ({"a": {"b c": 1}}, {"a": {"b c": 2}}, ["a['b c']: 1 → 2"]),
        ({"a": [1, 2]}, {"a": (1, 2)}, ["a: [1, 2] → (1, 2)"]),
        ([1, 2, 3], [0, 1, 2, 3], ["items: 3 → 4", "[0]: 1 → 0"]),
        ({1, 2}, {2, 3}, ["items: 1 is gone", "items: 3 is new"]),
        ({"x": float("nan")}, {"x": 1.5}, ["x: nan → 1.5"]),
        ({"x": "\x1b[31m"}, {"x": "b"}, ["x: '\\x1b[31m' → 'b'"]),
        ("one\n" * 20, "one\n" * 19 + "two", ["line 20: 'one' → 'two'"]),
        (np.arange(6).reshape(2, 3), np.array([[0, 1, 2], [3, 4, 9]]), ["1 of 6 elements differ, by at most 4"]),
        (np.array([np.nan, 1]), np.array([np.nan, 1.5]), ["1 of 2 elements differ, by at most 0.5"]),
        (np.array([np.nan, 1]), np.array([2.0, 1]), ["1 of 2 elements differ, first [0]: nan → 2.0"]),
        (np.array([["a", "b"]]), np.array([["a", "c"]]), ["1 of 2 elements differ, first [0, 1]: 'b' → 'c'"]),
        (np.zeros(3), np.zeros(3, "f4"), ["dtype: float64 → float32"]),
        (np.zeros(3), np.zeros(4), []),
        (FRAME, with_cells(FRAME, v=(1, 2.25)), ["v: 1 of 3 rows differ, by at most 0.25"]),
        (FRAME, with_cells(FRAME, k=(2, "c")), ["k: 1 of 3 rows differ, first [2]: nan → 'c'"]),
        (FRAME, FRAME.assign(new=1).drop(columns="n"), ["column n is gone", "column new is new"]),
        (FRAME, FRAME[["n", "v", "k"]], ["the columns stand in another order"]),
        (FRAME, FRAME.set_index(pd.Index([7, 1, 2])), ["index: 1 of 3 rows differ, by at most 7"]),
        (FRAME, FRAME.iloc[:2], ["n: mean 2 → 1.5"]),
        (FRAME["n"], FRAME["n"] + 1, ["n: 3 of 3 rows differ, by at most 1"]),
        (pl.DataFrame({"a": [1, None]}), pl.DataFrame({"a": [1, 2]}), ["a: 1 of 2 rows differ, first [1]: nan → 2"]),
        (pa.table({"a": ["x", "y"]}), pa.table({"a": ["x", "z"]}), ["a: 1 of 2 rows differ, first [1]: 'y' → 'z'"]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[1, 3]], columns=["a", "a"]), []),
        (1, 2, []),
        ({}, [], []),
        ({"a": 1}, FRAME, []),
        ({"x": np.float64(1.5), "ok": np.bool_(True)}, {"x": np.float64(2.5), "ok": np.bool_(True)}, ["x: 1.5 → 2.5"]),
        ({"w": np.zeros(2)}, {"w": np.array([0.0, 3.0])}, ["w, 1 of 2 elements differ, by at most 3"]),
        ([FRAME], [with_cells(FRAME, v=(1, 2.25))], ["[0], v: 1 of 3 rows differ, by at most 0.25"]),
        ({"w": np.zeros(2)}, {"w": 3}, ["w: [0. 0.] → 3"]),
        ({"f": object(), "n": 1}, {"f": object(), "n": 2}, ["n: 1 → 2"]),
    ],
)
def test_places_that_differ_are_told(before, after, told):
    found = [text for text in differences_inside(before, after) if "float64 → int64" not in text]

    assert found == told


def test_a_few_places_are_told_and_the_others_counted():
    before, after = (dict.fromkeys(map("k{}".format, range(50)), n) for n in (1, 2))
    more = differences_inside([0] * 5_000, [1] * 5_000)

    assert differences_inside(before, after) == (*(f"k{n}: 1 → 2" for n in range(6)), "… and 44 more")
    assert more[-1] == "… and at least 994 more"


def test_what_holds_itself_is_looked_into_once():
    def made(n):
        items = []
        items.extend([*[items] * 30, {"n": n}])
        return items

    assert differences_inside(made(1), made(2)) == ("[30].n: 1 → 2",)


@given(value=PLAIN)
def test_nothing_differs_in_a_value_and_itself(value):
    assert differences_inside(value, value) == ()


@given(before=st.dictionaries(KEYS, PLAIN, max_size=4), after=st.dictionaries(KEYS, PLAIN, max_size=4))
def test_each_place_is_one_line_that_can_be_printed(before, after):
    assert all(text.isprintable() for text in differences_inside(before, after))


@given(before=st.dictionaries(KEYS, PLAIN, min_size=1, max_size=4), chance=st.randoms(use_true_random=False))
def test_a_place_that_differs_is_found_however_deep_it_is(before, chance):
    key = chance.choice(list(before))
    deep, changed = {"at": [before, {"is": 1}]}, {"at": [{**before, key: {"now": "this"}}, {"is": 1}]}

    assert (differences_inside(deep, changed) == ()) == (before[key] == {"now": "this"})


def ref(form, size=10):
    return ValueRef(name="x", hash="0" * 32, format=form, size=size)


@pytest.mark.parametrize("other", [ref("pickle"), ref("json", 2**30), ValueRef(name="x", live="a lock"), None])
def test_what_is_large_or_would_run_code_is_not_read(other):
    read = []

    assert Insides(read.append, read.append)(ref("json"), other) == ()
    assert Insides(read.append, read.append)(other, ref("json")) == ()
    assert read == []


def test_containers_of_our_own_runs_are_read_whatever_is_in_them():
    def loads(value):
        return lambda _: value

    box = msgspec.structs.replace(ref("pickle"), type="dict")
    own = msgspec.structs.replace(box, type="__main__.Net")

    assert Insides(loads({"x": 1}), loads({"x": 2}), are_ours=True)(box, box) == ("x: 1 → 2",)
    assert Insides(loads({"x": 1}), loads({"x": 2}))(box, box) == ()
    assert Insides(loads({"x": 1}), loads({"x": 2}), are_ours=True)(own, own) == ()


def test_what_cannot_be_read_any_more_is_told_by_its_description_alone():
    def lost(one):
        raise ValueUnavailable(one.name, "its file is gone")

    assert Insides(lost, lost)(ref("json"), ref("json")) == ()


def test_diff_and_verify_tell_where_values_differ():
    body = "summary = dict(region='EU', total={0}, parts=[1, {0}])\nimport pandas as pd\ndf = pd.DataFrame(summary)"
    with RunStore.open(":memory:", durability="fast") as store:
        before, after = (CellFlow({"a": body.format(n)}).run(store).id for n in (3, 4))
        found = diff(store, before, after)
        sentences = verified(store, before, after)

    in_summary = ["total: 3 → 4", "parts[1]: 3 → 4"]
    in_table = ["total: 2 of 2 rows differ, by at most 1", "parts: 1 of 2 rows differ, by at most 1"]
    told = told_of("a", found)
    assert [line for line in told if line in (*in_summary, *in_table)] == [*in_summary, *in_table]
    assert [value["inside"] for value in found.json()["steps"][0]["values"]] == [in_summary, in_table]
    assert [sentence.partition(" now ")[2] for sentence in sentences] == [
        f"({'; '.join(inside)})" for inside in (in_summary, in_table)
    ]
