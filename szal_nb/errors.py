"""Every error that szal_nb raises on purpose.

Errors keep fields and build their text in `__str__`, so that they pickle; a text names the step, what is wrong
and what to do.
"""

from __future__ import annotations

import math


class SzalError(Exception):
    """Root of all errors that szal_nb raises on purpose."""


class DefinitionError(SzalError):
    """A step, a flow or a parameter is not valid; nothing was run."""


class RunError(SzalError):
    """A run did not complete, or a command does not fit the state it is in."""


class ReplayError(SzalError):
    """Recorded events do not fit the flow that should go on from them."""


class StoreError(SzalError):
    """The store cannot be read or written."""


class MigrationError(SzalError):
    """A run cannot be carried to another version of its flow."""


class FlowCycle(DefinitionError):
    """Steps wait for each other."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"Steps wait for each other: {' -> '.join(self.path)}. Remove one of these dependencies."


class InvalidStep(DefinitionError):
    """A step's definition is refused; `advice` says what to write instead."""

    def __init__(self, step: str, problem: str, advice: str = "") -> None:
        super().__init__(step, problem, advice)
        self.step = step
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"Step {self.step!r}: {self.problem}" + (f" {self.advice}" if self.advice else "")


class InvalidFlow(DefinitionError):
    """A flow as a whole is refused."""


class InvalidParameter(DefinitionError):
    """A parameter given from outside has no place or not the right type."""


class MissingRequirement(DefinitionError):
    """This machine lacks what steps require; nothing was run. `missing` holds step, requirement and what is wrong."""

    def __init__(self, missing: tuple[tuple[str, str, str], ...]) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        lines = [f"Step {step!r} requires {what}: {problem}." for step, what, problem in self.missing]
        return "\n".join(lines)


class IllegalTransition(ReplayError):
    """An event does not fit the state that the events before it lead to."""

    def __init__(self, subject: str, state: str, kind: str) -> None:
        super().__init__(subject, state, kind)
        self.subject = subject
        self.state = state
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.subject} is {self.state}; the event {self.kind!r} cannot follow. The record is damaged."


class RunFailed(RunError):
    """Raised by `await run` and `szal.run` callers who asked for a completed run; the cause is the step's own error."""

    def __init__(self, run_id: str, state: str, failures: tuple[tuple[str, str], ...], hint: str = "") -> None:
        super().__init__(run_id, state, failures, hint)
        self.run_id = run_id
        self.state = state
        self.failures = failures
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"Run {self.run_id} {self.state}."]
        lines += [f"  step {step}: {error}" for step, error in self.failures]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: where the run was awaited tells nothing, and each failure stands with its step."""
        return [f"{type(self).__name__}: {self}"]


class RunWaits(RunError):
    """Nothing is left for a run to do before a person answers, and nobody is there; it can be resumed."""

    def __init__(self, run_id: str, steps: tuple[str, ...]) -> None:
        super().__init__(run_id, steps)
        self.run_id = run_id
        self.steps = steps

    def __str__(self) -> str:
        lines = [f"Run {self.run_id} waits for a person: {', '.join(self.steps)}."]
        lines += [f"To answer: szal approve {self.run_id} {step} [--reject]" for step in self.steps]
        return "\n".join([*lines, f"Then go on: szal resume {self.run_id}"])

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: nothing is wrong in any line."""
        return [f"{type(self).__name__}: {self}"]


class StepTimeout(RunError):
    """An attempt took longer than its step's `--timeout`."""

    def __init__(self, step: str, timeout_s: float) -> None:
        super().__init__(step, timeout_s)
        self.step = step
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"Step {self.step!r} took longer than its timeout of {self.timeout_s:g} s."


class ClassChanged(StoreError):
    """An object was stored by a class of the notebook that is another one now."""

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(name, run_id)
        self.name = name
        self.run_id = run_id

    def __str__(self) -> str:
        return (
            f"Run {self.run_id} stored an object of the class {self.name}, and the notebook's {self.name} is not what "
            "it was then. Undo the change, let `szal resume` go on with the notebook as it was, or begin a new run."
        )


class ValueNotStored(RunError):
    """A step that must not run again gave a value that another step reads and that cannot be stored."""

    def __init__(self, step: str, name: str, reason: str, flag: str) -> None:
        super().__init__(step, name, reason, flag)
        self.step = step
        self.name = name
        self.reason = reason
        self.flag = flag

    def __str__(self) -> str:
        return (
            f"Step {self.step!r} is marked {self.flag}, and what it gave as {self.name!r} cannot be stored "
            f"({self.reason}): a resume would have to run the step again. Give something that can be stored, such as "
            f"a path or a table, or make {self.name!r} in the step that uses it."
        )


