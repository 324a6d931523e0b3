"""Watches over one run that its answer is that of running from the top, for what no analysis of code can know.

It is told when attempts begin, give values and end. It compares values after their last reader, finds sharing that
matters, lets attempts begin clean and compares the hidden state of the process. What it finds it raises; the attempt
that found it fails. All of it may be called on any thread; the long parts are kept off the event loop by the runner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from szal_nb.engine.attempts import Pristine
from szal_nb.engine.captures import put_back_globals
from szal_nb.engine.contents import Contents, Spans
from szal_nb.engine.digest import digest
from szal_nb.engine.hidden import HiddenStates
from szal_nb.engine.immutable import IMMUTABLE, are_immutable
from szal_nb.engine.kept_parts import KeptParts
from szal_nb.engine.light_steps import is_hidden_watched, light_steps
from szal_nb.engine.rebuilding import Rebuilding
from szal_nb.engine.shared_states import reached, refuse_shared, told_apart
from szal_nb.engine.shared_values import NAME as SHARED
from szal_nb.engine.shared_values import SharedValues, titled
from szal_nb.engine.states import RecordedStates, changes_kept
from szal_nb.engine.together import Together
from szal_nb.engine.undeclared import UndeclaredUse
from szal_nb.engine.usage import Key, Usage, is_held
from szal_nb.engine.values import ValueTable
from szal_nb.engine.versions import Versions
from szal_nb.errors import AnswerError, NoCleanStart
from szal_nb.model.flow import Guard
from szal_nb.model.graph import DISPLAY, FlowGraph
from szal_nb.model.value import ValueRef

# The name under which the record says that a step had something computed in live values.
COMPUTED = "<computed>"
# That there is nothing to record besides, and nothing of it has been taken down here.
UNTOUCHED: Mapping[str, object] = MappingProxyType({})


class _Held:
    """Holds a lock as long as a look takes; `count` says how many hold it or wait for it."""

    __slots__ = ("_lock", "count")

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self.count -= 1


class Watch:
    """See the module. `table` has the run's values, `refs` what is on record of them; `load` reads one afresh."""

    def __init__(
        self,
        graph: FlowGraph,
        table: ValueTable,
        *,
        refs: Mapping[tuple[int, str], ValueRef],
        load: Callable[[ValueRef], Any] | None = None,
        is_ended: Callable[[int], bool] = lambda _: False,
        rebuilding: Rebuilding | None = None,
    ) -> None:
        self._graph = graph
        self._guard = graph.flow.guard
        self._table = table
        self._versions = Versions(table)
        self._load = load
        self._is_ended = is_ended
        self.usage = graph.derived(Usage)
        self._rebuilding = rebuilding
        if rebuilding is not None:
            self.usage = self.usage.narrowed(rebuilding)
        # What the record holds of versions, also of those that an earlier process gave.
        self.refs: dict[Key, ValueRef] = {(i, name): ref for (i, name), ref in refs.items()}
        self.superseded = table.superseded
        # Sharing matters where something is changed, and where values are read again from a record.
        has_sharing = bool(self.usage.changers) or load is not None or graph.derived(changes_kept)
        self._lock = threading.RLock()
        self._spans = Spans()
        # May be told to look away, while a cell of the notebook is executed.
        self.hidden = HiddenStates()
        self.states = RecordedStates(graph, self._spans, self.refs, self.hidden)
        self.contents = Contents(self.usage, self._versions, self._spans, self._guard, has_sharing=has_sharing)
        # Hidden state has an order only where steps have one: in a document, not in a flow of functions.
        self.is_on = self._guard is not Guard.OFF or bool(self.usage.changers)
        # What the notebook's classes and functions hold matters where something is changed.
        changes_any = bool(self.usage.changers) or graph.derived(changes_kept)
        self.kept_parts = None
        if changes_any:
            self.kept_parts = KeptParts(graph, self.usage, self.contents, self._guard)
        self._is_hidden_watched = is_hidden_watched(graph)
        self._has_nothing, self._only_reads, self._is_told_by_values = graph.derived(light_steps)
        # As long as no value that could change is about, there is nothing to look into, whatever steps read.
        self._are_fixed = not refs and are_immutable(table.inputs.values())
        self._undeclared = UndeclaredUse(graph)
        self._together = Together(self.usage, self._versions, self.contents.parts, self._is_under_way)
        self._pristine: dict[int, tuple[Pristine, dict[str, object]]] = {}
        self._is_dirty: set[int] = set()
        # What steps that have ended may have changed, until that is recorded.
        self._reached: dict[int, set[Key]] = {}
        # Of what steps that have ended have read, what they had computed by that.
        self._computed: dict[int, set[Key]] = {}
        self.held = _Held(self._lock)
        self._entered: dict[int, int] = {}
        # Steps whose bodies have ended well, until that is recorded.
        self._ending: set[int] = set()

    def is_light(self, i: int) -> bool:
        """Whether the beginning of step `i` has nothing to look into, so that it may be on the event loop."""
        if self.held.count:
            return False
        if self._are_fixed and self._only_reads[i]:
            return True
        return not self.usage.changed[i] and all(map(self.contents.is_light, self.usage.taken[i]))

    def ends_lightly(self, i: int) -> bool:
        """Whether there is nothing to look into when step `i` has given what cannot change."""
        return self._only_reads[i] and not self.contents.is_compared(i)

    def _is_under_way(self, i: int) -> bool:
        """Whether the body of step `i` runs, or has reached nothing that others share, and is being recorded."""
        usage = self.usage
        return i in self._entered or (i in self._ending and usage.doubtful.issuperset((i, k) for k in usage.changed[i]))

    def _begins_clean(self, i: int) -> bool:
        """Whether it is taken down what step `i` begins with: it may have another attempt, or that takes no copy."""
        step, changed = self._graph.nodes[i].step, self.usage.changed[i]
        has_kept = self.states.are_kept_for(i)
        if step.retry.retries > 0 or step.timeout_s is not None:
            return bool(changed) or has_kept
        if has_kept or not changed:
            return False
        # Of what steps gave the record is asked anyway.
        return changed[0][0] is None and self._stored(i, self._reach(i)) is not None

    def begin(self, i: int, attempt: int, gather: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        """The inputs of an attempt of step `i`, which begins now."""
        self.states.put_back_settings(i, self._load)
        if self._has_nothing[i] and not self._is_dirty:
            return gather(i)
        if self._only_reads[i] and not self._is_dirty:
            # The short way: what cannot change needs no look.
            inputs = gather(i)
            if self._are_fixed and self._is_told_by_values[i]:
                self._entered[i] = attempt
                self._spans.note(i)
                return inputs
            if are_immutable(inputs.values()):
                self._enter(i, attempt, inputs)
                return inputs
        with self.held:
            for step in (*self._is_dirty, *((i,) if i in self._pristine else ())):
                self._restore(step)
            inputs = gather(i)
            for key in self.usage.taken[i]:
                self.contents.track(key, self._versions.value(key))
            for key in self._reach(i):
                self.contents.compare(key, starting=i)
            if i not in self._pristine and self._begins_clean(i):
                states = self.states.clean(i)
                self._pristine[i] = (self._clean_start(i), states)
            refuse_shared(i, self.states, self.contents, self.usage)
            self._supersede(i)
            self.states.put_back(i, self._load)
            if self.kept_parts is not None:
                self.kept_parts.begin(i, is_put_back=self._load is not None and self.states.are_kept_for(i))
        self._enter(i, attempt, inputs)
        return inputs

    def _enter(self, i: int, attempt: int, inputs: Mapping[str, Any]) -> None:
        self._spans.note(i)
        self._entered[i] = attempt
        if self._is_hidden_watched:
            self.hidden.enter(i, (*inputs.values(), *self.states.definitions_of(i)))

    def use(self, load: Callable[[ValueRef], Any] | None) -> None:
        """The run goes on with another record."""
        self._load = load

    def read_late(self, rebuilding: Rebuilding | None) -> None:
        """From now on these steps have some values for themselves."""
        self._rebuilding = rebuilding
        self.usage = self._graph.derived(Usage)
        if rebuilding is not None:
            self.usage = self.usage.narrowed(rebuilding)

    def take_inputs(self, refs: Iterable[ValueRef]) -> None:
        """What the record holds of the run's inputs."""
        self.refs.update({(None, ref.name): ref for ref in refs})

    @property
    def must_look_at_inputs(self) -> bool:
        """Whether it matters what the run's inputs share before a step takes them."""
        is_held = self.kept_parts is not None and self.kept_parts.are_any(self.states.definitions)
        return is_held or (bool(self.usage.changers) and not are_immutable(self._table.inputs.values()))

    def look_at_inputs(self) -> None:
        """Looks at the run's inputs before any step runs. With a record `besides_inputs` does so."""
        with self.held:
            for name in self._versions.inputs():
                self.contents.track_early((None, name))
            if self.kept_parts is not None:
                self.kept_parts.look(self.states.definitions)

    def besides_inputs(self) -> dict[str, object]:
        """What to record with the run's inputs: what they share, and the states of its global generators."""
        shared = None
        if self._load is not None:
            with self.held:
                self.look_at_inputs()
                shared = self._together.group_of_inputs(self._is_live_with_notebook)
        states = told_apart(self.states.of_inputs(), self.contents)
        return states if shared is None else {**states, SHARED: shared}

    def _is_live_with_notebook(self, key: Key) -> bool:
        return self.kept_parts is not None and self.kept_parts.is_live(key)

    def finish(self, i: int, attempt: int, given: Mapping[str, Any]) -> Mapping[str, object]:
        """The body of step `i` gave these. Gives what to record besides: states of generators that it used.

        `UNTOUCHED` if nothing had to be looked into: without a record nobody need say then that it is `kept`.
        Raises AnswerError for what it, or a step beside it, must not have done.
        """
        if self._entered.get(i) != attempt:
            return {}
        if self._are_fixed:
            for value in given.values():
                if not IMMUTABLE[type(value)]:
                    self._are_fixed = False
                    break
            else:
                if self._is_told_by_values[i]:
                    del self._entered[i]
                    self._spans.note(~i)
                    return UNTOUCHED
        self._ending.add(i)
        try:
            self._leave(i, has_failed=False)
            lazy = self.contents.parts.lazy
            if (
                self._only_reads[i]
                and are_immutable(
                    (value for name, value in given.items() if name != DISPLAY) if DISPLAY in given else given.values()
                )
                and (not lazy or lazy.isdisjoint(self.usage.taken[i]))
            ):
                return {}
            with self.held:
                return self._besides(i, given)
        except AnswerError:
            self._ending.discard(i)
            self._versions.take_back(i)
            raise

    def _besides(self, i: int, given: Mapping[str, Any]) -> Mapping[str, object]:
        self._track(i, self._versions.give(i, given))
        filled = self.contents.look_beside(self.usage.taken[i])
        besides = self.states.of(i) if self._load is None else told_apart(self.states.of(i), self.contents)
        # What was computed before a change is not what would be computed after it.
        self._computed[i] = computed = set(filter(self._is_yet_to_change, filled))
        reached = self._reached.pop(i, set()) | computed
        shared = self._together.group_of(i, given, reached) if self._load is not None else None
        for key in self._together.keys_of(shared) if shared is not None else ():
            # A change that nobody declared must not be recorded as if it had been there.
            self.contents.compare(key)
        return besides if shared is None else {**besides, SHARED: shared}

    def _is_yet_to_change(self, key: Key) -> bool:
        """Whether a step that has not ended may change the value, or what shares something with it."""
        changers = (i for other in self.contents.parts.closure([key]) for i in self.usage.changers.get(other, ()))
        return not all(map(self._is_ended, changers))

    def _track(self, i: int, seen: Mapping[str, Any]) -> None:
        for name, value in seen.items():
            self.contents.forget((i, name))
            self.contents.track((i, name), value)
            if self.kept_parts is not None and isinstance(value, type):
                self.kept_parts.give((i, name), value)

    def smaller_groups(
        self, i: int | None, refs: Iterable[ValueRef], shared: SharedValues, can_store: Callable[[Any], bool]
    ) -> Iterator[SharedValues]:
        """What to record instead of what is shared, if that could not be recorded: without live values, the best first.

        Of what another step is about to record nobody knows whether it is live: `can_store` tries. To leave it out
        would be to record anew, without it, what it was just recorded together with.
        """
        known = {**self.refs, **{(i, ref.name): ref for ref in refs}}
        live = {key for key, ref in known.items() if ref.live is not None}
        for is_taken in (
            lambda key, _: key not in live,
            lambda key, value: key not in live and (key in known or can_store(value)),
            lambda key, _: key in known and key not in live,
        ):
            with self.held:
                smaller = self._together.only(shared, is_taken)
            if smaller is not None:
                yield smaller

    def reads_unchanged(self, i: int) -> bool:
        """Whether all that step `i` reads still is what its givers gave, as far as that is compared."""
        if not self.contents.is_compared(i):
            return True
        with self.held:
            return self.contents.is_unchanged(self.usage.taken[i])

    def titled(self, i: int | None, refs: tuple[ValueRef, ...], besides: Mapping[str, object]) -> tuple[ValueRef, ...]:
        """The references to record of what step `i` gave, or of the inputs.

        Each says what of it cannot be compared; the one to shared values says which they are.
        """
        shared = besides.get(SHARED)
        if isinstance(shared, SharedValues):
            refs = tuple(titled(ref, shared) if ref.name == SHARED else ref for ref in refs)
        if self.kept_parts is not None:
            refs = self.kept_parts.titled(i, refs)
        refs = (*refs, *self._computed_in_live(i))
        unchecked = self.contents.unchecked
        if not unchecked:
            return refs
        return tuple(
            replace(ref, unchecked=unchecked[i, ref.name]) if (i, ref.name) in unchecked else ref for ref in refs
        )

    def _computed_in_live(self, i: int | None) -> Iterator[ValueRef]:
        """Says that step `i` runs again where live values are made again in which it had something computed."""
        if i is not None and (computed := self._computed.pop(i, None)):
            names = self.usage.names
            live = [key for key in computed if (ref := self.refs.get(key)) is not None and ref.live is not None]
            ties = tuple(sorted(("" if key[0] is None else names[key[0]], key[1]) for key in live))
            if ties:
                yield ValueRef(name=COMPUTED, live="it is a part of a live value", ties=ties)

    def take(self, i: int, refs: Iterable[ValueRef]) -> None:
        """Step `i` has given what another run has on record: whether it can change is known when it is read."""
        self._are_fixed = False
        self.kept(i, refs)

    def kept(self, i: int, refs: Iterable[ValueRef]) -> None:
        """What step `i` gave is recorded, and is the version to use from now on."""
        self._versions.take_back(i)
        self._ending.discard(i)
        if not self._only_reads[i]:
            self._together.set_changing(i)
            self._is_dirty.discard(i)
            self._pristine.pop(i, None)
        for ref in refs:
            self.refs[i, ref.name] = ref

    def fail(self, i: int, attempt: int, error: BaseException) -> BaseException:
        """The body of step `i` raised. Gives what is wrong: `error`, or what the step must not have done besides."""
        if self._entered.get(i) != attempt:
            return error
        try:
            self._leave(i, has_failed=True)
        except AnswerError as found:
            found.__cause__ = error
            return found
        return error

    def abandon(self, i: int) -> None:
        """Nobody waits for the attempt any more; what it works on belongs to it alone from now on. Never blocks."""
        self._versions.take_back(i)
        self._ending.discard(i)
        if self._entered.pop(i, None) is not None:
            self.hidden.forget(i)
        if i in self._pristine:
            self._is_dirty.add(i)
        if self.kept_parts is not None:
            self.kept_parts.let_go(i)

    def _leave(self, i: int, *, has_failed: bool) -> None:
        del self._entered[i]
        changed, by_import, window = self.hidden.leave(i) if self._is_hidden_watched else ((), (), ())
        self._spans.note(~i)
        contents = self.contents
        if self._only_reads[i] and not (changed or by_import or contents.streams or contents.is_compared(i)):
            return
        with self.held:
            if has_failed and i in self._pristine:
                self._is_dirty.add(i)
            self._look_at_reach(i, has_failed=has_failed)
            self._undeclared.check(changed, by_import, window, self.usage, self._may_change)
            can_retry = has_failed and self._graph.nodes[i].step.retry.retries > 0
            changes = set(self.usage.changed[i])
            for key in contents.streams.difference(self.usage.taken[i]):
                # Who says that it changes what shares something with it may be at it.
                if not any(map(self.usage.changers.get, contents.parts.closure([key]))):
                    contents.compare(key)
            for key in self.usage.taken[i]:
                if key in changes:
                    continue
                if not self.contents.has_baseline(key):
                    continue
                others = [reader for reader in self.usage.readers.get(key, ()) if reader != i]
                # That a step has ended is known when it is recorded: of several that end meanwhile each looks.
                if (
                    can_retry
                    or (self._load is not None and self.contents.is_small(key))
                    or all(self._has_left(reader) or self._is_ended(reader) for reader in others)
                ):
                    self.contents.compare(key)
                if not has_failed and not self.usage.changers.get(key) and all(map(self._is_ended, others)):
                    self.contents.let_go(key)

    def _may_change(self, i: int, kind: type) -> bool:
        """Whether step `i` says that it changes this class, which a step gave."""
        has, value = self._versions.has, self._versions.value
        return any(has(key) and value(key) is kind for key in self.contents.reach(i))

    def _reach(self, i: int) -> set[Key]:
        """What a change by step `i` may change, of values and of what functions remember."""
        return self.contents.reach(i) | reached(i, self.states, self.contents)

    def _look_at_reach(self, i: int, *, has_failed: bool) -> None:
        reached = self._reach(i)
        self.contents.look_after(i)
        for key in reached:
            self.contents.look_again(key)
        if reached and not has_failed:
            self._reached[i] = reached
        if self.kept_parts is not None:
            self.kept_parts.leave(i)

    def _has_left(self, i: int) -> bool:
        """Whether an attempt of step `i` has run, and none runs."""
        return i not in self._entered and i in self._spans.begun()

    def _restore(self, i: int) -> None:
        """What an earlier attempt of step `i` changed is as it was before, in new objects."""
        self._is_dirty.discard(i)
        found = self._pristine.get(i)
        if found is None:
            return
        self._together.set_changing(i)
        for key, value in found[0].fresh().items():
            self._versions.put(key, value)
            self.superseded.discard(key)
            self.contents.look_again(key)
        self.states.restore(i, found[1])

    def resume(self) -> None:
        """Reads again what was recorded together, before anything runs."""
        self.states.resume(self._load)
        if self._load is not None:
            with self.held:
                again = self._rebuilding
                told = {} if again is None else {"is_witness": again.is_witness}
                together = self._together.resume(self.refs, self._load, **told)
                put_back_globals(self._graph, self._table)
                self._track_unchanged(together)
        if self.kept_parts is not None and self.kept_parts.are_any(self.states.definitions):
            with self.held:
                # As the record has left them: what was recorded together is there by now.
                self._track_unchanged((None, name) for name in self._versions.inputs())
                self.kept_parts.look(self.states.definitions)

    def _track_unchanged(self, keys: Iterable[Key]) -> None:
        """Looks at those of the values that no step which has ended was to change."""
        for key in keys:
            if not any(map(self._is_ended, self.usage.changers.get(key, ()))):
                self.contents.track_early(key)

    def changed_inputs(self) -> set[str]:
        """The inputs of the run that steps may have changed in place, with those that share something with them."""
        with self.held:
            return {name for i in self._spans.begun() for place, name in self._reach(i) if place is None}

    # Attempts

    def _clean_start(self, i: int) -> Pristine:
        reach = self._reach(i)
        values: dict[Any, Any] = {key: self._versions.value(key) for key in reach if not is_held(key)}
        if values and len(values) < len(reach):
            held = ", ".join(sorted(self.usage.title(key) for key in reach if is_held(key)))
            raise NoCleanStart(self.usage.names[i], held, "values are a part of it")
        stored = self._stored(i, reach)
        digests = {} if stored else {key: digest(value, is_hashing=False) for key, value in values.items()}
        return Pristine(self.usage.names[i], values, digests, stored)

    def _stored(self, i: int, reach: Iterable[Key]) -> Callable[[], Any] | None:
        """Gives from the record what step `i` is about to change, if that is one object."""
        load, ref = self._load, self.refs.get(self.usage.changed[i][0]) if self.usage.changed[i] else None
        if load is None or ref is None or not ref.hash or not self.contents.filled.isdisjoint(reach):
            return None
        if len({id(self._versions.value(key)) for key in reach}) != 1:
            return None
        return lambda: load(ref)

    def lost_by(self, i: int) -> set[Key]:
        """What an attempt of step `i` that came to nothing may have changed, and nobody has as it was."""
        with self.held:
            if i not in self._spans.begun() or i in self._pristine:
                return set()
            return (self._reach(i) - self.superseded) | self.states.changed_by(i)

    def _supersede(self, i: int) -> None:
        """What the step is about to change is its own from now on; others ask the record."""
        if self._load is None:
            return
        self._together.set_changing(i, self.usage.changed[i])
        for key in self.usage.changed[i]:
            ref = self.refs.get(key)
            if key[0] is None or ref is None or ref.hash is None:
                continue
            self._versions.supersede((key[0], key[1]))
