"""What goes into the body of a step, and what follows from its end: values, watches, errors. Part of the runner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from szal_nb.engine.attempt import Attempt, describe
from szal_nb.engine.immutable import are_immutable, are_small
from szal_nb.engine.imports import import_again
from szal_nb.engine.light_steps import bare_steps
from szal_nb.engine.live_classes import LiveClasses
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.outcome import COMPLETED
from szal_nb.engine.patches import lost_patch
from szal_nb.engine.rebuilding import Rebuilding
from szal_nb.engine.shared_values import NAME as SHARED
from szal_nb.engine.shared_values import TRIED, SharedValues
from szal_nb.engine.signal import (
    AttemptCancelled,
    AttemptCompleted,
    AttemptFailed,
    Given,
    Signal,
)
from szal_nb.engine.ties import Ties
from szal_nb.engine.values import Journal, ValueTable, check_kept
from szal_nb.engine.watch import UNTOUCHED, Watch
from szal_nb.errors import (
    AnswerError,
    ChangedSince,
    ClassIsOne,
    PatcherHeld,
    RebuiltDiffers,
    RetryAfter,
    StepTimeout,
    StopRun,
    ValueNotStored,
    ValueUnreadable,
)
from szal_nb.model.kept import patched, state_of
from szal_nb.model.value import HOLDS_PATCHER, ValueRef, is_about_the_process, is_live_state

log = logging.getLogger(__name__)

# What another attempt would not mend.
_FINAL = (AnswerError, ChangedSince, ClassIsOne, PatcherHeld, RebuiltDiffers, ValueNotStored, ValueUnreadable)


class Earlier(Protocol):
    """What earlier runs have given."""

    def may_have(self, step: str) -> bool:
        """Whether it is worth a look for this step."""
        ...

    def find(self, step: str, fingerprint: str, read: Mapping[str, ValueRef]) -> Given | None:
        """What stands for an attempt of the step that would read this; None if it must run.

        Called in a worker thread.
        """
        ...


class StepOwner:
    """The owner of the attempts of steps, as far as they concern no loop."""

    def __init__(
        self,
        machine: RunMachine,
        inputs: Mapping[str, Any],
        kept: Mapping[tuple[int, str], ValueRef],
        *,
        journal: Journal | None,
        earlier: Earlier | None,
        clock: Callable[[], float],
        rebuilding: Rebuilding | None = None,
    ) -> None:
        self._rebuilding = rebuilding
        self.machine = machine
        self._clock = clock
        values = {key: ref for key, ref in kept.items() if not is_about_the_process(key[1])}
        self._table = ValueTable(machine.graph, inputs, values, journal, rebuilding)
        self.watch = Watch(
            machine.graph,
            self._table,
            refs=kept,
            load=None if journal is None else journal.load_fresh,
            is_ended=lambda i: machine.state[i].is_final,
            rebuilding=rebuilding,
        )
        self._live_classes = LiveClasses()
        self._ties = Ties(self.watch.usage, self.watch.contents) if journal is not None else None
        # The short way for steps that are only ordered: they read nothing, and nothing of them is looked into.
        self._is_bare = machine.graph.derived(bare_steps)
        self._earlier = earlier

    def look(self, attempt: Attempt) -> Given | None:
        """What an earlier run gave that stands for the attempt. Called in a worker thread."""
        try:
            fingerprint = self._table.fingerprint(attempt.step)
            if fingerprint and self._earlier is not None:
                found = self._earlier.find(attempt.context.step, fingerprint, self._table.read(attempt.step))
                if found is not None:
                    attempt.context.write("stderr", found.said)
                    import_again([self.machine.steps[attempt.step]])
                return found
        except Exception:
            log.exception("Earlier runs could not be searched for step %r; it runs.", attempt.context.step)
        return None

    def resume(self) -> None:
        """Reads again what counts before anything runs; where that cannot be read, each attempt will say so."""
        try:
            self.watch.resume()
        except ValueUnreadable as error:
            self._table.unreadable = error

    def must_load(self, attempt: Attempt) -> bool:
        """As `Owner`."""
        i = attempt.step
        return not self._is_bare[i] and (self._table.must_load(i) or not self.watch.is_light(i))

    def inputs_of(self, attempt: Attempt) -> dict[str, Any]:
        """As `Owner`."""
        i = attempt.step
        self._table.check_readable()
        if self._ties is not None and self._ties.refused:
            self._ties.check(i)
        return {} if self._is_bare[i] else self.watch.begin(i, attempt.number, self._table.gather)

    def must_keep(self, attempt: Attempt, given: dict[str, Any]) -> bool:
        """As `Owner`: a few numbers are written down sooner than a thread is asked to do it."""
        if not self._table.must_keep(given):
            return self.watch.is_on and not are_immutable(given.values())
        return not (are_small(given.values()) and self.watch.ends_lightly(attempt.step))

    def complete(self, attempt: Attempt, given: dict[str, Any]) -> Signal:
        """As `Owner`."""
        at, i = self._clock(), attempt.step
        if self._rebuilding is not None and i in self._rebuilding:
            return self._complete_again(attempt, given, self._rebuilding)
        if self._rebuilding is not None:
            self._rebuilding.check_late(i, given)
        besides = UNTOUCHED if self._is_bare[i] else self.watch.finish(i, attempt.number, given)
        if not self._table.is_recorded:
            if given and not attempt.context.is_closed:
                self._table.put(i, given, ())
                if besides is not UNTOUCHED:
                    self.watch.kept(i, ())
            return AttemptCompleted(at, i, attempt.number)
        if not given and not besides:
            return AttemptCompleted(at, i, attempt.number, fingerprint=self._table.fingerprint(i))
        refs = self._tied(i, given, besides, self._keep(i, attempt.number, given, besides))
        step = self.machine.steps[i]
        if step.once or step.strict:
            check_kept(step, refs)
        _check_patchers(step.name, given, refs)
        if not attempt.context.is_closed:
            self._table.put(i, given, refs)
            self.watch.kept(i, refs)
        return AttemptCompleted(at, i, attempt.number, refs, fingerprint=self._table.fingerprint(i))

    def read_late(self, rebuilding: Rebuilding | None) -> None:
        """Steps that others have overtaken run now, and read what they should have read."""
        if self._rebuilding is None:
            self._rebuilding = rebuilding
        elif rebuilding is not None:
            self._rebuilding.take_late(rebuilding)
        self._table.read_late(self._rebuilding)
        self.watch.read_late(self._rebuilding)

    def _complete_again(self, attempt: Attempt, given: dict[str, Any], rebuilding: Rebuilding) -> Signal:
        """A rebuilt step has given these: what of it is on record stays as it is."""
        at, i = self._clock(), attempt.step
        anew = rebuilding.given_anew(i, given)
        besides = self.watch.finish(i, attempt.number, anew)
        refs = self._keep(i, attempt.number, given, besides)
        refs, differing = rebuilding.recorded(i, attempt.number, refs)
        if differing:
            names = ", ".join(differing)
            text = f"[szal: {names}: not what is on record this time; the run goes on with what is on record]\n"
            attempt.context.write("stderr", text)
        refs = self._tied(i, anew, besides, refs)
        self._table.settle(i, refs)
        if not attempt.context.is_closed:
            self._table.put(i, anew, refs)
            self.watch.kept(i, refs)
        return AttemptCompleted(at, i, attempt.number, refs, fingerprint=self._table.fingerprint(i))

    def lost_for(self, step: int) -> tuple[str, list[str]] | None:
        """What keeps `step` from running again: it, or one behind it, came to nothing, and had begun to change this."""
        for i in sorted(self.machine.wiring.downstream(step)):
            lost = self.watch.lost_by(i) if self.machine.state[i] is not COMPLETED else ()
            if lost:
                return self.machine.names[i], sorted(set(map(self.watch.usage.title, lost)))
        return None

    def keep_inputs(self, inputs: Mapping[str, Any], kept: tuple[ValueRef, ...]) -> tuple[ValueRef, ...]:
        """The references to record of the run's inputs; if they are `kept` already, with what is recorded besides.

        Called in a worker thread.
        """
        besides = self.watch.besides_inputs()
        refs = self._keep(None, 0, {} if kept else inputs, besides)
        return self._tied(None, inputs, besides, (*kept, *refs))

    def _keep(
        self, i: int | None, attempt: int, given: Mapping[str, Any], besides: Mapping[str, object]
    ) -> tuple[ValueRef, ...]:
        """Writes down what step `i` gave (None: the inputs), with what is to be recorded besides."""
        values = {**given, **besides} if besides else given
        refs = self._live_classes.titled(values, self._table.keep(i, attempt, values))
        if not besides:
            return self.watch.titled(i, refs, besides)
        refs = tuple(self._recorded_patch(i, attempt, ref, besides) for ref in refs)
        shared = besides.get(SHARED)
        if isinstance(shared, SharedValues) and next(ref for ref in refs if ref.name == SHARED).live is not None:

            def can_store(value: Any) -> bool:
                # Under no name of a step: it is another one's, which will say what the name holds.
                return self._table.keep_aside(i, attempt, {TRIED: value}, is_needed=True)[0].live is None

            for smaller in self.watch.smaller_groups(i, refs, shared, can_store):
                besides = {**besides, SHARED: smaller}
                again = self._table.keep_aside(i, attempt, {SHARED: smaller}, is_needed=True)
                refs = (*(ref for ref in refs if ref.name != SHARED), *again)
                if again[0].live is None:
                    break
        return self.watch.titled(i, refs, besides)

    def _recorded_patch(self, i: int | None, attempt: int, ref: ValueRef, besides: Mapping[str, object]) -> ValueRef:
        """What is on record of what a step has put into a module: itself, or that it could not be stored."""
        if ref.live is None or not patched(state_of(ref.name)):
            return ref
        (again,) = self._table.keep_aside(i, attempt, {ref.name: besides[ref.name]}, is_needed=True)
        if again.live is not None:
            (again,) = self._table.keep_aside(i, attempt, {ref.name: lost_patch(ref.live)}, is_needed=True)
        return again

    def _tied(
        self, i: int | None, given: Mapping[str, Any], besides: Mapping[str, object], refs: tuple[ValueRef, ...]
    ) -> tuple[ValueRef, ...]:
        ties = self._ties
        if ties is None:
            return refs
        if not any(ref.live is not None and (ref.needed or is_live_state(ref)) for ref in refs) and (
            not ties.are_any or (i is not None and not self.watch.usage.changed[i] and are_immutable(given.values()))
        ):
            # What cannot change shares nothing that matters, and all that a live value holds would be gone through.
            return refs
        with self.watch.held:
            return ties.titled(i, given, besides, refs)

    def fail(self, attempt: Attempt, error: BaseException) -> Signal:
        """As `Owner`."""
        at = self._clock()
        step = self.machine.steps[attempt.step]
        error = self.watch.fail(attempt.step, attempt.number, error)
        if isinstance(error, asyncio.CancelledError) and attempt.context.cancelled and not attempt.is_timed_out:
            return AttemptCancelled(at, attempt.step, attempt.number)
        if isinstance(error, StopRun):
            return AttemptCompleted(at, attempt.step, attempt.number, stop=error.reason)
        limit_s = step.timeout_total_s if attempt.is_overdue else step.timeout_s
        if attempt.is_timed_out and limit_s is not None:
            error = StepTimeout(step.name, limit_s)
        retry_after_s = error.seconds if isinstance(error, RetryAfter) else None
        info = describe(error, attempt.context)
        is_final = attempt.is_overdue or isinstance(error, _FINAL)
        return AttemptFailed(at, attempt.step, attempt.number, info, retry_after_s, is_final=is_final)


def _check_patchers(step: str, given: Mapping[str, Any], refs: Iterable[ValueRef]) -> None:
    """PatcherHeld if other steps could start or stop a patcher that no name of its own leads to."""
    for ref in refs:
        if ref.needed and ref.live == HOLDS_PATCHER and type(given.get(ref.name)).__module__ != "unittest.mock":
            raise PatcherHeld(step, ref.name)