_A_YEAR_S = 365 * 86400.0


class RetryAfter(RunError):
    """Raised by a body that wants to be tried again after `seconds`, if its step has retries left.

    What lies in the past already is at once, what is more than a year away a year. Raises ValueError for what is not
    finite, TypeError for what is no number.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(seconds, message)
        if not math.isfinite(seconds):
            raise ValueError(f"szal.RetryAfter({seconds}): the wait must be finite.")
        self.seconds = min(max(0.0, float(seconds)), _A_YEAR_S)
        self.message = message

    def __str__(self) -> str:
        return self.message or f"asked to be tried again after {self.seconds:g} s"


class StopRun(RunError):
    """Raised by `szal.stop`: the step completes, nothing else starts, and the run completes."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or "stopped by a step"


class RunOwned(StoreError):
    """Another live process owns the run."""

    def __init__(self, run_id: str, owner: str, advice: str = "") -> None:
        super().__init__(run_id, owner, advice)
        self.run_id = run_id
        self.owner = owner
        self.advice = advice

    def __str__(self) -> str:
        return f"Run {self.run_id} is being run by {self.owner}. {self.advice}".rstrip()


class RunGoneOn(StoreError):
    """The run was resumed since it ended in this process, which knows nothing of what became of it."""

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(run_id, state)
        self.run_id = run_id
        self.state = state

    def __str__(self) -> str:
        return (
            f"Run {self.run_id} was resumed since it ended here, and is {self.state} now: no step can be tried again "
            "from here. Resume the run: that goes on from what its record says."
        )


class OwnershipLost(StoreError):
    """This process's fencing token is out of date: another process took the run over, and nothing was written."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"Run {self.run_id} was taken over by another process; this one stops writing to it."


class UnknownRun(StoreError):
    """No run of this id (or id prefix) is in the store."""

    def __init__(self, run_id: str, store: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(run_id, store, near)
        self.run_id = run_id
        self.store = store
        self.near = near

    def __str__(self) -> str:
        near = f" Did you mean {', '.join(self.near)}?" if self.near else " `szal runs` lists what is there."
        return f"No run {self.run_id!r} in {self.store}.{near}"


class ValueUnavailable(StoreError):
    """A value is recorded but cannot be given back: it was live, or its format is not trusted."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"The value {self.name!r} cannot be loaded: {self.reason}"


class ValueUnreadable(ValueUnavailable):
    """A value is in the store as it was written, and cannot be read here."""

    def __str__(self) -> str:
        return (
            f"{super().__str__()}. A package may be another than it was. Resume the run, which runs the step that gave "
            "it again (of a run that has completed: szal fork RUN --from STEP)."
        )


class AnswerError(RunError):
    """A step did what would make the answer of the run depend on the order in which steps happened to run."""


class AnswerInDoubt(RunError):
    """A run that failed by an AnswerError cannot go on: what was read in it cannot be told any more."""

    def __init__(self, run_id: str, step: str, error: str) -> None:
        super().__init__(run_id, step, error)
        self.run_id = run_id
        self.step = step
        self.error = error

    def __str__(self) -> str:
        return (
            f"Run {self.run_id} cannot go on: step {self.step!r} failed by {self.error} When that is mended, "
            f"begin anew with what is beyond doubt: --reuse {self.run_id}."
        )


class RecordTorn(RunError):
    """A run was cut while two steps were changing parts of one value: what it is can be told by nobody."""

    def __init__(self, run_id: str, step: str, name: str) -> None:
        super().__init__(run_id, step, name)
        self.run_id = run_id
        self.step = step
        self.name = name

    def __str__(self) -> str:
        giver = f"step {self.step!r}" if self.step else "the notebook"
        return (
            f"Run {self.run_id} cannot go on: a step had changed a part of {self.name!r} of {giver} while another one, "
            f"which has not completed, was changing another part of it, so the record has neither before nor after. "
            f"Begin anew with what is beyond doubt: --reuse {self.run_id}."
        )


class ValueChanged(AnswerError):
    """A value is not what its step gave, and no step said that it changes it."""

    def __init__(self, name: str, giver: str, readers: tuple[str, ...], others: tuple[str, ...]) -> None:
        super().__init__(name, giver, readers, others)
        self.name = name
        self.giver = giver
        self.readers = readers
        self.others = others

    def __str__(self) -> str:
        who = f"Steps that read it since: {', '.join(self.readers)}." if self.readers else "No step has read it since."
        also = f" Also ran: {', '.join(self.others)}." if self.others else ""
        return (
            f"The value {self.name!r} is not any more what {self.giver} gave: a step changed it in place. {who}{also} "
            f"Write `--changes {self.name}` on the step that does it, or let it work on a copy; "
            f"`--after` puts a step behind those that need the old value."
        )


