"""The ways to go on from the record of a run, as functions that a table of tests crosses with what runs hold."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.api.run import Run
from szal_nb.app.deciding import answer_step, cancel_run
from szal_nb.errors import SzalError
from szal_nb.model.state import StepState, fold
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.doctor import repair
from szal_nb.store.runs import RunStore
from tests.promises.held import Held, Kernel, answer_of, cut, moments, world

# Loading runs code of whoever made an imported run.
OF_AN_IMPORTED = r"was imported; to go on|its run was imported"
Ways = Iterable[tuple[object, Callable[[], Run]]]


def fresh(held: Held, folder: Path, version: str = "as it was", inputs: Any = None) -> dict[str, Any]:
    """What a run leaves behind that takes nothing from another."""
    with RunStore.open(":memory:", durability="fast") as other:
        return answer_of(Kernel(held, folder, version).run(other, inputs))


def recorded(held: Held, folder: Path, store: RunStore) -> str:
    """A run of the flow that has come to its end, from which all cut ones are made."""
    run = Kernel(held, folder, is_acted_on=True).run(store)
    assert run.state == held.end, answer_of(run)
    return run.id


def wrong_ways(ways: Ways, expected: dict[str, Any], refused: str) -> dict[object, object]:
    """The ways that do not lead to the expected answer and are not refused with that text, and what came of them."""
    found: dict[object, object] = {}
    for label, way in ways:
        world.is_undoing = False
        try:
            answer = answer_of(way())
        except SzalError as error:
            text, answer = str(error), {}
        else:
            text = " ".join(error for _, error in answer["states"].values())
        if answer != expected and not is_undone(answer) and not re.search(refused, text):
            found[label] = answer or text
    return found


def is_undone(answer: dict[str, Any]) -> bool:
    """Whether nothing is left of a run, and it says so, where it was being undone already: it goes on with that alone."""
    return bool(answer) and world.is_undoing and answer["run"] == "rolled_back" and not answer["world"]


# The ways on. Each is a function of the flow, a folder for its processes, its store and the run that completed.


def resumed(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    for moment in moments(store, done):
        yield moment, lambda at=moment: Kernel(held, folder).resume(store, cut(store, done, at))


def forked(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    for step in store.snapshot(done).steps:
        yield step, lambda step=step: Kernel(held, folder).run(store, fork=(done, step))


def resumed_with_other_inputs(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    for moment in moments(store, done):
        old = cut(store, done, moment)
        yield moment, lambda old=old: Kernel(held, folder).run(store, other_input(held), fork=(old, None))


def other_input(held: Held) -> dict[str, Any]:
    return {} if held.input is None else dict([copy.deepcopy(held.input)])


def reused(held: Held, folder: Path, store: RunStore, done: str, version: str = "as it was") -> Ways:
    for moment in (None, *moments(store, done)[::2]):
        old = done if moment is None else cut(store, done, moment)
        yield moment, lambda old=old: Kernel(held, folder, version).run(store, reuse=old)


def migrated(held: Held, folder: Path, store: RunStore, done: str, version: str = "as it was") -> Ways:
    # Before one is undone: what goes with that may have been that of others.
    for moment, old in [(moment, cut(store, done, moment)) for moment in moments(store, done)]:
        to = NewVersion(graph=Kernel(held, folder, version, number=2).graph())
        made: list[str] = []

        def carried(old: str = old, to: NewVersion = to, made: list[str] = made) -> Run:
            migration.undo(store, migration.apply(store, old, to))
            made.append(migration.apply(store, old, to))
            return Kernel(held, folder, version, number=2).resume(store, made[0])

        yield moment, carried
        # Its process dies once more, when it has gone on.
        for again in moments(store, made[0])[3::4] if made else ():
            second = cut(store, made[0], again)
            kernel = partial(Kernel, held, folder, version, number=2)
            yield (moment, again), lambda second=second, kernel=kernel: kernel().resume(store, second)


def decided(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    """A person has said from another process what is to become of it."""
    for moment in moments(store, done):
        steps = fold(store.events(done)[:moment]).steps.values()
        for step in [step.name for step in steps if step.state is StepState.WAITING]:

            def answered(at: int = moment, step: str = step) -> Run:
                answer_step(
                    store, old := cut(store, done, at), step, approved=True, value=json.dumps(held.answers[step])
                )
                return Kernel(held, folder).resume(store, old)

            yield ("answered", moment), answered

        def put_down(at: int = moment) -> Run:
            cancel_run(store, store.run(old := cut(store, done, at)))
            return Kernel(held, folder).resume(store, old)

        yield ("cancelled", moment), put_down


def imported(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    with RunStore.open(folder / "other.db", durability="fast") as other:

        def carried_over(moment: int | None) -> str:
            run = done if moment is None else cut(store, done, moment)
            export_run(store, run, folder / "run.szal")
            return import_run(other, folder / "run.szal").id

        took = carried_over(None)
        yield from ((("fork", step), way) for step, way in forked(held, folder, other, took))
        yield "reuse", lambda: Kernel(held, folder).run(other, reuse=took)
        for moment in moments(store, done)[1::2]:
            yield ("resume", moment), lambda at=moment: Kernel(held, folder).resume(other, carried_over(at))
            to = NewVersion(graph=Kernel(held, folder, number=2).graph())
            kernel = partial(Kernel, held, folder, number=2)
            old = carried_over(moment)
            yield (
                ("migrate", moment),
                lambda old=old, to=to, kernel=kernel: kernel().resume(other, migration.apply(other, old, to)),
            )


def after_collection_and_repair(held: Held, folder: Path, _: RunStore, __: str) -> Ways:
    with RunStore.open(folder / "runs.db", durability="fast") as own:
        done = recorded(held, folder, own)
        cuts = {moment: cut(own, done, moment) for moment in moments(own, done)}
        # What has ended is collected.
        cuts = {moment: run for moment, run in cuts.items() if not own.run(run).state.is_final}
        collect(own, [run.id for run in own.runs()], now=9e9)
        repair(own.path, folder / "saved" / "runs.db")
        with RunStore.open(folder / "saved" / "runs.db", durability="fast") as saved:
            for place, where in (("collected", own), ("repaired", saved)):
                for moment, old in cuts.items():
                    yield (place, moment), lambda where=where, old=old: Kernel(held, folder).resume(where, old)
