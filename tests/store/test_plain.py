from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.store.plain import NotPlainError, from_text, to_text

SURROGATES = st.text(st.characters(exclude_categories=()), max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    SURROGATES,
    st.binary(max_size=20),
    st.complex_numbers(allow_nan=False),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([None, UTC, ZoneInfo("Europe/Berlin")])),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
)
KEYS = st.one_of(SURROGATES, st.integers(), st.none(), st.booleans(), st.tuples(st.integers(), SURROGATES))
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
    ),
    max_leaves=12,
)


def shape(value: object) -> object:
    """The value with its types, so that 1, True and 1.0, 0.0 and -0.0 are told apart."""
    match value:
        case dict():
            return [(shape(key), shape(item)) for key, item in value.items()]
        case list() | tuple():
            return (type(value), [shape(item) for item in value])
        case set() | frozenset():
            return (type(value), sorted(repr(shape(item)) for item in value))
        case int():
            return (type(value), hex(value))
        case datetime() | time():
            return (type(value), value.isoformat(), value.fold, repr(value.tzinfo))
        case _:
            return (type(value), repr(value))


@given(PLAIN)
def test_plain_data_comes_back_exactly(value):
    assert shape(from_text(to_text(value))) == shape(value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        -0.0,
        10**5000,
        -(2**63) - 1,
        "\ud83d\ude00",
        "😀",
        "\x00",
        {"$set": [1]},
        {"$": 1, "a": 2},
        {1: "a", "1": "b", None: 1, (1, 2): 3, 2.5: True},
        bytearray(b"\xff\x00"),
        b"\xed\xa0\x80\xff",
        range(10**30, 0, -3),
        complex(-0.0, float("inf")),
        Decimal("-0.00"),
        Decimal("sNaN12"),
        Fraction(1, 3),
        UUID(int=5),
        timedelta(days=-1, microseconds=3),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        date(1, 1, 1),
        time(23, 59, fold=1),
        [],
        [[], {}, set(), ()],
    ],
    ids=lambda value: type(value).__name__,
)
def test_awkward_plain_data_comes_back_exactly(value):
    assert shape(from_text(to_text(value))) == shape(value)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


SHARED = [1]
CYCLE: list = []
CYCLE.append(CYCLE)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Text("a"),
        [SHARED, SHARED],
        {"a": SHARED, "b": (SHARED,)},
        CYCLE,
        nested(100_000),
        list(range(200_000)),
        datetime.now(timezone(timedelta(hours=1))),
        int,
        lambda: 1,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_not_give_back_is_left_to_others(value):
    with pytest.raises(NotPlainError):
        to_text(value)


def test_an_immutable_object_may_occur_twice():
    pair = (1, "a")

    assert from_text(to_text([pair, pair])) == [pair, pair]


def test_the_text_of_a_set_is_the_same_in_every_process():
    code = (
        "from szal_nb.store.plain import to_text; print(to_text({'a', 'b', 'c', 1, (2, 'x'), None, frozenset('xyz')}))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True
        ).stdout
        for seed in range(3)
    }

    assert len(texts) == 1


def test_nan_is_written_in_a_form_that_all_json_readers_know():
    assert to_text([float("nan"), math.nan, np.nan]) == '[{"$float":"nan"},{"$nan":"math"},{"$nan":"numpy"}]'


def test_a_nan_that_everybody_means_by_name_comes_back_as_itself():
    own = float("nan")
    numpys, maths, others = (from_text(to_text({nan: {nan}})) for nan in (np.nan, math.nan, own))

    assert numpys[np.nan] == {np.nan}
    assert maths[math.nan] == {math.nan}
    assert own not in others
    with pytest.raises(ValueError, match="no NaN of 'os' is known"):
        from_text('[{"$nan":"os"}]')
