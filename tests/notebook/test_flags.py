from __future__ import annotations

import doctest

import pytest

from szal_nb.model.step import Backoff, Executor, OnError, RetryPolicy, Step, Trigger
from szal_nb.notebook import flags
from szal_nb.notebook.flags import (
    InvalidLine,
    parse_flow_line,
    parse_run_line,
    parse_step_line,
    step_comment,
    step_magic,
)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(flags, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_every_flag_of_a_step_has_its_place():
    line = (
        "load --retries 3 --delay 500ms --backoff exponential --max-delay 1m --jitter 0.1 "
        "--retry-on ValueError,TimeoutError --no-retry-on KeyError --timeout 60s --when 'len(orders) > 0' "
        "--trigger any --map items --max-parallel 4 --on-error continue --approve 'Deploy now?' --cache --once "
        "--strict --executor main --parent group --tag io slow --after a b --needs x=other.x y=more --out o p "
        "--reads r --changes c --pure q -x"
    )

    parsed = parse_step_line(line)

    assert parsed.is_executed
    assert parsed.step(source="pass") == Step(
        name="load",
        source="pass",
        retry=RetryPolicy(
            retries=3,
            delay_s=0.5,
            backoff=Backoff.EXPONENTIAL,
            max_delay_s=60.0,
            jitter=0.1,
            retry_on=("ValueError", "TimeoutError"),
            no_retry_on=("KeyError",),
        ),
        timeout_s=60.0,
        when="len(orders) > 0",
        trigger=Trigger.ANY,
        map=("items",),
        max_parallel=4,
        on_error=OnError.CONTINUE,
        approve="Deploy now?",
        cache=True,
        once=True,
        strict=True,
        executor=Executor.MAIN,
        parent="group",
        tags=("io", "slow"),
        after=("a", "b"),
        needs=(("x", "other.x"), ("y", "more")),
        out=("o", "p"),
        reads=("r",),
        changes=("c",),
        pure=("q",),
    )


def test_a_bare_line_is_a_step_with_the_defaults():
    assert parse_step_line("clean").step() == Step(name="clean")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("load --retrys 3", "%%szal_step: There is no flag --retrys. Did you mean --retries?"),
        ("load --time-out=3s", "%%szal_step: There is no flag --time-out. Did you mean --timeout?"),
        ("--retries 3", "The following arguments are required: name."),
        ("load --retries many", "invalid int value: 'many'"),
        ("load --delay soon", "'soon' is not a length of time"),
        ("load --backoff quadratic", "choose from"),
        ("load --needs x", "'x' is not NAME=STEP.NAME"),
        ("load clean", "Unrecognized arguments: clean."),
        ("load 'x", "No closing quotation."),
    ],
)
def test_an_unknown_flag_names_the_nearest_one_and_a_wrong_value_says_what_fits(line, text):
    with pytest.raises(InvalidLine) as caught:
        parse_step_line(line)

    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%szal_step load --retries 3\nx = 1", ("load --retries 3", "x = 1")),
        ("\n%%szal_step load\nx = 1\ny", ("load", "x = 1\ny")),
        ("#| step: load --retries 3\nx = 1", ("load --retries 3", "x = 1")),
        ("#|step:load\nx", ("load", "x")),
        ("%%szal_step load", ("load", "")),
        ("%%szal_stepper load\nx", None),
        ("# step: load\nx", None),
        ("x = 1\n#| step: load", None),
    ],
)
def test_the_spellings_of_a_step_cell(cell, expected):
    assert step_magic(cell) == expected
    assert (step_comment(cell) is not None) == cell.startswith("#|")


def test_a_run_line_takes_parameters_again_and_again():
    parsed = parse_run_line("sales -p rows -5 -p name 'a b' --only a,b c --until z --wait --store x.db")

    assert (parsed.flow, parsed.parameters) == ("sales", (("rows", "-5"), ("name", "a b")))
    assert (parsed.only, parsed.until, parsed.is_waited, parsed.store) == (("a", "b", "c"), "z", True, "x.db")


def test_a_flow_line_sets_only_what_it_says():
    assert parse_flow_line("sales --mode sequential --timeout 2m").fields == {"mode": "sequential", "timeout_s": 120.0}
