from __future__ import annotations

import pytest

from szal_nb.errors import InvalidStep
from szal_nb.model.step import Backoff, Compensation, Executor, OnError, RetryPolicy, Step, Trigger
from szal_nb.notebook.flags import (
    InvalidLine,
    Spelled,
    parse_flow_line,
    parse_rollback_line,
    parse_run_line,
    parse_step_line,
    spelled_in,
)


def test_every_flag_of_a_step_has_its_place():
    """Step flags: `--retries N --delay 1s --backoff fixed|linear|exponential --max-delay 60s --jitter 0.1 --retry-on ValueError,TimeoutError --no-retry-on …`, `--timeout 30s` (per attempt), `--when EXPR`, `--trigger all|any`, `--map items`, `--max-parallel N`, `--on-error fail|continue`, `--approve "message"`, `--cache`, `--executor thread|process|main`, `--parent STEP` (hierarchical), `--tag T`."""
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
        ("%%szal_step load --retries 3\nx = 1", ("%%szal_step", "load --retries 3", "x = 1")),
        ("\n%%szal_step load\nx = 1\ny", ("%%szal_step", "load", "x = 1\ny")),
        ("#| step: load --retries 3\nx = 1", ("%%szal_step", "load --retries 3", "x = 1")),
        ("#|step:load\nx", ("%%szal_step", "load", "x")),
        ("%%szal_step load", ("%%szal_step", "load", "")),
        ("%%szal_rollback load --retries 3\nx", ("%%szal_rollback", "load --retries 3", "x")),
        ("#| rollback: load\nx", ("%%szal_rollback", "load", "x")),
        ("%%szal_stepper load\nx", None),
        ("%%szal_rollbacks load\nx", None),
        ("# step: load\nx", None),
        ("x = 1\n#| step: load", None),
    ],
)
def test_the_spellings_of_a_step_cell_and_of_what_undoes_one(cell, expected):
    assert spelled_in(cell) == (expected and Spelled(*expected))


def test_every_flag_of_a_rollback_has_its_place():
    parsed = parse_rollback_line("load --retries 2 --delay 1ms --retry-on OSError --timeout 5s")

    assert (parsed.step, parsed.compensation(source="x")) == (
        "load",
        Compensation(source="x", retry=RetryPolicy(retries=2, delay_s=0.001, retry_on=("OSError",)), timeout_s=5.0),
    )


@pytest.mark.parametrize(
    ("line", "error", "text"),
    [
        ("load --timout 5s", InvalidLine, "%%szal_rollback: There is no flag --timout. Did you mean --timeout?"),
        ("load --when x", InvalidLine, "There is no flag --when."),
        ("", InvalidLine, "The following arguments are required: step."),
        ("load --retries -1", InvalidStep, "Step 'load': --retries -1 is refused."),
        ("2nd", InvalidStep, "this is not a name for a step"),
    ],
)
def test_a_flag_of_a_rollback_that_is_not_right_is_refused(line, error, text):
    with pytest.raises(error) as caught:
        parse_rollback_line(line)

    assert text in str(caught.value)


def test_a_run_line_takes_parameters_again_and_again():
    parsed = parse_run_line("sales -p rows -5 -p name 'a b' --only a,b c --until z --wait --store x.db")

    assert (parsed.flow, parsed.parameters) == ("sales", (("rows", "-5"), ("name", "a b")))
    assert (parsed.only, parsed.until, parsed.is_waited, parsed.store) == (("a", "b", "c"), "z", True, "x.db")


def test_a_flow_line_sets_only_what_it_says():
    assert parse_flow_line("sales --mode sequential --timeout 2m").fields == {"mode": "sequential", "timeout_s": 120.0}
