from __future__ import annotations

import pytest

from szal_nb.notebook.completion import completions


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%%szal_step load --ret", ["--retries", "--retry-on"]),
        ("%%szal_step load --retries 3 --ret", ["--retry-on"]),
        ("#| step: load --time", ["--timeout", "--timeout-total"]),
        ("%%szal_rollback c", ["clean", "cut"]),
        ("%%szal_rollback clean --re", ["--retries", "--retry-on"]),
        ("#| rollback: clean --time", ["--timeout"]),
        ("%%szal_step load --backoff ", ["exponential", "fixed", "linear"]),
        ("%%szal_step load --after c", ["clean", "cut"]),
        ("%%szal_step load --after clean c", ["cut"]),
        ("run = %szal_run --until cl", ["clean"]),
        ("run = %szal_run --w", ["--wait"]),
        ("%szal_run --awai", []),
        ("%szal_unknown --x", None),
        ("x = load --ret", None),
    ],
)
def test_flags_values_and_step_names_are_offered(line, expected):
    assert completions(line, ["load", "clean", "cut"]) == expected
