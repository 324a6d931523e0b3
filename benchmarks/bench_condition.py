"""What deciding a condition costs, beside a Python function that decides the same.

Run: python benchmarks/bench_condition.py [--check]. Each time is the best of several rounds, in µs per evaluation;
`--check` fails if a condition takes longer than the limit.
"""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Callable, Mapping
from typing import Any

from szal_nb.analysis.condition import Condition, compile_condition

LIMIT_US = 3.0
ROUNDS = 7
TIMES = 20_000

Values = Mapping[str, Any]

STEPS = {"build": {"status": "completed", "output": {"count": 3}, "error": None, "attempts": 1, "duration": 0.5}}
VALUES: Values = {"steps": STEPS, "inputs": {"region": "EU"}, "a": {"rows": 3}, "orders": [1, 2, 3]}

CONDITIONS: dict[str, Callable[[Values], bool]] = {
    "steps.build.status == 'completed'": lambda v: v["steps"]["build"]["status"] == "completed",
    "steps.build.output.count > 2": lambda v: v["steps"]["build"]["output"]["count"] > 2,
    "a.rows > 0": lambda v: v["a"]["rows"] > 0,
    "len(orders) > 0": lambda v: len(v["orders"]) > 0,
    "inputs.region in ['US', 'EU']": lambda v: v["inputs"]["region"] in ["US", "EU"],
    "steps.build.status == 'completed' && (a.rows > 0 || inputs.region == 'US')": lambda v: (
        v["steps"]["build"]["status"] == "completed" and (v["a"]["rows"] > 0 or v["inputs"]["region"] == "US")
    ),
    "a.rows in [1, 2, 3]": lambda v: v["a"]["rows"] in [1, 2, 3],
    "3 in orders": lambda v: 3 in v["orders"],
}


def best_us(call: Callable[[], object], times: int = TIMES) -> float:
    """Microseconds of one call, the best of several rounds."""
    return min(timeit.repeat(call, number=times, repeat=ROUNDS)) / times * 1e6


def main() -> int:
    """Prints the table; 1 if `--check` is asked for and a condition is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"fail if a condition takes over {LIMIT_US} µs")
    is_checked = parser.parse_args().check
    slow = []
    print(f"{'evaluate':>9} {'python':>9} {'ratio':>6} {'cached':>9} {'compile':>9}   µs")
    for text, function in CONDITIONS.items():
        evaluate = compile_condition(text).evaluate
        own, floor = best_us(lambda: evaluate(VALUES)), best_us(lambda: function(VALUES))  # noqa: B023 called at once
        cached = best_us(lambda: compile_condition(text))  # noqa: B023 called at once
        made = best_us(lambda: Condition(text), TIMES // 100)  # noqa: B023 called at once
        print(f"{own:9.2f} {floor:9.2f} {own / floor:6.1f} {cached:9.2f} {made:9.2f}   {text}")
        if own > LIMIT_US:
            slow.append(text)
    for text in slow if is_checked else ():
        print(f"over {LIMIT_US} µs: {text}", file=sys.stderr)
    return bool(slow) and is_checked


if __name__ == "__main__":
    sys.exit(main())
