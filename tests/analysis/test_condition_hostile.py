"""Conditions against an independent evaluator, and against texts that want to do harm."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.analysis.condition import Condition, ConditionError, compile_condition

HOSTILE = {
    "a class": "().__class__.__bases__[0].__subclasses__()",
    "a class of a value": "a.__class__",
    "the namespace of a value": "a.__dict__",
    "a method": "a.keys()",
    "globals": "__builtins__",
    "an import": "__import__('os').system('true')",
    "a bare import": "import os",
    "eval": "eval('1')",
    "open": "open('/etc/passwd')",
    "getattr": "getattr(a, 'x')",
    "a formatted text": "f'{a.__class__}'",
    "bytes": "b'x' == 1",
    "a lambda": "(lambda: 1)()",
    "a comprehension": "[x for x in a]",
    "an assignment": "(x := 1)",
    "a statement": "a; b",
    "a comment": "a # b",
    "a power": "9 ** 9 ** 9",
    "an NUL": "a\x00",
    "a lone surrogate": "a == \ud800",
    "a formatting": "'%s' % a",
    "a star": "max(*a)",
    "a keyword": "max(a, key=a)",
    "a slice": "a[0:1]",
    "a dunder in other letters": "\uff3f\uff3fclass\uff3f\uff3f == a.\uff3f\uff3fclass\uff3f\uff3f",
    "deep brackets": "(" * 4000 + "1" + ")" * 4000,
    "10,000 open brackets": "(" * 10_000,
    "deep indexes": "a[" * 3000 + "0" + "]" * 3000,
    "deep nots": "!" * 9000 + "a",
    "deep word nots": "not " * 2000 + "a",
    "deep minuses": "-" * 9000 + "1",
    "deep calls": "len(" * 1500 + "a" + ")" * 1500,
    "a megabyte": "a or " * 200_000 + "a",
    "a megabyte of brackets": "(" * 1_000_000,
    "a long number": "1" * 9_999,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_a_condition_error_and_no_other(text):
    began = time.perf_counter()
    with pytest.raises(ConditionError) as caught:
        compile_condition(text).evaluate({"a": {"x": 1}})

    # A thousandfold of what it takes: this fails for what grows faster than the text, not for a slow machine.
    assert time.perf_counter() - began < 5
    assert len(str(caught.value)) < 1000


WIDE = {
    "2,000 alternatives": ("0 or " * 1999 + "1", True),
    "2,000 summands": ("+".join(["1"] * 2000) + " == 2000", True),
    "a path of 4,000 keys": ("a" + ".x" * 4000 + " == null", True),
    "a path of 2,000 indexes": ("a" + "[0]" * 2000 + " == null", True),
    "brackets up to the limit": ("(" * 99 + "1" + ")" * 99, True),
    "a list of 3,000": ("1 in [" + "0, " * 3000 + "1]", True),
}


@pytest.mark.parametrize(("text", "expected"), WIDE.values(), ids=WIDE)
def test_a_long_condition_that_is_not_deep_is_decided(text, expected):
    assert compile_condition(text).evaluate({"a": {}}) is expected


def test_without_room_on_the_call_stack_it_is_a_condition_error_too():
    text = "len(" * 90 + "a" + ")" * 90

    def deeper(frames: int) -> Condition:
        return deeper(frames - 1) if frames else Condition(text)

    used = len(_frames())
    with pytest.raises(ConditionError, match="no room is left"):
        deeper(sys.getrecursionlimit() - used - 100)


def _frames() -> list[object]:
    frames, frame = [], sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return frames


WORDS = st.sampled_from(
    [
        *("a", "n", "xs", "steps", "inputs", ".status", ".output", ".a", ".", "[", "]", "(", ")", ",", "null", "true"),
        *("==", "!=", ">", ">=", "<", "<=", "&&", "||", "!", "not", "and", "or", "in", "+", "-", "*", "/", "%"),
        *("1", "-1", "0.5", "1e3", "'t'", '"u"', "len", "min", "max", "any", "all", "lower", "upper", "startswith"),
        *("__class__", "\\", "'", '"', "=", "&", "|", "é", " "),
    ]
)
LIVE = {"a": {"rows": 3, "t": "x"}, "n": 2, "xs": [1, "t", None], "steps": {"a": {"output": 1}}, "inputs": {"n": 1}}


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map(" ".join), st.lists(WORDS).map("".join)))
def test_a_random_text_decides_or_is_a_condition_error(text):
    outcome: object
    try:
        outcome = compile_condition(text).evaluate(LIVE)
    except ConditionError as error:
        outcome = error

    assert outcome in (True, False) or 0 <= outcome.position <= len(text) < len(str(outcome)) + len(text)


class Undecided(Exception):
    """The independent evaluator's word for an error."""


