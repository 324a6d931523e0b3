"""What a step is: a named unit of work with its rules. Plain frozen values, checked when they are made."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum

from szal_nb.errors import InvalidStep


class Backoff(StrEnum):
    """How the wait before a retry grows with the number of the failed attempt."""

    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Trigger(StrEnum):
    """Which outcomes of its dependencies let a step start."""

    ALL = "all"
    ANY = "any"
    ALL_DONE = "all_done"
    NONE_FAILED = "none_failed"


class Executor(StrEnum):
    """Where a body that does not `await` runs."""

    THREAD = "thread"
    PROCESS = "process"
    MAIN = "main"


class OnError(StrEnum):
    """What the failure of a step does to its run."""

    FAIL = "fail"
    CONTINUE = "continue"


class OnConditionError(StrEnum):
    """What an error in a step's `--when` does to the step."""

    FAIL = "fail"
    SKIP = "skip"
    RUN = "run"


class MapMode(StrEnum):
    """How the elements of several mapped names are put together."""

    ZIP = "zip"
    PRODUCT = "product"


class StepKind(StrEnum):
    """What a step's source is."""

    CELL = "cell"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a failed attempt is tried again, and after how long. Times in seconds.

    `retry_on` and `no_retry_on` hold exception names, plain or dotted, matched against the class and its bases.
    """

    retries: int = 0
    delay_s: float = 1.0
    backoff: Backoff = Backoff.FIXED
    max_delay_s: float | None = None
    jitter: float = 0.0
    retry_on: tuple[str, ...] = ()
    no_retry_on: tuple[str, ...] = ()

    def wait_s(self, attempt: int, *, seed: str = "") -> float:
        """Seconds to wait after failed attempt number `attempt` (1-based).

        Jitter spreads the wait evenly over ±`jitter` of itself, never beyond the cap. It is derived from `seed`, so
        that the same run decides the same when it is folded again.

        >>> exponential = RetryPolicy(delay_s=1, backoff=Backoff.EXPONENTIAL, max_delay_s=5)
        >>> [exponential.wait_s(n) for n in (1, 2, 3, 4, 5000)]
        [1.0, 2.0, 4.0, 5.0, 5.0]
        """
        match self.backoff:
            case Backoff.FIXED:
                wait = self.delay_s
            case Backoff.LINEAR:
                wait = self.delay_s * attempt
            case Backoff.EXPONENTIAL:
                wait = self.delay_s * 2.0 ** min(attempt - 1, 1000)
        longest = min(_LONGEST_WAIT_S, self.max_delay_s if self.max_delay_s is not None else _LONGEST_WAIT_S)
        wait = min(wait, longest)
        if self.jitter:
            digest = hashlib.blake2b(f"{seed}/{attempt}".encode(), digest_size=8).digest()
            wait *= 1 + self.jitter * (2 * int.from_bytes(digest, "big") / 2**64 - 1)
        return float(min(wait, longest))

    def allows(self, exception_names: tuple[str, ...]) -> bool:
        """Whether an exception whose class and bases have these names may be retried."""
        if any(name in exception_names for name in self.no_retry_on):
            return False
        return not self.retry_on or any(name in exception_names for name in self.retry_on)


# One for all steps that are tried once.
NO_RETRY = RetryPolicy()

# No wait is longer: a year, longer than any process lives.
_LONGEST_WAIT_S = 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """What undoes a step: a cell or a function (`source`), which sees the step's inputs and what it gave."""

    kind: StepKind = StepKind.CELL
    source: str = ""
    raw: str = ""
    cell_id: str | None = None
    retry: RetryPolicy = NO_RETRY
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One unit of work of a flow, as its author wrote it.

    `source` is pure Python: for a cell its body with IPython syntax already turned into calls, for a function its
    text. `raw` is what the author sees. `executor` None is the flow's. `needs` holds pairs (local name, "step" or
    "step.name").
    """

    name: str
    kind: StepKind = StepKind.CELL
    source: str = ""
    raw: str = ""
    cell_id: str | None = None
    retry: RetryPolicy = NO_RETRY
    timeout_s: float | None = None
    timeout_total_s: float | None = None
    when: str | None = None
    on_condition_error: OnConditionError = OnConditionError.FAIL
    trigger: Trigger = Trigger.ALL
    map: tuple[str, ...] = ()
    map_mode: MapMode = MapMode.ZIP
    map_errors: str = "fail"
    max_parallel: int | None = None
    on_error: OnError = OnError.FAIL
    approve: str | None = None
    cache: bool = False
    once: bool = False
    strict: bool = False
    executor: Executor | None = None
    parent: str | None = None
    tags: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    out: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    pure: tuple[str, ...] = ()
    priority: int = 0
    requires: tuple[str, ...] = ()
    rollback: Compensation | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "_").isidentifier():
            raise InvalidStep(
                self.name, "this is not a name for a step.", "Use letters, digits, '_' and '-', not a digit first."
            )
        retry = self.retry
        if retry == NO_RETRY:
            # One object for all of them: there are many steps.
            object.__setattr__(self, "retry", NO_RETRY)
        for flag, value, least in (
            ("--retries", retry.retries, 0),
            ("--delay", retry.delay_s, 0),
            ("--max-delay", retry.max_delay_s, 0),
            ("--max-parallel", self.max_parallel, 1),
        ):
            if value is not None and (not math.isfinite(value) or value < least):
                raise InvalidStep(self.name, f"{flag} {value} is refused.", f"It must be at least {least}.")
        for flag, timeout_s in (("--timeout", self.timeout_s), ("--timeout-total", self.timeout_total_s)):
            if timeout_s is not None and not 0 < timeout_s < math.inf:
                raise InvalidStep(self.name, f"{flag} {timeout_s} is refused.", "It must be more than 0.")
        if self.map_errors not in ("fail", "collect") and not self.map_errors.isdecimal():
            raise InvalidStep(
                self.name,
                f"--map-errors {self.map_errors} is refused.",
                "Write fail, collect, or how many elements must complete at least.",
            )
        if not 0 <= retry.jitter <= 1:
            raise InvalidStep(self.name, f"--jitter {retry.jitter} is refused.", "It must be between 0 and 1.")