class RebuiltDiffers(RunError):
    """A step that was rebuilt gave another value than is on record, and a live value shares parts with it."""

    def __init__(self, step: str, name: str) -> None:
        super().__init__(step, name)
        self.step = step
        self.name = name

    def __str__(self) -> str:
        return (
            f"Step {self.step!r} ran again because what it gave lived in the process that died, and this time "
            f"{self.name!r} is not what is on record, from which other steps have gone on. The run cannot go on from "
            f"both. Start a new run with --reuse; let {self.step} give the same each time, or give {self.name} in a "
            f"step of its own."
        )


class ClassIsOne(RunError):
    """A step runs again, or late, and should find a class as it was before it was changed: there is no second one."""

    def __init__(self, step: str, name: str) -> None:
        super().__init__(step, name)
        self.step = step
        self.name = name

    def __str__(self) -> str:
        return (
            f"Step {self.step!r} must run as if it came before others, but it, or one of them, has changed "
            f"{self.name}: a class, or what one holds, which is one for all that use it, and cannot be had as it was. "
            f"Start a new run with --reuse."
        )


class PatcherHeld(RunError):
    """A value that another step reads holds what may start or stop a patch, whichever step does it."""

    def __init__(self, step: str, name: str) -> None:
        super().__init__(step, name)
        self.step = step
        self.name = name

    def __str__(self) -> str:
        return (
            f"what step {self.step!r} gives as {self.name!r} holds a patcher of unittest.mock: which step starts or "
            f"stops it nobody can tell. Give the patcher a name of its own (`p = mock.patch(…)`), or put in place and "
            f"take away in one step."
        )


class ChangedSince(RunError):
    """A step that had failed gives a part of what others have changed meanwhile, which should have come after it."""

    def __init__(self, step: str, name: str, read: str) -> None:
        super().__init__(step, name, read)
        self.step = step
        self.name = name
        self.read = read

    def __str__(self) -> str:
        return (
            f"Step {self.step!r} gave {self.name!r}, which shares parts with {self.read!r}. Steps that come after it "
            f"have changed {self.read} in place before {self.step} could complete: they would have changed {self.name} "
            f"too. "
            f"Start a new run with --reuse, or let {self.step} give a copy."
        )


class ValuesShared(AnswerError):
    """Two values share objects or memory, and nothing orders the change of one with the reader of the other."""

    def __init__(self, changed: str, changer: str, other: str, reader: str) -> None:
        super().__init__(changed, changer, other, reader)
        self.changed = changed
        self.changer = changer
        self.other = other
        self.reader = reader

    def __str__(self) -> str:
        return (
            f"{self.changed} and {self.other} share objects or memory. Step {self.changer!r} changes the one in place, "
            f"step {self.reader!r} uses the other, and nothing says which of the two steps comes first. "
            f"Write `--after` on the later of them, or copy what is shared."
        )


class HiddenStateUsed(AnswerError):
    """A step used a state of the whole process that its code does not show, and so may others."""

    def __init__(self, state: str, candidates: tuple[str, ...], others: tuple[str, ...]) -> None:
        super().__init__(state, candidates, others)
        self.state = state
        self.candidates = candidates
        self.others = others

    def __str__(self) -> str:
        who = (
            f"Step {self.candidates[0]!r} changed"
            if len(self.candidates) == 1
            else f"One of the steps {', '.join(self.candidates)} changed"
        )
        flag = self.state.replace(" ", "-")
        what = f"{self.state} generator" if self.state.endswith("random") else self.state
        return (
            f"{who} the {what} of the process, which its code does not show; "
            f"{', '.join(self.others)} may depend on it and could run before or after. "
            f"Write `--changes {flag}` on the step that does it, use a state of its own (a generator made with a seed, "
            f"a `with` that sets an option back), or, if what any of them gives does not depend on it (the jitter of a "
            f"retry), write `--pure {flag}` on all of them."
        )


class GlobalInUse(AnswerError):
    """Code of the notebook that finds a name by itself is used by two runs that have different values for it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"Another run that is alive has another value for {self.name!r}, and code of the notebook finds that name "
            f"by itself. Wait until the other run has ended, or pass {self.name!r} to that code as an argument."
        )


class NoCleanStart(AnswerError):
    """A step that changes a value in place could not be tried twice: no copy of the value can be made."""

    def __init__(self, step: str, names: str, reason: str) -> None:
        super().__init__(step, names, reason)
        self.step = step
        self.names = names
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"Step {self.step!r} has retries or a timeout and changes {self.names} in place, but no copy can be made "
            f"to begin again with ({self.reason}). Remove --retries and --timeout, or let the step make a new object."
        )