NAMES = {"n": 2, "half": 0.5, "t": "ab", "yes": True, "nothing": None, "xs": [1, "ab", None], "m": {"k": 2, "xs": [0]}}
LITERALS = [None, True, False, 0, 1, 2, 2.0, 0.5, "", "ab", "a'b\n"]


def spelled(literal: object) -> str:
    if isinstance(literal, str):
        return "'" + literal.replace("'", "\\'").replace("\n", "\\n") + "'"
    return {"None": "null", "True": "true", "False": "false"}.get(repr(literal), repr(literal))


def truthy(value: Any) -> bool:
    return bool(value)


def family(value: object) -> object:
    return float if type(value) in (int, float) else type(value)


def same(left: Any, right: Any) -> bool:
    if family(left) is not family(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def held(item: Any, container: Any) -> bool:
    if container is None:
        return False
    if isinstance(container, str):
        return isinstance(item, str) and item in container
    if isinstance(container, list):
        return any(same(item, other) for other in container)
    if isinstance(container, dict):
        return any(same(item, key) for key in container)
    raise Undecided


def index(base: Any, key: Any) -> Any:
    if base is None:
        return None
    if isinstance(base, dict):
        if isinstance(key, list | dict):
            raise Undecided
        return next((base[own] for own in base if same(own, key)), None)
    if isinstance(base, list | str) and family(key) is float:
        if type(key) is not int:
            raise Undecided
        return base[key] if -len(base) <= key < len(base) else None
    raise Undecided


def reckoned(sign: str, left: Any, right: Any) -> Any:
    if family(left) is not float or family(right) is not float:
        raise Undecided
    try:
        return {
            "+": lambda: left + right,
            "-": lambda: left - right,
            "*": lambda: left * right,
            "/": lambda: left / right,
            "%": lambda: left % right,
        }[sign]()
    except (ZeroDivisionError, OverflowError):
        raise Undecided from None


def length_of(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise Undecided
    return len(value)


Tree = tuple[Any, ...]


def trees() -> st.SearchStrategy[Tree]:
    leaves = st.one_of(
        st.sampled_from(LITERALS).map(lambda value: ("literal", value)),
        st.sampled_from(sorted(NAMES)).map(lambda name: ("name", name)),
    )

    def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        return st.one_of(
            st.tuples(st.sampled_from(["||", "&&", "or", "and"]), inner, inner),
            st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), inner, inner),
            st.tuples(st.sampled_from(["+", "-", "*", "/", "%"]), inner, inner),
            st.tuples(st.sampled_from(["!", "not", "len"]), inner),
            st.tuples(st.just("list"), inner, inner),
            st.tuples(st.just("index"), inner, inner),
        )

    return st.recursive(leaves, grown, max_leaves=12)


def text_of(tree: Tree) -> str:
    match tree:
        case ("literal", value):
            return f"({spelled(value)})"
        case ("name", name):
            return str(name)
        case ("len", inner):
            return f"len({text_of(inner)})"
        case ("list", one, other):
            return f"[{text_of(one)}, {text_of(other)}]"
        case ("index", base, key):
            return f"({text_of(base)})[{text_of(key)}]"
        case (sign, inner):
            return f"({sign} {text_of(inner)})"
    return f"({text_of(tree[1])} {tree[0]} {text_of(tree[2])})"


def meant(tree: Tree) -> Any:
    match tree:
        case ("literal", value):
            return value
        case ("name", name):
            return NAMES[name]
        case ("||" | "or", left, right):
            return truthy(meant(left)) or truthy(meant(right))
        case ("&&" | "and", left, right):
            return truthy(meant(left)) and truthy(meant(right))
        case ("index", base, key):
            found = meant(base)
            return None if found is None else index(found, meant(key))
    return of_operands(tree[0], *map(meant, tree[1:]))


def of_operands(sign: str, left: Any, right: Any = None) -> Any:
    match sign:
        case "!" | "not":
            return not truthy(left)
        case "len":
            return length_of(left)
        case "list":
            return [left, right]
        case "==" | "!=":
            return same(left, right) is (sign == "==")
        case "in" | "not in":
            return held(left, right) is (sign == "in")
        case "<" | "<=" | ">" | ">=":
            if family(left) is not family(right) or family(left) not in (float, str):
                return False
            return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]
    return reckoned(sign, left, right)


@given(trees())
def test_a_random_condition_gives_what_an_independent_evaluator_gives(tree):
    condition = compile_condition(text_of(tree))
    try:
        expected = meant(tree)
    except Undecided:
        with pytest.raises(ConditionError):
            condition.value(NAMES)
        return
    found = condition.value(NAMES)

    assert same(found, expected), (condition, found, expected)
    assert condition.evaluate(NAMES) is truthy(expected)
