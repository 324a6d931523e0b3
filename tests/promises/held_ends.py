"""Flows whose runs do more than give values, and end in each way that a run can end."""

from __future__ import annotations

from collections.abc import Mapping

from tests.promises.held import Held

_WORLD = "import szal_held_world as world\n"
TRIP = {
    "a": "a = [world.put('a')]",
    "rollback: a": "world.take(a[0])",
    "b": "b = world.put('b') + a[0]",
    "rollback: b": "world.take(b[0])",
    "plain": "p = [1]",
    "end": "p.append(2)\ne = len(a) / k, b, world.put('end')",
}
MENDED: Mapping[str, Mapping[str, str | None]] = {"mended": {"end": "e = a, b, world.put('end')"}}
# Does not end before somebody has acted, the first time.
_HELD_UP = "await world.wait()\nb = world.put('b') + a[0]"
_UNDONE = (
    r"was rolled back: what it completed is undone|it is being undone, and its process is gone|is being undone already"
)


NO_UNDO = {line: source for line, source in TRIP.items() if not line.startswith("rollback")}
HELD_UP = {"b": _HELD_UP}


def with_b(line: str, source: str) -> dict[str, str]:
    """The trip with another step `b`."""
    return {line if known == "b" else known: source if known == "b" else cell for known, cell in TRIP.items()}


ENDS: dict[str, Held] = {
    "failed": Held(f"{_WORLD}k = 0", NO_UNDO, MENDED, end="failed", input=("k", 1)),
    "undone": Held(f"{_WORLD}k = 0", TRIP, MENDED, end="rolled_back", input=("k", 1), refused=_UNDONE),
    "half undone": Held(f"{_WORLD}k = 0", {**TRIP, "rollback: a": "world.take('a')\nraise OSError(a)"}, MENDED, end="failed", input=("k", 1), refused=_UNDONE),
    "could not be undone": Held(f"{_WORLD}k = 0", {**TRIP, "rollback: a": "raise OSError(a)"}, MENDED, end="failed", input=("k", 1), refused=_UNDONE),
    "cancelled": Held(f"{_WORLD}k = 1", {**NO_UNDO, **HELD_UP}, MENDED, end="cancelled", acts={"b": "cancel"}),
    "cancelled, not undone": Held(f"{_WORLD}k = 1", {**TRIP, **HELD_UP}, MENDED, end="cancelled", acts={"b": "cancel"}),
    "cancelled and undone": Held(f"{_WORLD}k = 1", {**TRIP, **HELD_UP}, MENDED, flow={"rollback_on": ("cancel",)}, end="rolled_back", acts={"b": "cancel"}, refused=_UNDONE),
    "timed out": Held(f"{_WORLD}k = 1", {**NO_UNDO, **HELD_UP}, MENDED, flow={"timeout_s": 3600.0}, end="failed", acts={"b": "time out"}),
    "timed out and undone": Held(f"{_WORLD}k = 1", {**TRIP, **HELD_UP}, MENDED, flow={"timeout_s": 3600.0, "rollback_on": ("timeout",)}, end="rolled_back", acts={"b": "time out"}, refused=_UNDONE),
    "paused": Held(f"{_WORLD}k = 1", {**TRIP, **HELD_UP}, MENDED, acts={"b": "pause"}),
    "waiting": Held(f"{_WORLD}import szal_nb as szal\nk = 1", with_b("b --approve 'really?'", "b = world.put('b') + a[0] + szal.context().answer"), MENDED, answers={"b": "yes"}),
    "skipped": Held(f"{_WORLD}k = 0", {**with_b("b --when 'len(a) > 1'", "b = world.put('b') + a[0]"), "end": "e = len(a) / k"}, {"mended": {"end": "e = a"}, "not skipped": {"a": "a = [world.put('a'), 1]", "end": "e = a"}}, end="rolled_back", input=("k", 1), refused=_UNDONE),
    "only once": Held(f"{_WORLD}k = 0", with_b("b --once", "b = world.put('b') + a[0]"), MENDED, end="rolled_back", input=("k", 1), refused=f"{_UNDONE}|is marked --once and (has begun|may have done)"),
    "tried again": Held(f"{_WORLD}k = 1", with_b("b --retries 2 --delay 1ms", "world.fail_once()\nb = world.put('b') + a[0]"), MENDED),
    "elements": Held(f"{_WORLD}k = 0", {**with_b("b --map a", "b = world.put('b') + a"), "rollback: b": "world.take('b')"}, MENDED, end="rolled_back", input=("k", 1), refused=_UNDONE),
}  # fmt: skip

_SUB = """import szal_nb as szal
sub = szal.Flow("sub")

@sub.step
def first(n):
    return [n]

@sub.step
def second(first):
    return [*first, 2]
"""
SUB_FLOWS: dict[str, Held] = {
    "a sub-flow in a thread": Held(_SUB, {"a": "a = 1", "b": "r = szal.run(sub, {'n': a}, store='inner.db')\nb = r.values.second", "end": "e = b + [a]"}, {"the middle": {"b": "r = szal.run(sub, {'n': a + 1}, store='inner.db')\nb = r.values.second"}}),
    "a sub-flow that is awaited": Held(_SUB, {"a": "a = 1", "b": "r = sub.start({'n': a}, store='inner.db')\nawait r\nb = r.values.second", "end": "e = b + [a]"}),
    "a sub-flow without record": Held(_SUB, {"a": "a = 1", "b": "b = szal.run(sub, {'n': a}, store=None).values.second", "end": "e = b + [a]"}),
    "a run of a sub-flow as value": Held(_SUB, {"a": "a = 1", "b": "r = szal.run(sub, {'n': a}, store='inner.db')", "end": "e = r.values.second + [a]"}),
    "a sub-flow in its own store": Held(_SUB, {"a": "a = 1", "b": "b = szal.run(sub, {'n': a}).values.second", "end": "e = b + [a]"}),
    "a sub-flow of a sub-step": Held(_SUB, {"a": "a = 1", "b --parent a": "b = szal.run(sub, {'n': 1}, store=None).values.second", "end": "e = b + [a]"}),
    "a sub-flow per element": Held(_SUB, {"a": "a = [1, 2]", "b --map a": "b = szal.run(sub, {'n': a}, store=None).values.second", "end": "e = b + [a]"}),
    "a sub-flow in another process": Held(_SUB, {"a": "a = 1", "b --executor process": "b = szal.run(sub, {'n': a}, store=None).values.second", "end": "e = b + [a]"}, end="failed"),
}  # fmt: skip
