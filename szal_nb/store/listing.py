"""Rows of `runs` as values, with what only a look at their owners tells: whether they crashed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from szal_nb.model.state import RunState
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.owner import Owner, is_alive
from szal_nb.store.times import seconds

CRASHED = "crashed"
RUN_COLUMNS = (
    "id, flow, version, state, reason, created_at, started_at, ended_at, notebook_path, output_path, params, packages, "
    "is_interactive, owner, launcher, epoch, lease_until, events, is_imported, "
    # Whether it was put down while it was paused, with nothing under way.
    "state = 'paused' AND lease_until IS NULL AND NOT EXISTS (SELECT 1 FROM steps WHERE steps.run_id = runs.id"
    " AND steps.state IN ('running', 'retrying')), from_run"
)


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says of a run, beside its steps. Times in seconds since the epoch.

    `is_owned`: a living process runs it. `lease_until` is None once it ended, or was given up. `from_run` is the run
    that it goes on from with other inputs or in another version, or takes another way than.
    """

    id: str
    flow: str
    version: int
    state: RunState
    shown_state: str
    is_owned: bool
    reason: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    notebook_path: str | None
    output_path: str | None
    params: dict[str, object]
    packages: dict[str, str]
    interactive: bool
    owner: Owner | None
    launcher: Owner | None
    epoch: int
    lease_until: float | None
    events: int
    imported: bool
    from_run: str | None = None

    @property
    def is_left(self) -> bool:
        """Whether it has not ended and nobody runs it: it crashed, or was put down while it was paused."""
        return not self.state.is_final and not self.is_owned

    @property
    def is_orphaned(self) -> bool:
        """Whether a kernel runs it whose launcher died: a resume ends that first."""
        return self.is_owned and self.launcher is not None and self.launcher.is_near and not is_alive(self.launcher)

    @property
    def is_crashed(self) -> bool:
        """Whether its process died before the run ended."""
        return self.shown_state == CRASHED


def owner_lives(owner: Owner | None, lease_until: float | None, now: float) -> bool:
    """Whether somebody runs the run: it has an owner that did not give it up and is alive."""
    return owner is not None and lease_until is not None and is_alive(owner, lease_until, now=now)


def stored_runs(rows: Iterable[Sequence[object]], now: float, path: Path) -> list[StoredRun]:
    """The runs of rows with `RUN_COLUMNS`, in their order. Each owner is looked at once."""
    lives = functools.cache(lambda owner, lease: owner_lives(_owner(owner), seconds(lease), now))
    try:
        return [_stored(cast("_Row", row), lives) for row in rows]
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise StoreDamaged(path, f"the row of a run cannot be read ({error})") from error


_Row = tuple[
    str, str, int, str, str | None, str, str | None, str | None, str | None, str | None, str | None, str | None,
    int, str | None, str | None, int, str | None, int, int, int | None, str | None,
]  # fmt: skip


def _stored(row: _Row, lives: functools._lru_cache_wrapper[bool]) -> StoredRun:
    state = RunState(row[3])
    is_owned = lives(row[13], row[16])
    return StoredRun(
        id=row[0],
        flow=row[1],
        version=row[2],
        state=state,
        shown_state=state.value if state.is_final or is_owned or row[19] else CRASHED,
        is_owned=is_owned,
        reason=row[4] or "",
        created_at=cast("float", seconds(row[5])),
        started_at=seconds(row[6]),
        ended_at=seconds(row[7]),
        notebook_path=row[8],
        output_path=row[9],
        params=_decode_dict(row[10]),
        packages=_decode_dict(row[11]),
        interactive=bool(row[12]),
        owner=_owner(row[13]),
        launcher=_owner(row[14]),
        epoch=row[15],
        lease_until=seconds(row[16]),
        events=row[17],
        imported=bool(row[18]),
        from_run=row[20],
    )


def _decode_dict(text: str | None) -> dict[str, Any]:
    return {} if text is None else cast("dict[str, Any]", msgspec.json.decode(text))


@functools.lru_cache(maxsize=256)
def _owner(text: str | None) -> Owner | None:
    return None if text is None else msgspec.json.decode(text, type=Owner)


def owner_text(owner: Owner | None) -> str | None:
    """How an owner is stored."""
    return None if owner is None else msgspec.json.encode(owner).decode()
